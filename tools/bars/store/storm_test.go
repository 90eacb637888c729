package store

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/tools/bars/rounds"
)

// stormRate is how many creates are due in a second.
const stormRate = 5000

// BenchmarkStorm times 300,000 creates that come one by one, 5,000 a second, for 100 instances
// whose lists may change once a second. A create's time begins when it is due, whether or not those
// before it are done; it is durable when the engine says so, and in a list at the time of that
// transaction in ZooKeeper's own log. The same log tells how many pieces the pool had after each
// transaction, and that none was lost or in two places.
func BenchmarkStorm(b *testing.B) {
	const chroot, instances, seconds = "/storm", 100, 60
	s := start(b)
	k := s.keep(chroot, instances)
	k.await("all open", func(st *protocol.State) bool { return len(st.Head.Open) == instances })
	ids := product.IDs(stormRate*seconds, 15)
	var fates map[string]*fate
	for b.Loop() {
		fates = k.storm(ids)
		k.awaitAtRest(len(ids))
	}
	k.close()
	s.verify(chroot, ids)
	pieces := s.readStorm(chroot, fates)
	var durable, listed []float64
	for _, f := range fates {
		durable = append(durable, f.durable.Sub(f.due).Seconds()*1e3)
		listed = append(listed, f.listed.Sub(f.due).Seconds()*1e3)
	}
	b.ReportMetric(rounds.Median(durable), "durable_p50_ms")
	b.ReportMetric(rounds.Quantile(durable, 0.99), "durable_p99_ms")
	b.ReportMetric(rounds.Median(listed), "listed_p50_ms")
	b.ReportMetric(rounds.Quantile(listed, 0.99), "listed_p99_ms")
	b.ReportMetric(float64(pieces), "pool_pieces")
}

// fate is when a create was due, when it was durable, and when it was in a list.
type fate struct{ due, durable, listed time.Time }

// storm creates ids one by one, stormRate a second, and returns when all are durable.
func (k *keeper) storm(ids []string) map[string]*fate {
	fates := make(map[string]*fate, len(ids))
	var calls errgroup.Group
	began := time.Now()
	for i, id := range ids {
		f := &fate{due: began.Add(time.Duration(i) * time.Second / stormRate)}
		fates[id] = f
		time.Sleep(time.Until(f.due))
		calls.Go(func() error {
			err := k.Create(k.ctx, known([]string{id}))
			f.durable = time.Now()
			return err
		})
	}
	require.NoError(k, calls.Wait())
	return fates
}

// readStorm fills in when each id came to a list, and returns the most pieces that the pool had.
// The log must show that none was lost, in two places or never in a list.
func (s *server) readStorm(chroot string, fates map[string]*fate) (pieces int) {
	ledger, err := product.ReadLedger(s.dataDir(), chroot, kind)
	require.NoError(s, err)
	require.Empty(s, ledger.Faults, "ids in two places")
	require.Empty(s, ledger.Lost, "ids that are lost")
	pool := chroot + "/iota/shardscaler/" + kind + "/pool"
	now := map[string]bool{}
	require.NoError(s, product.WalkTxns(s.dataDir(), func(t product.Txn) error {
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
	}))
	for id, f := range fates {
		require.False(s, f.listed.IsZero(), "%s was never in a list", id)
	}
	return pieces
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
