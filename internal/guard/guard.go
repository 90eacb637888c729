// Package guard makes a panic an error, where one part of the process must not end the others.
//
// In: functions. Out: their errors, or a *Panic. Invariant: no panic is lost. A caller that gets a
// *Panic uses nothing again that the function worked with: it may be half-done.
package guard

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"golang.org/x/sync/errgroup"
)

// Panic is what a function panicked with.
type Panic struct {
	Value any
	// Stack is where.
	Stack []byte
}

func (p *Panic) Error() string { return fmt.Sprintf("panic: %v", p.Value) }

// Run calls f; the panic of f is its error.
func Run(f func() error) (err error) {
	defer func() {
		switch value := recover().(type) {
		case nil:
		case *Panic: // of another goroutine
			err = value
		default:
			err = &Panic{Value: value, Stack: debug.Stack()}
		}
	}()
	return f()
}

// Caught is the panic that err holds; nil: none.
func Caught(err error) *Panic {
	if p := (*Panic)(nil); errors.As(err, &p) {
		return p
	}
	return nil
}

// Raise panics with the panic that err holds, if it holds one.
func Raise(err error) {
	if p := Caught(err); p != nil {
		panic(p)
	}
}

// Group is an errgroup whose goroutines' panics are those of who waits for them.
type Group struct{ group *errgroup.Group }

// NewGroup returns a Group, and the context that ends with the first error or panic of it.
func NewGroup(ctx context.Context) (*Group, context.Context) {
	g, ctx := errgroup.WithContext(ctx)
	return &Group{g}, ctx
}

// SetLimit bounds how many run at once.
func (g *Group) SetLimit(n int) { g.group.SetLimit(n) }

// Go calls f in a goroutine, as soon as the limit allows.
func (g *Group) Go(f func() error) { g.group.Go(func() error { return Run(f) }) }

// Wait waits for all and returns the first error, or panics with the first panic.
func (g *Group) Wait() error {
	err := g.group.Wait()
	Raise(err)
	return err
}
