package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// storeCreateGroup tells how long a create takes until it is durable when there is nothing else to do, over the time of a bare check and
// create of the same bytes. They take turns, each when the one before has been assigned: lists may change at any time here
// (`listInterval: 0s`), so that the pool is soon empty again.
var storeCreateGroup = group{
	name: "store_create",
	figures: []figure{
		{name: "store_create_idle_p50_ms"},
		{name: "store_create_idle_p99_ms"},
		{name: "store_create_idle_p50_ratio"},
		{"store_create_idle_p99_ratio", atMost(3)},
	},
	measure: measureIdleCreate,
}

const (
	storeCreates = 2000
	// storeIdle is more than creates wait for others to share a transaction with.
	storeIdle = 10 * time.Millisecond
)

func measureIdleCreate(ctx context.Context, b *bench) (map[string]float64, error) {
	const chroot, instances = "/create", 100
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
	k.order(func(o *orders.Orders) { o.Limits.ListInterval = new(config.Duration) })
	if err := s.makePath(chroot + "/bare/pool"); err != nil {
		return nil, err
	}
	ids := product.IDs(storeCreates, 13)
	var ours, bare []float64
	for i, id := range ids {
		took, err := s.timeBareCreate(chroot+"/bare", i, id)
		if err != nil {
			return nil, err
		}
		bare = append(bare, took)
		began := time.Now()
		if err := k.create(ctx, []string{id}); err != nil {
			return nil, err
		}
		ours = append(ours, time.Since(began).Seconds()*1e3)
		if err := errors.Join(k.awaitAtRest(ctx, i+1), pause(ctx, storeIdle)); err != nil {
			return nil, err
		}
	}
	b.tell("a create took %s ms at p50 and %s ms at p99, bare %s and %s", number(median(ours)), number(quantile(ours, 0.99)),
		number(median(bare)), number(quantile(bare, 0.99)))
	k.close()
	_, err = s.verify(ctx, chroot, ids)
	return map[string]float64{
		"store_create_idle_p50_ms":    median(ours),
		"store_create_idle_p99_ms":    quantile(ours, 0.99),
		"store_create_idle_p50_ratio": median(ours) / median(bare),
		"store_create_idle_p99_ratio": quantile(ours, 0.99) / quantile(bare, 0.99),
	}, err
}

// timeBareCreate returns milliseconds.
func (s *store) timeBareCreate(root string, i int, id string) (float64, error) {
	path, data := fmt.Sprintf("%s/pool/1-%d", root, i), fmt.Appendf(nil, `{"ids":["%s"]}`, id)
	began := time.Now()
	_, err := s.raw.Multi(&zk.CheckVersionRequest{Path: root, Version: 0}, &zk.CreateRequest{Path: path, Data: data, Acl: zk.WorldACL(zk.PermAll)})
	return time.Since(began).Seconds() * 1e3, err
}

// storeLogGroup tells what 100,000 creates, 5,000 a second and one by one, add to ZooKeeper's transaction log while nothing is assigned:
// the records of the pool's pieces, and of their being merged.
var storeLogGroup = group{
	name:    "store_log",
	figures: []figure{{"store_log_100000_creates_MB", atMost(10)}},
	measure: measureLog,
}

func measureLog(ctx context.Context, b *bench) (map[string]float64, error) {
	const chroot, creates = "/log", 100_000
	s, err := b.startStore(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	k, err := s.keep(ctx, chroot, 10)
	if err != nil {
		return nil, err
	}
	defer k.close()
	if err := k.await(ctx, "10 open", func(st *protocol.State) bool { return len(st.Head.Open) == 10 }); err != nil {
		return nil, err
	}
	k.order(func(o *orders.Orders) { o.Suspended = "nothing is to be assigned" })
	before, err := s.logBytes()
	if err != nil {
		return nil, err
	}
	ids := product.IDs(creates, 14)
	if _, err := k.storm(ctx, ids); err != nil {
		return nil, err
	}
	after, err := s.logBytes()
	if err != nil {
		return nil, err
	}
	st, err := s.verify(ctx, chroot, ids)
	if err == nil && st.Unassigned() != creates {
		err = fmt.Errorf("%d are in the pool, want %d", st.Unassigned(), creates)
	}
	return map[string]float64{"store_log_100000_creates_MB": float64(after-before) / 1e6}, err
}

// logBytes is the size of all records in the server's transaction log.
func (s *store) logBytes() (sum int, err error) {
	err = product.WalkTxns(s.dataDir(), func(t product.Txn) error {
		sum += t.Bytes
		return nil
	})
	return sum, err
}
