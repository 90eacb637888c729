package store

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/tools/bars/rounds"
)

// BenchmarkMeanwhile times creates until they are durable while the number of instances changes,
// and bare checks and creates of the same bytes from a session of their own at the same time: 50 of
// each a second, in turns, whether or not those before are done.
func BenchmarkMeanwhile(b *testing.B) {
	for name, r := range map[string]resize{"999_to_1000": grow, "1000_to_900": shrink} {
		b.Run(name, r.whileCreating)
	}
}

func (r resize) whileCreating(b *testing.B) {
	s := start(b)
	t := s.plant("/meanwhile", max(r.from, r.to))
	before := t.deal(product.IDs(r.resources, 22), r.from)
	var ours, bare []float64
	for round := 0; b.Loop(); round++ {
		c := &creates{tree: t, root: fmt.Sprintf("/bare-%d", round), ids: product.IDs(20_000, uint64(2300+round))}
		s.makePath(c.root)
		made := 0
		r.do(t, before, func(k *keeper, run func()) {
			end := c.begin(k)
			run()
			made = end()
			k.awaitAtRest(r.resources + made)
		})
		ours, bare = append(ours, c.ours[:made]...), append(bare, c.bare[:made]...)
	}
	t.survived()
	b.Logf("%d of each; bare: %.3g ms at p50, %.3g ms at p99", len(ours), rounds.Median(bare), rounds.Quantile(bare, 0.99))
	b.ReportMetric(rounds.Median(ours), "p50_ms")
	b.ReportMetric(rounds.Quantile(ours, 0.99), "p99_ms")
	b.ReportMetric(rounds.Quantile(ours, 0.99)/rounds.Quantile(bare, 0.99), "p99_ratio")
}

// creates are those that go on while something else is done.
type creates struct {
	*tree
	root       string // of the bare ones
	ids        []string
	ours, bare []float64
}

// begin goes on with creates until end is called, which returns how many of each were made.
func (c *creates) begin(k *keeper) (end func() int) {
	const every = 10 * time.Millisecond
	c.ours, c.bare = make([]float64, len(c.ids)), make([]float64, len(c.ids))
	var over atomic.Bool
	var calls errgroup.Group
	made := make(chan int)
	go func() {
		began, n := time.Now(), 0
		for ; n < len(c.ids) && !over.Load(); n++ {
			i := n
			due := began.Add(2 * every * time.Duration(i))
			time.Sleep(time.Until(due))
			calls.Go(func() error {
				err := k.Create(k.ctx, known(c.ids[i:i+1]))
				c.ours[i] = rounds.Since(due)
				return err
			})
			bareDue := due.Add(every)
			time.Sleep(time.Until(bareDue))
			calls.Go(func() error {
				err := c.create(i)
				c.bare[i] = rounds.Since(bareDue)
				return err
			})
		}
		made <- n
	}()
	return func() int {
		over.Store(true)
		n := <-made
		require.NoError(c, calls.Wait())
		return n
	}
}

// create is a bare check and create.
func (c *creates) create(i int) error {
	_, err := c.raw.Multi(&zk.CheckVersionRequest{Path: c.root, Version: 0}, &zk.CreateRequest{
		Path: fmt.Sprintf("%s/%d", c.root, i), Data: fmt.Appendf(nil, `{"ids":["%s"]}`, c.ids[i]), Acl: zk.WorldACL(zk.PermAll),
	})
	return err
}
