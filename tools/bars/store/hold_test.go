package store

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// BenchmarkHold has a server with ZooKeeper's default heap hold 5,000,000 resources on 1,000
// instances, while a tenth of the instances goes and comes, and two readers read everything over
// and over, as replicas do that start. It counts these changes, and tells what of the heap is in
// use at the end.
func BenchmarkHold(b *testing.B) {
	const most, least = 1000, 900
	s := start(b)
	require.Contains(b, s.env.ZooKeeper.Servers[0].Argv, defaultHeap)
	t := s.plant("/hold", most)
	ids := product.IDs(most*fullList, 17)
	t.reset(t.deal(ids, most))
	k := t.follow(t.client(t.chroot))
	k.lead()
	k.order(func(o *orders.Orders) { o.Capacity = (len(ids) + least - 1) / least })
	k.size(most, most)
	end := t.readOn(2)
	changes := 0
	for b.Loop() {
		for _, n := range []int{least, most} {
			k.size(n, n)
			k.await("all in lists", func(st *protocol.State) bool {
				return len(st.Head.Open) == n && len(st.Flight) == 0 && isEven(st, len(ids), n)
			})
			changes++
		}
	}
	reads := end()
	k.close()
	s.verify(t.chroot, ids)
	s.survived()
	b.Logf("everything was read %d times meanwhile", reads)
	b.ReportMetric(float64(changes), "changes")
	b.ReportMetric(s.liveHeap(), "live_MB")
}

// isEven says whether the first n instances share the resources.
func isEven(st *protocol.State, resources, n int) bool {
	for i := range n {
		if st.Instances[i].IDs.Len() < resources/n {
			return false
		}
	}
	return st.Assigned() == resources
}

// readOn has that many readers read everything over and over until end is called, which returns
// how often it was read.
func (t *tree) readOn(n int) (end func() (reads int)) {
	ctx, cancel := context.WithCancel(t.Context())
	counts := make([]int, n)
	var g errgroup.Group
	for i := range n {
		g.Go(func() error {
			for {
				client := t.client(t.chroot)
				_, _, err := client.Read(ctx, kind, nil)
				client.Close()
				switch {
				case ctx.Err() != nil:
					return nil
				case err == nil:
					counts[i]++
				case !errors.Is(err, protocol.ErrConflict) && !errors.Is(err, protocol.ErrUnavailable):
					return err
				}
			}
		})
	}
	return func() (reads int) {
		cancel()
		require.NoError(t, g.Wait())
		for _, n := range counts {
			reads += n
		}
		return reads
	}
}

// liveHeap is what of the server's heap is in use after a collection, in MB.
func (s *server) liveHeap() (mb float64) {
	java, err := exec.LookPath(s.env.ZooKeeper.Servers[0].Argv[0])
	require.NoError(s, err)
	java, err = filepath.EvalSymlinks(java)
	require.NoError(s, err)
	tool := func(name string, args ...string) []string {
		out, err := exec.CommandContext(s.Context(), filepath.Join(filepath.Dir(java), name), args...).Output()
		require.NoError(s, err)
		return strings.Fields(string(out))
	}
	pid := strconv.Itoa(s.pid)
	tool("jcmd", pid, "GC.run")
	fields := tool("jstat", "-gc", pid) // as many names as values
	for i, name := range fields[:len(fields)/2] {
		switch name {
		case "S0U", "S1U", "EU", "OU": // KiB
			kib, err := strconv.ParseFloat(fields[len(fields)/2+i], 64)
			require.NoError(s, err)
			mb += kib * 1024 / 1e6
		}
	}
	return mb
}
