package servers

import (
	"path/filepath"
	"testing"
)

// FreePorts returns loopback ports on which nothing listens, for processes that a test starts beside the servers.
func FreePorts(n int) ([]int, error) { return freePorts(n) }

// LockMetricsAPI waits until no other test, in any package, provides custom metrics in this cluster, and keeps others
// waiting until the test has ended: a cluster has one set of APIService objects.
func (e *Env) LockMetricsAPI(t testing.TB) {
	t.Helper()
	unlock, err := lock(filepath.Join(e.Dir, "metrics-api.lock"), func() { t.Log("waiting for a test that provides custom metrics") })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(unlock)
}
