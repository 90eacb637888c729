package servers

import (
	"fmt"
	"os"
)

// A sandbox needs two processes that are this very program: the reaper and the MQTT broker. They
// are started with roleVar in their environment, and RunRole is where they begin.
const (
	roleVar    = "SHARDSCALER_SANDBOX_ROLE"
	roleReaper = "reaper"
	roleMQTT   = "mqtt"
)

// roleAware is set once RunRole was called: only then may Start start this program again.
var roleAware bool

// RunRole belongs at the very start of main, or of TestMain, in a program that calls Start. It
// returns false at once, unless this process was started to be a sandbox's reaper or broker; then
// it is that until it ends, and the caller must end too.
func RunRole() (ran bool) {
	roleAware = true
	var err error
	switch role := os.Getenv(roleVar); role {
	case "":
		return false
	case roleReaper:
		err = serveReaper()
	case roleMQTT:
		err = serveMQTT()
	default:
		err = fmt.Errorf("run role: unknown %s %q", roleVar, role)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err) // into the log of that process
	}
	return true
}
