package page

import (
	"os"
	"testing"

	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

func TestMain(m *testing.M) {
	if servers.RunRole() {
		return
	}
	os.Exit(m.Run())
}
