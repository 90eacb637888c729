package servers

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/shardscaler/shardscaler/internal/testbed/servers/proc"
)

// ownerFile, in the folder of a sandbox, names the process that started it.
const ownerFile = "owner.json"

// reaperDirVar tells the reaper which sandbox is its own.
const reaperDirVar = "SHARDSCALER_REAPER_DIR"

// startReaper starts the process that outlives us just long enough to clean up after us: the kernel
// closes our end of a pipe however we end, which sets it to work. end does the same and waits for
// its end.
func startReaper(self, dir string) (end func(), err error) {
	read, write, err := os.Pipe() // closed on exec: no server inherits our end
	if err != nil {
		return nil, fmt.Errorf("start reaper: %w", err)
	}
	defer read.Close()
	cmd := exec.Command(self)
	cmd.Stdin = read
	// Not marked as the sandbox's own, nor as that of a sandbox around this one: it must outlive
	// both.
	cmd.Env = append(proc.WithoutOwner(), roleVar+"="+roleReaper, reaperDirVar+"="+dir)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		write.Close()
		return nil, fmt.Errorf("start reaper: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
		// the collector closes a file that is used no more, also that of a starter which only waits
		runtime.KeepAlive(write)
	}()
	return func() {
		_ = write.Close()
		<-ended
	}, nil
}

// serveReaper is the reaper's process.
func serveReaper() error {
	_, _ = io.Copy(io.Discard, os.Stdin) // until the starter has ended
	return reap(os.Getenv(reaperDirVar))
}

// reap ends everything that belongs to the sandbox in dir and removes the folder. It may run in two
// processes at once.
func reap(dir string) error {
	if err := endOwned(dir); err != nil {
		return err
	}
	if os.RemoveAll(dir) == nil {
		return nil
	}
	return os.RemoveAll(dir) // a process that was killed while it wrote was still creating a file
}

// endOwned kills every process of the sandbox in dir. None gets time to write its data, which is
// thrown away; only PostgreSQL is told first, because kill -9 would leave its shared memory behind.
func endOwned(dir string) error {
	deadline := time.Now().Add(stopTimeout)
	for _, id := range proc.Owned(dir) {
		if name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", id.Pid)); strings.TrimSpace(string(name)) == "postgres" {
			_ = id.Signal(syscall.SIGQUIT)
			_ = id.Signal(syscall.SIGCONT)
			id.AwaitGone(time.Second)
		}
	}
	for {
		left := proc.Owned(dir)
		if len(left) == 0 {
			time.Sleep(20 * time.Millisecond) // in the midst of exec a process shows no environment
			if left = proc.Owned(dir); len(left) == 0 {
				return nil
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("end sandbox %s: processes %v are still there after %s", dir, left, stopTimeout)
		}
		for _, id := range left {
			_ = id.Signal(syscall.SIGKILL)
		}
		for _, id := range left {
			id.AwaitGone(time.Second)
		}
	}
}

// Sandboxes lists the folders of all sandboxes of this user, running or left behind.
func Sandboxes() ([]string, error) {
	root, err := sandboxRoot()
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, fmt.Errorf("list sandboxes: %w", err)
	}
	var dirs []string
	for _, entry := range entries {
		// --state DIR leaves a link here
		dir, err := filepath.EvalSymlinks(filepath.Join(root, entry.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			_ = os.Remove(filepath.Join(root, entry.Name()))
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list sandboxes: %w", err)
		}
		dirs = append(dirs, dir)
	}
	return dirs, nil
}

// ownerOf reads who started the sandbox in dir.
func ownerOf(dir string) (owner proc.ID, err error) {
	raw, err := os.ReadFile(filepath.Join(dir, ownerFile))
	if err == nil {
		err = json.Unmarshal(raw, &owner)
	}
	return owner, err
}

// abandoned tells whether the process that started the sandbox in dir is gone.
func abandoned(dir string) bool {
	owner, err := ownerOf(dir)
	if unread := (*fs.PathError)(nil); errors.As(err, &unread) {
		info, gone := os.Stat(dir)
		// else it is just being made
		return errors.Is(err, fs.ErrNotExist) && gone == nil && time.Since(info.ModTime()) > time.Minute
	}
	return err != nil || !owner.Alive()
}

// RemoveAbandoned cleans up after sandboxes whose starter and reaper were both killed.
func RemoveAbandoned() error {
	dirs, err := Sandboxes()
	if err != nil {
		return err
	}
	var faults []error
	for _, dir := range dirs {
		if abandoned(dir) {
			faults = append(faults, reap(dir))
		}
	}
	return errors.Join(faults...)
}

// Down ends the sandbox in dir from outside: its starter first, whose reaper does the rest.
func Down(dir string) error {
	owner, err := ownerOf(dir)
	if err != nil {
		return fmt.Errorf("end sandbox: %w", err)
	}
	if err := owner.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	owner.AwaitGone(stopTimeout)
	_ = owner.Signal(syscall.SIGKILL)
	return reap(dir)
}
