package stacks

import (
	"runtime"
	"slices"
)

// Call is a goroutine of a test; Done is closed when it has ended.
type Call struct {
	id   string
	Done chan struct{}
}

// Begin runs f in a goroutine of its own, and returns when it runs.
func Begin(f func()) *Call {
	c, id := &Call{Done: make(chan struct{})}, make(chan string)
	go func() {
		defer close(c.Done)
		id <- Mine().ID
		f()
	}()
	c.id = <-id
	return c
}

// Where are the goroutines of calls, all at the same moment; those that have ended are left out.
func Where(calls ...*Call) []Goroutine {
	return slices.DeleteFunc(All(), func(g Goroutine) bool {
		return !slices.ContainsFunc(calls, func(c *Call) bool { return c.id == g.ID })
	})
}

// Waiting says whether all calls have ended or wait: for a lock, or in one of these states for what they asked for.
func Waiting(states []string, calls ...*Call) bool {
	return !slices.ContainsFunc(Where(calls...), func(g Goroutine) bool { return !g.AtLock() && !slices.Contains(states, g.State) })
}

// Await lets all the others run until something is so. It ends with the test's own deadline.
func Await(so func() bool) {
	for !so() {
		runtime.Gosched()
	}
}
