// Package ending is how our programs end.
//
// In: signals. Out: a context that the first of them ends. Invariant: a second one always ends the
// process at once, whatever the first is still waiting for.
package ending

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// OnSignal is a context that ends with the first SIGINT or SIGTERM. From then on these do what they
// do to any process: the next one ends it. stop does both without a signal.
func OnSignal() (ctx context.Context, stop func()) {
	heard, forget := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(context.Background())
	end := func() {
		forget()
		cancel()
	}
	context.AfterFunc(heard, end)
	return ctx, end
}
