package virtual

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/scaler"
)

// ErrNoLeader says that the kind has no leader now.
var ErrNoLeader = errors.New("no leader")

// Change has the leader carry out what a person asks for of sizes, drains and pins. Its error is
// why it is refused, or not known to be done; while there is no leader it is ErrNoLeader.
func (w *World) Change(ctx context.Context, c ops.Change) error {
	if w.leader == nil {
		return ErrNoLeader
	}
	now, g := w.clock.Now(), w.leader.ground()
	err := w.leader.Keep(ctx, scaler.OperatorName, func(old []byte) ([]byte, error) {
		o, err := scaler.ParseOperator(old)
		if err != nil {
			return nil, err
		}
		over, err := c.Put(ops.Over{Operator: o}, g, "ann", now)
		if err != nil {
			return nil, err
		}
		return json.Marshal(over.Operator)
	})
	if err != nil {
		return fmt.Errorf("change: %w", err)
	}
	return nil
}

// Operator is what persons have put over the kind, as the leader knows it; false: there is no
// leader.
func (w *World) Operator() (o config.Operator, ok bool) {
	if w.leader == nil {
		return o, false
	}
	return w.leader.operator(), true
}

// operator is what stands of what persons have put over the kind. A world's document can be read.
func (l *leader) operator() config.Operator {
	data, _ := l.Kept(scaler.OperatorName)
	o, _ := scaler.ParseOperator(data)
	return o.Standing(l.w.clock.Now())
}

// ground is what a change is checked against.
func (l *leader) ground() *ops.Ground {
	snapshot := l.w.state.Snapshot(l.w.clock.Now())
	return &ops.Ground{
		Base: l.w.cfg.Kind, Ceiling: config.MaxCeiling, Observed: snapshot.Kind(l.w.cfg.Kind.Name), At: l.Lookup, Binds: l.Binds,
	}
}
