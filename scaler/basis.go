package scaler

import (
	"cmp"
	"slices"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// Basis is all that a tick decided and ordered by. It does not change.
type Basis struct {
	Input   decide.Input
	answers *answers
}

// Basis is that of the last Tick. It may be called between ticks only.
func (s *Scaler) Basis() Basis { return s.basis }

// Orders are what the same tick would have decided and ordered by another configuration, as if the
// instances that would be new, or are starting, were there and ready: what waits for them is done.
// false: there was no tick.
func (b *Basis) Orders(cfg config.Kind, operator config.Operator) (d decide.Decision, o orders.Orders, ok bool) {
	if b.answers == nil {
		return d, o, false
	}
	in := b.Input
	in.Config, in.Operator = cfg, operator
	d = decide.Decide(in)
	a := *b.answers
	a.suspended = cmp.Or(d.Blind, a.suspended)
	done := d
	done.DrainWait = nil
	o, _ = order(&in, &done, &a)
	if d.Blind == "" {
		o.Ready = slices.Concat(o.Ready, in.Starting(&d))
		slices.Sort(o.Ready)
		o.SpreadSuspended = spreadSuspended(&d, &o, in.Now.Sub(a.readySince))
	}
	return d, o, true
}
