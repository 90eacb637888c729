package ops

import (
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// View is all that a replica knows of a kind at one moment: what documents are made from.
type View struct {
	Now time.Time
	// Config is in force: Base, which the ConfigMap says, under what stands of Override.
	Config, Base config.Kind
	Override     config.Override
	// Operator is what stands of it: who drains, pins and sizes.
	Operator config.Operator
	// Generation is the configuration's: it grows with each. Version, LoadedAt and Refused are as in
	// Settings.
	Generation int64
	Version    string
	LoadedAt   time.Time
	Refused    string
	// Written are the paths of the kind's fields that the configuration's text has; the others are
	// at their default.
	Written map[string]bool

	// Follows says that another replica leads and does not tell what it alone reads, being of an
	// older version or not heard: the catalogue and the notifications are then no sources.
	Follows bool

	Snapshot observed.Kind
	// State is nil until ZooKeeper was read.
	State *protocol.State
	// Decision is nil until one was made; Undecided is why.
	Decision  *outcome.Report
	Undecided string
	// Input is what the decision was made from; on a replica that does not lead, what it would be
	// made from now.
	Input    decide.Input
	Progress orders.Progress
	Waiting  *resync.Waiting
}

// decided is the latest decision, nil where there is none that computed anything.
func (v *View) decided() *outcome.Report {
	if v.Decision == nil || v.Decision.Blind != "" {
		return nil
	}
	return v.Decision
}
