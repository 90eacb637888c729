package servers

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// outcome stands for a test, and notes how it was given up.
type outcome struct {
	testing.TB
	said string
}

func (o *outcome) Skipf(format string, args ...any)  { o.give("skipped: "+format, args...) }
func (o *outcome) Fatalf(format string, args ...any) { o.give("failed: "+format, args...) }
func (o *outcome) give(format string, args ...any) {
	o.said = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestWithoutAptATestIsSkippedUnlessThePackageIsDemanded(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	for demanded, want := range map[string]string{"": "skipped", "1": "failed"} {
		t.Setenv(RequireDebianVar, demanded)
		test, ended := &outcome{TB: t}, make(chan struct{})
		go func() {
			defer close(ended)
			Debian(test, "mosquitto")
		}()
		<-ended
		require.Contains(t, test.said, want+": needs Debian's package mosquitto")
		require.Contains(t, test.said, `"apt-get": executable file not found`)
	}
}
