// Package proc knows processes of this machine by more than their pid, and those of a sandbox by
// their environment.
//
// In: /proc. Out: an ID that stays that of one process for ever. Invariant: no signal reaches a
// process other than the one that the ID was made of, save for the instant between check and kill.
package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
	"k8s.io/apimachinery/pkg/util/wait"
)

// OwnerVar names, in the environment of every process of a sandbox, the folder of that sandbox.
// It is how the reaper finds them: a pid file can be late or stale, the environment cannot.
const OwnerVar = "SHARDSCALER_SANDBOX_OWNER"

// ID tells a process from a later one that got the same pid. Start is in clock ticks since boot.
type ID struct {
	Pid   int    `json:"pid"`
	Start uint64 `json:"start"`
}

// Identify returns the identity of a live process. A zombie is not alive, unless it still has
// threads: the first thread of a killed process may be one while the others still hold its files
// and ports.
func Identify(pid int) (ID, bool) {
	process, err := procfs.NewProc(pid)
	if err != nil {
		return ID{}, false
	}
	stat, err := process.Stat()
	if err != nil || (stat.State == "Z" || stat.State == "X") && stat.NumThreads <= 1 {
		return ID{}, false
	}
	return ID{Pid: pid, Start: stat.Starttime}, true
}

// Alive says whether the process has not ended.
func (p ID) Alive() bool {
	if p.Pid <= 1 {
		return false
	}
	now, ok := Identify(p.Pid)
	return ok && now == p
}

// Signal signals the process; one that has ended gets none.
func (p ID) Signal(sig syscall.Signal) error {
	if !p.Alive() {
		return nil
	}
	if err := syscall.Kill(p.Pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal process %d: %w", p.Pid, err)
	}
	return nil
}

// AwaitGone polls, since the process need not be our child. If it is, it is also reaped.
func (p ID) AwaitGone(limit time.Duration) bool {
	_, gone := p.AwaitExit(limit)
	return gone
}

// AwaitExit is AwaitGone and tells how our child ended; zero: it was reaped before, or is none.
func (p ID) AwaitExit(limit time.Duration) (status syscall.WaitStatus, gone bool) {
	if p.Pid <= 1 {
		return 0, true // to wait for pid 0 is to wait for any child
	}
	gone = within(limit, 5*time.Millisecond, func() bool {
		// ECHILD when another process started it
		_, _ = syscall.Wait4(p.Pid, &status, syscall.WNOHANG, nil)
		return !p.Alive()
	})
	return status, gone
}

// AwaitFrozen returns when no thread runs any more: each notices SIGSTOP by itself.
func (p ID) AwaitFrozen(limit time.Duration) bool {
	return within(limit, time.Millisecond, func() bool {
		threads, err := procfs.AllThreads(p.Pid)
		return err == nil && len(threads) > 0 && !slices.ContainsFunc(threads, func(t procfs.Proc) bool {
			stat, err := t.Stat() // a thread that has ended meanwhile is not listed the next time
			return err != nil || stat.State != "T"
		})
	})
}

func within(limit, every time.Duration, done func() bool) bool {
	return wait.PollUntilContextTimeout(context.Background(), every, limit, true,
		func(context.Context) (bool, error) { return done(), nil }) == nil
}

// Owned lists the live processes whose environment names dir as their sandbox.
func Owned(dir string) (found []ID) {
	all, _ := procfs.AllProcs() // a process that ends meanwhile is none
	for _, process := range all {
		environ, err := process.Environ()
		if err != nil || process.PID == os.Getpid() || !slices.Contains(environ, OwnerVar+"="+dir) {
			continue
		}
		if id, ok := Identify(process.PID); ok {
			found = append(found, id)
		}
	}
	return found
}

// WithoutOwner is our environment for a process that must outlive the sandbox around us.
func WithoutOwner() []string {
	return slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, OwnerVar+"=") })
}

// Environ is our environment, and more, for a process that shall end with the sandbox in dir.
func Environ(dir string, more ...string) []string {
	return append(append(WithoutOwner(), OwnerVar+"="+dir), more...)
}
