package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// storePlaceGroup and storeSpreadGroup tell what committing a large plan costs beyond writing the lists: the time from the orders for
// more instances until everything is in its list, over the time of setting every changed list once to its final bytes. It includes the
// new instances' znodes, the planning, the pool and the flight. Each list is written once, which is checked.
var storePlaceGroup = group{
	name: "store_place",
	figures: []figure{
		{name: "store_place_450000_s"},
		{"store_place_450000_ratio", atMost(2)},
	},
	measure: func(ctx context.Context, b *bench) (map[string]float64, error) {
		return measureMoves(ctx, b, growth{name: "store_place_450000", from: 10, to: 100, resources: 500_000, changed: 90})
	},
}

var storeSpreadGroup = group{
	name: "store_spread",
	figures: []figure{
		{name: "store_spread_100_to_101_s"},
		{"store_spread_100_to_101_ratio", atMost(2)},
	},
	measure: func(ctx context.Context, b *bench) (map[string]float64, error) {
		return measureMoves(ctx, b, growth{name: "store_spread_100_to_101", from: 100, to: 101, resources: 490_000, changed: 101})
	},
}

// One time of setting the lists differs from the next by half, so that a round has several on each side.
const storeMoveRounds, storeMoveBare = 15, 3

// growth is a change of the number of instances, and how many lists it changes.
type growth struct {
	name                string
	from, to, resources int
	changed             int
}

func measureMoves(ctx context.Context, b *bench, g growth) (map[string]float64, error) {
	s, err := b.startStore(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	ids := product.IDs(g.resources, 11)
	var took, ratios []float64
	lists := map[string][]byte{} // as the round before left them: those of every round are as long
	for round := range 1 + storeMoveRounds {
		before, ours, after, err := g.round(ctx, s, fmt.Sprintf("/round-%d", round), ids, lists)
		if err != nil {
			return nil, err
		}
		if round == 0 { // nothing to compare with yet, and the server has still to compile what it does often
			continue
		}
		bare := (before + after) / 2
		took, ratios = append(took, ours.Seconds()), append(ratios, ours.Seconds()/bare.Seconds())
		b.tell("%d lists changed in %s, bare in %s and %s", g.changed, ours.Round(time.Millisecond), before.Round(time.Millisecond),
			after.Round(time.Millisecond))
	}
	return map[string]float64{g.name + "_s": median(took), g.name + "_ratio": median(ratios)}, nil
}

// round grows once, between two times of setting the lists.
func (g growth) round(ctx context.Context, s *store, chroot string, ids []string, lists map[string][]byte) (before, ours, after time.Duration, err error) {
	fail := func(err error) (time.Duration, time.Duration, time.Duration, error) { return 0, 0, 0, err }
	k, err := s.keep(ctx, chroot, g.from)
	if err != nil {
		return fail(err)
	}
	defer k.close()
	start, err := g.fill(ctx, k, ids)
	if err != nil {
		return fail(err)
	}
	if before, err = s.bare(lists); err != nil {
		return fail(err)
	}
	began := time.Now()
	k.size(g.to, g.to)
	err = k.await(ctx, "all in lists", func(st *protocol.State) bool {
		return st.Instances[g.to-1].IDs.Len() >= len(ids)/g.to && len(st.Pool)+len(st.Flight) == 0 && st.Assigned() == len(ids)
	})
	if err != nil {
		return fail(err)
	}
	ours = time.Since(began)
	if err := s.finalLists(chroot, g.to, start, lists); err != nil {
		return fail(err)
	}
	if after, err = s.bare(lists); err != nil {
		return fail(err)
	}
	k.close()
	end, err := s.verify(ctx, chroot, ids)
	if err != nil {
		return fail(err)
	}
	return before, ours, after, g.changedOnce(start, end)
}

// fill makes the start: all lists even, or full and the rest in the pool; the new instances have their znodes and are not ready yet. No
// list has changed for a second then, so that every one may.
func (g growth) fill(ctx context.Context, k *keeper, ids []string) (*protocol.State, error) {
	if err := k.create(ctx, ids); err != nil {
		return nil, err
	}
	k.size(g.to, g.from)
	err := k.await(ctx, "the start", func(st *protocol.State) bool {
		return st.Assigned() == min(len(ids), g.from*fullList) && len(st.Flight) == 0 && len(st.Instances) == g.to
	})
	if err != nil {
		return nil, err
	}
	return k.State(), pause(ctx, 2*time.Second)
}

// changedOnce wants as many lists to have changed as the least number of moves changes, and each once.
func (g growth) changedOnce(before, after *protocol.State) error {
	changed := 0
	for n, in := range after.Instances {
		switch times := in.Times - before.Instances[n].Times; times {
		case 0:
		case 1:
			changed++
		default:
			return fmt.Errorf("the list of instance %d changed %d times", n, times)
		}
	}
	if changed != g.changed {
		return fmt.Errorf("%d lists changed, want %d", changed, g.changed)
	}
	return nil
}

// finalLists fills in the lists that are not as they were, at paths of their own.
func (s *store) finalLists(chroot string, instances int, before *protocol.State, lists map[string][]byte) error {
	for n := range instances {
		data, stat, err := s.raw.Get(chroot + protocol.InstancePath(thing, n) + "/resources")
		if err != nil {
			return err
		}
		if stat.Version == before.Instances[n].ListVersion {
			continue
		}
		path := fmt.Sprintf("/bare/%d", n)
		if err := s.makePath(path); err != nil {
			return err
		}
		lists[path] = data
	}
	return nil
}

// bare is the median time of setting every list once.
func (s *store) bare(lists map[string][]byte) (time.Duration, error) {
	var took []float64
	for range storeMoveBare {
		once, err := s.timeSetAll(lists)
		if err != nil {
			return 0, err
		}
		took = append(took, once.Seconds())
	}
	return time.Duration(median(took) * float64(time.Second)), nil
}

// timeSetAll sets every list once, as many at a time as the store does.
func (s *store) timeSetAll(lists map[string][]byte) (time.Duration, error) {
	var g errgroup.Group
	g.SetLimit(storeWriters)
	began := time.Now()
	for path, data := range lists {
		g.Go(func() error {
			_, err := s.raw.Set(path, data, -1)
			return err
		})
	}
	err := g.Wait()
	return time.Since(began), err
}
