package informer

import (
	"context"
	"time"

	"github.com/shardscaler/shardscaler/internal/wake"
	"k8s.io/client-go/tools/cache"
)

// Changes are collected for a while, so that many of them make one report.
type Changes struct {
	dirty    wake.Signal // while a change is not reported yet
	debounce time.Duration
}

// NewChanges collects changes for the time debounce.
func NewChanges(debounce time.Duration) Changes {
	return Changes{dirty: wake.New(), debounce: debounce}
}

// Wake asks for a report soon.
func (c Changes) Wake() {
	c.dirty.Wake()
}

// Handler asks for a report at every event of an informer.
func (c Changes) Handler() cache.ResourceEventHandlerFuncs {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { c.Wake() },
		UpdateFunc: func(any, any) { c.Wake() },
		DeleteFunc: func(any) { c.Wake() },
	}
}

// Await returns true when a report is due: at tick, or debounce after a change. It returns false
// when ctx ends. A nil tick never comes.
func (c Changes) Await(ctx context.Context, tick <-chan time.Time) bool {
	select {
	case <-ctx.Done():
		return false
	case <-tick:
		return true
	case <-c.dirty:
		return wake.Sleep(ctx, c.debounce)
	}
}
