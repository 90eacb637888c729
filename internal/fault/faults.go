//go:build faults

package fault

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"time"
)

// ErrInjected is what a point returns whose fault is an error.
var ErrInjected = errors.New("injected fault")

// Point is a place at which the process may die.
func Point(name string) {
	if f := state.pass(name); f != nil {
		_ = f.strike(name)
	}
}

// Fail is a Point that can also return an error.
func Fail(name string) error {
	if f := state.pass(name); f != nil {
		return f.strike(name)
	}
	return nil
}

// bug is the one that is made; "": none is.
var bug = Bug(os.Getenv(BugVar))

// Made says whether the bug is made.
func (b Bug) Made() bool { return b == bug }

type doingKey struct{}

// Doing notes in ctx what the transactions sent with it are part of.
func Doing(ctx context.Context, what string) context.Context {
	return context.WithValue(ctx, doingKey{}, what)
}

// Step is the Point `<step>.<stage>` of a transaction.
func Step(ctx context.Context, stage, step string) { Point(transaction(ctx, step) + "." + stage) }

// FailStep is a Step that can also return an error.
func FailStep(ctx context.Context, stage, step string) error {
	return Fail(transaction(ctx, step) + "." + stage)
}

// soonest bounds the time until a fault that comes a moment later: about what a commit takes.
const soonest = 3 * time.Millisecond

// Soon is a Step whose fault comes a moment later, while the process goes on: when what is on its
// way is on its way.
func Soon(ctx context.Context, stage, step string) { SoonAt(transaction(ctx, step) + "." + stage) }

// SoonAt is Soon for a Point.
func SoonAt(name string) {
	if f := state.pass(name); f != nil {
		time.AfterFunc(rand.N(soonest), func() { _ = f.strike(name) })
	}
}

// transaction names a step, where a delete is revoked or redirected and an override or a piece of
// the history kept, by that.
func transaction(ctx context.Context, step string) string {
	doing, _ := ctx.Value(doingKey{}).(string)
	switch {
	case step == "delete-pooled", doing == "delete" && (step == "revoke" || step == "redirect"):
		return "delete"
	case step == "keep" && (doing == "override" || doing == "history"):
		return doing
	}
	return step
}

// state is the process's; Point is called from everywhere.
var state = newRegister(os.Getenv(SpecVar), os.Getenv(FileVar), os.Getenv(LogVar))

// register counts how often each point was passed since its faults were given.
type register struct {
	mu       sync.Mutex
	file     string
	modified time.Time // of the file that was read last; zero while it does not exist
	faults   []Fault
	passed   map[string]int
	log      *os.File
	told     map[string]bool
}

func newRegister(spec, file, log string) *register {
	faults, err := Parse(spec)
	if err != nil {
		fatal(err)
	}
	r := &register{file: file, faults: faults, passed: map[string]int{}, told: map[string]bool{}}
	if log != "" {
		if r.log, err = os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err != nil {
			fatal(err)
		}
	}
	return r
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "fault:", err)
	os.Exit(2)
}

// pass counts, and returns the fault that is due.
func (r *register) pass(name string) *Fault {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reread()
	if !r.told[name] {
		r.told[name] = true
		r.tell("passed", name)
	}
	r.passed[name]++
	for i := range r.faults {
		if f := &r.faults[i]; f.Point == name && f.Nth == r.passed[name] {
			r.tell("fired", name)
			return f
		}
	}
	return nil
}

// reread takes up a file that changed; counting begins anew.
func (r *register) reread() {
	if r.file == "" {
		return
	}
	info, err := os.Stat(r.file)
	switch {
	case err != nil && r.modified.IsZero():
		return
	case err != nil:
		r.faults, r.modified = nil, time.Time{}
		return
	case info.ModTime().Equal(r.modified):
		return
	}
	text, err := os.ReadFile(r.file)
	if err == nil {
		r.faults, err = Parse(string(text))
	}
	if err != nil {
		fatal(err)
	}
	r.modified = info.ModTime()
	clear(r.passed)
}

// tell writes one line with one call: it stands there whatever happens next.
func (r *register) tell(what, point string) {
	if r.log != nil {
		fmt.Fprintf(r.log, "%s %d %s %s\n", time.Now().Format(time.RFC3339Nano), os.Getpid(), what, point)
	}
}

// strike is the fault itself.
func (f *Fault) strike(name string) error {
	switch f.Action {
	case Kill:
		self(syscall.SIGKILL)
	case Stop:
		self(syscall.SIGSTOP)
	case Panic:
		panic("fault at " + name)
	case Sleep:
		time.Sleep(f.For)
	case Error:
		return fmt.Errorf("%w at %s", ErrInjected, name)
	}
	return nil
}

// taken is by when a signal has stopped the process: another thread may take it, while this one
// goes on for a moment.
const taken = 100 * time.Millisecond

// self sends a signal to this process; nothing of the caller's happens after it.
func self(sig syscall.Signal) {
	pid := os.Getpid()
	if pid <= 1 {
		fatal(fmt.Errorf("process %d is not to be signalled", pid))
	}
	if err := syscall.Kill(pid, sig); err != nil {
		fatal(err)
	}
	if sig == syscall.SIGKILL {
		select {}
	}
	time.Sleep(taken)
}
