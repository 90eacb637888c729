package ops

import (
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
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
	// Generation counts the configurations that came into force; Version, LoadedAt and Refused are
	// as in Settings.
	Generation int64
	Version    string
	LoadedAt   time.Time
	Refused    string

	Snapshot observed.Kind
	// State is nil until ZooKeeper was read.
	State *protocol.State
	// Decision is nil until one was made; Undecided is why.
	Decision  *outcome.Report
	Undecided string
	Progress  orders.Progress
	Waiting   *resync.Waiting
}
