package ending

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// hangs says that this process is one that a test has started, which never gets to its end.
const hangs = "SHARDSCALER_TEST_HANGS"

func TestMain(m *testing.M) {
	if os.Getenv(hangs) == "" {
		os.Exit(m.Run())
	}
	ctx, _ := OnSignal()
	fmt.Println("running")
	<-ctx.Done()
	fmt.Println("ending")
	time.Sleep(time.Hour)
}

// The first signal is heard, and the second one ends a program that hangs.
func TestASecondSignalEndsAtOnce(t *testing.T) {
	for _, kind := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), hangs+"=1")
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewScanner(out)
		require.True(t, lines.Scan())
		require.NoError(t, cmd.Process.Signal(kind))
		require.True(t, lines.Scan())
		require.Equal(t, "ending", lines.Text())
		require.NoError(t, cmd.Process.Signal(kind))
		require.Error(t, cmd.Wait())
		require.Equal(t, kind, cmd.ProcessState.Sys().(syscall.WaitStatus).Signal())
	}
}
