package servers

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
)

// starterVar makes this binary a program that starts a sandbox of the parts it names, prints its
// folder and never ends by itself: something to kill.
const starterVar = "SHARDSCALER_TEST_STARTER"

// TestMain lets this binary be the reaper and the broker of the sandboxes that its tests start.
func TestMain(m *testing.M) {
	if RunRole() {
		return
	}
	if part := os.Getenv(starterVar); part != "" {
		startAndWait(part)
		return
	}
	os.Exit(m.Run())
}

func startAndWait(part string) {
	options := Options{Progress: os.Stderr}
	if part != "all" {
		options.Only = []Part{Part(part)}
	}
	env, err := Start(context.Background(), options)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	fmt.Println(env.Dir)
	for { // the sandbox stays, though nothing refers to env any more
		runtime.GC()
		time.Sleep(100 * time.Millisecond)
	}
}
