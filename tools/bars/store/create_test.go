package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/tools/bars/rounds"
)

// BenchmarkCreate times a create until it is durable when there is nothing else to do, and a bare
// check and create of the same bytes. They take turns, each when the one before has been assigned:
// lists may change at any time here (`listInterval: 0s`), so that the pool is soon empty again.
func BenchmarkCreate(b *testing.B) {
	// idle is more than creates wait for others to share a transaction with.
	const chroot, root, instances, idle = "/create", "/create/bare", 100, 10 * time.Millisecond
	s := start(b)
	k := s.keep(chroot, instances)
	k.order(func(o *orders.Orders) { o.Limits.ListInterval = new(config.Duration) })
	s.makePath(root + "/pool")
	var ids []string
	var ours, bare []float64
	for i := 0; b.Loop(); i++ {
		ids = append(ids, product.IDs(1, uint64(13_000_000+i))...)
		path, data := fmt.Sprintf("%s/pool/1-%d", root, i), fmt.Appendf(nil, `{"ids":["%s"]}`, ids[i])
		began := time.Now()
		_, err := s.raw.Multi(&zk.CheckVersionRequest{Path: root, Version: 0}, &zk.CreateRequest{Path: path, Data: data, Acl: zk.WorldACL(zk.PermAll)})
		bare = append(bare, rounds.Since(began))
		require.NoError(b, err)
		began = time.Now()
		err = k.Create(k.ctx, known(ids[i:]))
		ours = append(ours, rounds.Since(began))
		require.NoError(b, err)
		k.awaitAtRest(i + 1)
		time.Sleep(idle)
	}
	b.Logf("bare: %.3g ms at p50, %.3g ms at p99", rounds.Median(bare), rounds.Quantile(bare, 0.99))
	k.close()
	s.verify(chroot, ids)
	b.ReportMetric(rounds.Median(ours), "p50_ms")
	b.ReportMetric(rounds.Quantile(ours, 0.99), "p99_ms")
	b.ReportMetric(rounds.Median(ours)/rounds.Median(bare), "p50_ratio")
	b.ReportMetric(rounds.Quantile(ours, 0.99)/rounds.Quantile(bare, 0.99), "p99_ratio")
}

// BenchmarkLog adds up what 100,000 creates, 5,000 a second and one by one, add to ZooKeeper's
// transaction log while nothing is assigned: the records of the pool's pieces, and of their being
// merged.
func BenchmarkLog(b *testing.B) {
	const chroot, creates = "/log", 100_000
	s := start(b)
	k := s.keep(chroot, 10)
	k.await("10 open", func(st *protocol.State) bool { return len(st.Head.Open) == 10 })
	k.order(func(o *orders.Orders) { o.Suspended = "nothing is to be assigned" })
	before := s.logBytes()
	ids := product.IDs(creates, 14)
	for b.Loop() {
		k.storm(ids)
	}
	b.ReportMetric(float64(s.logBytes()-before)/1e6, "MB")
	require.Equal(b, creates, s.verify(chroot, ids).Unassigned())
}

// logBytes is the size of all records in the server's transaction log.
func (s *server) logBytes() (sum int) {
	require.NoError(s, product.WalkTxns(s.dataDir(), func(t product.Txn) error {
		sum += t.Bytes
		return nil
	}))
	return sum
}
