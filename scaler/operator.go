package scaler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
)

// OperatorName is the name under which the engine keeps what persons have put over the kind beside
// its values in the ConfigMap.
const OperatorName = "operator"

// ParseOperator reads that document; no document is one without content.
func ParseOperator(data []byte) (o config.Operator, err error) {
	if len(data) == 0 {
		return o, nil
	}
	if err := exact.JSON(data, &o); err != nil {
		return config.Operator{}, fmt.Errorf("read what persons have put over the kind: %w", err)
	}
	return o, nil
}

// Put takes what stands of what persons have put over the kind, for the ticks that follow.
func (s *Scaler) Put(o config.Operator) { s.basis.Input.Operator = o }

// endMoves ends the moves whose resources have arrived, or are no more: from then on they are free.
func (s *Scaler) endMoves(ctx context.Context) {
	if _, read := s.engine.Head(); s.cfg.DryRun || !read || len(s.basis.Input.Operator.Pins) == 0 {
		return
	}
	ended := s.basis.Input.Operator.EndedMoves(s.engine.Lookup)
	if len(ended) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	now := s.basis.Input.Now
	err := s.engine.Keep(ctx, OperatorName, func(old []byte) ([]byte, error) {
		o, err := ParseOperator(old)
		if err != nil {
			return nil, err
		}
		return json.Marshal(o.Standing(now).WithoutPins(ended))
	})
	switch {
	case err == nil:
		s.log.Info("moves that persons asked for have ended", "count", len(ended), "first", ended[0].Resource, "instance", ended[0].Ordinal)
	case !errors.Is(err, orders.ErrNotLeading):
		s.log.Warn("moves that have ended could not be noted; the next tick tries again", "error", err)
	}
}
