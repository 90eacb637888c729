package servers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/shardscaler/shardscaler/internal/testbed/servers/proc"

	"k8s.io/apimachinery/pkg/util/wait"
)

// Server is one server process. Its methods work from any process that attached to the sandbox, not
// only from the one that started it: the pid is kept in PidFile.
type Server struct {
	Name    string   `json:"name"`
	Addr    string   `json:"addr"`     // host:port its clients dial
	Log     string   `json:"log"`      // file of its standard output and error
	PidFile string   `json:"pidFile"`  // {"pid":…,"start":…}; start in clock ticks since boot
	Argv    []string `json:"argv"`     // how Start starts it again
	Env     []string `json:"env"`      // beyond the environment of the starter
	WorkDir string   `json:"workDir"`  // where it runs
	Speaks  protocol `json:"protocol"` // says how readiness is asked for
	UID     uint32   `json:"uid,omitempty"`

	// Answers replaces what Speaks says: nil when the server of one test does its own work.
	Answers func(ctx context.Context, addr string) error `json:"-"`

	owner string // folder of the sandbox
}

// stopTimeout is how long a server gets between SIGTERM and SIGKILL.
const stopTimeout = 10 * time.Second

// Pid is that of the running process, or 0.
func (s *Server) Pid() int {
	if id := s.ID(); id.Alive() {
		return id.Pid
	}
	return 0
}

// Running tells whether the process exists; a frozen one does.
func (s *Server) Running() bool { return s.Pid() != 0 }

// Start starts the server with the address, the data and the settings it had before, and returns
// when it answers. A server that runs already is only waited for.
func (s *Server) Start(ctx context.Context) error {
	if !s.Running() {
		if err := s.Launch(); err != nil {
			return err
		}
	}
	return s.AwaitReady(ctx)
}

// startFirst is Start, and leaves nothing running when that fails: it may be tried again elsewhere.
func (s *Server) startFirst(ctx context.Context) error {
	if err := s.Start(ctx); err != nil {
		return errors.Join(err, s.Kill())
	}
	return nil
}

// Stop asks the server to end, kills it when it does not, and returns when it is gone.
func (s *Server) Stop() error {
	id, end := s.ID(), syscall.SIGTERM
	if s.Speaks == speaksPostgres {
		end = syscall.SIGINT // SIGTERM would wait until the last client leaves
	}
	// A frozen process does not see the signal until it is continued.
	if err := errors.Join(id.Signal(end), id.Signal(syscall.SIGCONT)); err != nil || id.AwaitGone(stopTimeout) {
		return err
	}
	return s.Kill()
}

// Kill is kill -9; it returns when the process is gone.
func (s *Server) Kill() error {
	id := s.ID()
	if err := id.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	if !id.AwaitGone(stopTimeout) {
		return fmt.Errorf("kill %s: process %d is still there after %s", s.Name, id.Pid, stopTimeout)
	}
	return nil
}

// Freeze stops the process in mid-air: connections stay open and nothing answers. It returns when
// nothing in it runs any more.
func (s *Server) Freeze() error {
	if err := s.signalRunning("freeze", syscall.SIGSTOP); err != nil {
		return err
	}
	if !s.ID().AwaitFrozen(stopTimeout) {
		return fmt.Errorf("freeze %s: process %d still runs after %s", s.Name, s.Pid(), stopTimeout)
	}
	return nil
}

// Continue ends Freeze.
func (s *Server) Continue() error { return s.signalRunning("continue", syscall.SIGCONT) }

func (s *Server) signalRunning(verb string, sig syscall.Signal) error {
	id := s.ID()
	if !id.Alive() {
		return fmt.Errorf("%s %s: it is not running", verb, s.Name)
	}
	return id.Signal(sig)
}

// AwaitReady returns when the server answers its own protocol, or with the end of its log when it
// has exited or ctx is done.
func (s *Server) AwaitReady(ctx context.Context) error {
	var ended error
	err := until(ctx, 50*time.Millisecond, func(ctx context.Context) error {
		err := s.answers(ctx)
		if err != nil && !s.Running() {
			ended = fmt.Errorf("start %s: it has exited; the end of %s:\n%s", s.Name, s.Log, s.Tail(15))
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("start %s: no answer at %s (%w); the end of %s:\n%s", s.Name, s.Addr, err, s.Log, s.Tail(15))
	}
	return ended
}

// until calls try again and again until it returns nil, or ctx is over.
func until(ctx context.Context, every time.Duration, try func(context.Context) error) (last error) {
	err := wait.PollUntilContextCancel(ctx, every, true, func(ctx context.Context) (bool, error) {
		last = try(ctx)
		return last == nil, nil
	})
	return errors.Join(err, last)
}

// Launch starts the process without waiting for it to answer.
func (s *Server) Launch() error {
	s.ID().AwaitGone(0) // else one that ended by itself stays a zombie
	log, err := os.OpenFile(s.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("start %s: %w", s.Name, err)
	}
	defer log.Close()
	cmd := exec.Command(s.Argv[0], s.Argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.WorkDir, log, log
	cmd.Env = proc.Environ(s.owner, s.Env...)
	cmd.SysProcAttr = asUser(s.UID)
	cmd.SysProcAttr.Setsid = true // Ctrl-C in the starter's terminal is the starter's to handle
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.Name, err)
	}
	id, _ := proc.Identify(cmd.Process.Pid)
	id.Pid = cmd.Process.Pid
	// reaped by awaitGone; a goroutine in Wait would be a leak to the tests
	_ = cmd.Process.Release()
	return writeJSON(s.PidFile, id)
}

// ID reads a pid file of ours, or one of kwokctl's, which is a bare number.
func (s *Server) ID() proc.ID {
	raw, _ := os.ReadFile(s.PidFile)
	var id proc.ID
	if pid, err := strconv.Atoi(string(raw)); err == nil {
		id, _ = proc.Identify(pid)
	} else {
		// without a file it never ran, and a file is written in one step
		_ = json.Unmarshal(raw, &id)
	}
	return id
}

// asUser is for a server that refuses to run as root (PostgreSQL); uid 0: as this process's user.
func asUser(uid uint32) *syscall.SysProcAttr {
	attributes := &syscall.SysProcAttr{}
	if uid != 0 {
		attributes.Credential = &syscall.Credential{Uid: uid, Gid: uid}
	}
	return attributes
}

// writeJSON replaces file in one step, so that a reader never sees half of it.
func writeJSON(file string, value any) error {
	raw, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	// mode 0600: it may hold passwords
	temp, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // after an error
	_, err = temp.Write(append(raw, '\n'))
	if err := errors.Join(err, temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), file)
}

// Tail returns the last lines of the log.
func (s *Server) Tail(lines int) string {
	raw, err := os.ReadFile(s.Log)
	if err != nil {
		return "(" + err.Error() + ")"
	}
	all := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
