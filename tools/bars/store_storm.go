package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// storeStormGroup tells how 300,000 creates fare that come one by one, 5,000 a second, for 100 instances whose lists may change once a
// second. A create's time begins when it is due, whether or not those before it are done; it is durable when the engine says so, and in
// a list at the time of that transaction in ZooKeeper's own log. The same log tells how many pieces the pool had after each
// transaction, and that none was lost or in two places.
var storeStormGroup = group{
	name: "store_storm",
	figures: []figure{
		{name: "store_storm_durable_p50_ms"},
		{"store_storm_durable_p99_ms", atMost(50)},
		{name: "store_storm_listed_p50_ms"},
		{"store_storm_listed_p99_ms", atMost(5000)},
		{"store_storm_pool_pieces", atMost(protocol.MaxPool)},
	},
	measure: measureStorm,
}

const (
	stormRate    = 5000 // a second
	stormSeconds = 60
)

func measureStorm(ctx context.Context, b *bench) (map[string]float64, error) {
	const chroot, instances = "/storm", 100
	s, err := b.startStore(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	k, err := s.keep(ctx, chroot, instances)
	if err != nil {
		return nil, err
	}
	defer k.close()
	if err := k.await(ctx, "all open", func(st *protocol.State) bool { return len(st.Head.Open) == instances }); err != nil {
		return nil, err
	}
	b.tell("%d creates a second for %d s", stormRate, stormSeconds)
	ids := product.IDs(stormRate*stormSeconds, 15)
	fates, err := k.storm(ctx, ids)
	if err != nil {
		return nil, err
	}
	if err := k.awaitAtRest(ctx, len(ids)); err != nil {
		return nil, err
	}
	k.close()
	if _, err := s.verify(ctx, chroot, ids); err != nil {
		return nil, err
	}
	pieces, err := s.readStorm(chroot, fates)
	if err != nil {
		return nil, err
	}
	var durable, listed []float64
	for _, f := range fates {
		durable = append(durable, f.durable.Sub(f.due).Seconds()*1e3)
		listed = append(listed, f.listed.Sub(f.due).Seconds()*1e3)
	}
	return map[string]float64{
		"store_storm_durable_p50_ms": median(durable), "store_storm_durable_p99_ms": quantile(durable, 0.99),
		"store_storm_listed_p50_ms": median(listed), "store_storm_listed_p99_ms": quantile(listed, 0.99),
		"store_storm_pool_pieces": float64(pieces),
	}, nil
}

// fate is when a create was due, when it was durable, and when it was in a list.
type fate struct{ due, durable, listed time.Time }

// storm creates ids one by one, stormRate a second, and returns when all are durable.
func (k *keeper) storm(ctx context.Context, ids []string) (map[string]*fate, error) {
	fates := make(map[string]*fate, len(ids))
	faults := make(chan error, len(ids))
	var calls sync.WaitGroup
	began := time.Now()
	for i, id := range ids {
		f := &fate{due: began.Add(time.Duration(i) * time.Second / stormRate)}
		fates[id] = f
		if wait := time.Until(f.due); wait > 0 {
			if err := pause(ctx, wait); err != nil {
				return nil, err
			}
		}
		calls.Go(func() {
			if err := k.Create(ctx, known([]string{id})); err != nil {
				faults <- fmt.Errorf("create: %w", err)
			}
			f.durable = time.Now()
		})
	}
	calls.Wait()
	close(faults)
	return fates, <-faults
}

// readStorm fills in when each id came to a list, and returns the most pieces that the pool had. It fails if the log shows that any was
// lost, in two places or never in a list.
func (s *store) readStorm(chroot string, fates map[string]*fate) (pieces int, err error) {
	ledger, err := product.ReadLedger(s.dataDir(), chroot, thing)
	if err != nil {
		return 0, err
	}
	if len(ledger.Faults)+len(ledger.Vanished) > 0 {
		return 0, fmt.Errorf("%d ids vanished; in two places: %v", len(ledger.Vanished), ledger.Faults)
	}
	pool := chroot + "/iota/shardscaler/" + thing + "/pool"
	now := map[string]bool{}
	err = product.WalkTxns(s.dataDir(), func(t product.Txn) error {
		for _, op := range t.Ops {
			switch {
			case path.Dir(op.Path) == pool && op.Deleted:
				delete(now, op.Path)
			case path.Dir(op.Path) == pool:
				now[op.Path] = true
			case strings.HasPrefix(op.Path, chroot) && path.Base(op.Path) == "resources":
				if err := noteListed(op.Data, t.Time, fates); err != nil {
					return err
				}
			}
		}
		pieces = max(pieces, len(now))
		return nil
	})
	for _, f := range fates {
		if err == nil && f.listed.IsZero() {
			err = errors.New("one was never in a list")
		}
	}
	return pieces, err
}

func noteListed(list []byte, at time.Time, fates map[string]*fate) error {
	var data struct{ IDs []string }
	if err := json.Unmarshal(list, &data); err != nil {
		return fmt.Errorf("read list: %w", err)
	}
	for _, id := range data.IDs {
		if f := fates[id]; f != nil && f.listed.IsZero() {
			f.listed = at
		}
	}
	return nil
}
