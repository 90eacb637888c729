package store

import (
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/tools/bars/rounds"
)

// BenchmarkLoad times a replica's start, with full lists, from an open session until it has read
// everything, knows that it held together, and says where an id is; and the first leader until it
// may write. What the former is compared with reads the lists, cuts them at the quotes without
// looking further, and puts each id into a map.
func BenchmarkLoad(b *testing.B) {
	for name, instances := range map[string]int{"500000": 100, "5000000": 1000} {
		b.Run(name, func(b *testing.B) { load(b, instances) })
	}
}

func load(b *testing.B, instances int) {
	s := start(b)
	t := s.plant("/load", instances)
	ids := product.IDs(instances*fullList, 12)
	t.reset(t.deal(ids, instances))
	round := func() (ours, lead, bare float64) {
		ours, lead = s.timeStart(t.chroot, ids)
		runtime.GC()
		began := time.Now()
		owners, err := s.bareLoad(t.chroot)
		bare = rounds.Since(began)
		require.NoError(b, err)
		require.Len(b, owners, len(ids))
		return ours, lead, bare
	}
	round() // the server compiles what it does often
	var took, leads, bares []float64
	for b.Loop() {
		ours, lead, bare := round()
		took, leads, bares = append(took, ours), append(leads, lead), append(bares, bare)
	}
	t.survived()
	b.Logf("ours %.0f ms, bare %.0f", took, bares)
	b.ReportMetric(rounds.Median(took)/1e3, "s")
	b.ReportMetric(rounds.Ratio(took, bares), "ratio")
	b.ReportMetric(rounds.Median(leads)/1e3, "lead_s")
}

// timeStart times one engine until it answers, and then until it leads, in ms.
func (s *server) timeStart(chroot string, ids []string) (loaded, leads float64) {
	client := s.client(chroot)
	_, err := client.ReadLeft(s.Context(), kind, nil) // now there is a session
	require.NoError(s, err)
	runtime.GC()
	began := time.Now()
	k := s.follow(client)
	defer k.close()
	k.await("it has read", func(*protocol.State) bool { return true })
	_, known := k.Lookup(ids[0])
	loaded = rounds.Since(began)
	require.True(s, known)
	k.lead()
	leads = rounds.Since(began)
	for i := 0; i < len(ids); i += 997 {
		n, known := k.Lookup(ids[i])
		require.True(s, known && n >= 0, "%s is in no list", ids[i])
	}
	return loaded, leads
}

// bareLoad maps each id to the place of its list among the children.
func (s *server) bareLoad(chroot string) (map[string]int, error) {
	ordinals, _, err := s.raw.Children(chroot + protocol.KindPath(kind))
	if err != nil {
		return nil, err
	}
	owners := make(map[string]int, len(ordinals)*fullList)
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(readers)
	for i, ordinal := range ordinals {
		g.Go(func() error {
			data, _, err := s.raw.Get(chroot + protocol.KindPath(kind) + "/" + ordinal + "/resources")
			if err != nil {
				return err
			}
			text := strings.TrimSuffix(strings.TrimPrefix(string(data), `{"ids":["`), `"]}`)
			ids := strings.Split(text, `","`)
			mu.Lock()
			defer mu.Unlock()
			for _, id := range ids {
				owners[id] = i
			}
			return nil
		})
	}
	return owners, g.Wait()
}
