package servers

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ownerVar names, in the environment of every process of a sandbox, the folder of that sandbox.
// It is how the reaper finds them: a pid file can be late or stale, the environment cannot.
const ownerVar = "SHARDSCALER_SANDBOX_OWNER"

// processID tells a process from a later one that got the same pid. Start is in clock ticks since boot.
type processID struct {
	Pid   int    `json:"pid"`
	Start uint64 `json:"start"`
}

// identify returns the identity of a live process. A zombie is not alive, unless it still has threads: the first thread of a
// killed process may be one while the others still hold its files and ports.
func identify(pid int) (processID, bool) {
	fields := statFields(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if fields == nil || (fields[statState] == "Z" || fields[statState] == "X") && fields[statThreads] <= "1" {
		return processID{}, false
	}
	start, err := strconv.ParseUint(fields[statStart], 10, 64)
	return processID{Pid: pid, Start: start}, err == nil
}

// Places among the fields: proc(5) counts these from 1 and from the pid, as 3, 20 and 22.
const statState, statThreads, statStart = 0, 17, 19

// statFields are those of a process or thread after its command name; nil: there is none.
func statFields(file string) []string {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	// The command name, in parentheses, may itself hold blanks and parentheses.
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	if len(fields) <= statStart {
		return nil
	}
	return fields
}

func (p processID) alive() bool {
	if p.Pid <= 1 {
		return false
	}
	now, ok := identify(p.Pid)
	return ok && now == p
}

// signal never reaches a process other than p, save for the instant between look and kill.
func (p processID) signal(sig syscall.Signal) error {
	if !p.alive() {
		return nil
	}
	if err := syscall.Kill(p.Pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal process %d: %w", p.Pid, err)
	}
	return nil
}

// awaitGone polls, since the process need not be our child. If it is, it is also reaped.
func (p processID) awaitGone(limit time.Duration) bool {
	for deadline := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
		_, _ = syscall.Wait4(p.Pid, nil, syscall.WNOHANG, nil) // ECHILD when another process started it
		if !p.alive() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

// awaitFrozen returns when no thread runs any more: each notices SIGSTOP by itself.
func (p processID) awaitFrozen(limit time.Duration) bool {
	for deadline := time.Now().Add(limit); ; time.Sleep(time.Millisecond) {
		threads, _ := filepath.Glob(filepath.Join("/proc", strconv.Itoa(p.Pid), "task", "*", "stat")) // the pattern is well formed
		runs := slices.ContainsFunc(threads, func(file string) bool {
			fields := statFields(file)
			return fields != nil && fields[statState] != "T"
		})
		if len(threads) > 0 && !runs {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

// owned lists the live processes whose environment names dir as their sandbox.
func owned(dir string) []processID {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	mark := []byte(ownerVar + "=" + dir + "\x00")
	var found []processID
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		environ, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "environ"))
		if err != nil || !bytes.Contains(append(environ, 0), mark) {
			continue
		}
		if id, ok := identify(pid); ok {
			found = append(found, id)
		}
	}
	return found
}

// withoutOwner is the environment for a process that must outlive the sandbox it was started in.
func withoutOwner(environ []string) []string {
	kept := make([]string, 0, len(environ))
	for _, kv := range environ {
		if !strings.HasPrefix(kv, ownerVar+"=") {
			kept = append(kept, kv)
		}
	}
	return kept
}
