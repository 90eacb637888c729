package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// storeLoadGroup tells how long a replica takes at its start, with 500,000 resources on 100 instances, from an open session until it has
// read everything, knows that it held together, and says where an id is; and how long the first leader takes until it may write. What the
// former is compared with reads the lists, cuts them at the quotes without looking further, and puts each id into a map.
var storeLoadGroup = group{
	name: "store_load",
	figures: []figure{
		{name: "store_load_500000_s"},
		{"store_load_500000_ratio", atMost(1.5)},
		{name: "store_load_500000_lead_s"},
	},
	measure: measureLoad,
}

const storeLoadRounds = 9

func measureLoad(ctx context.Context, b *bench) (map[string]float64, error) {
	const instances, chroot = 100, "/load"
	s, err := b.startStore(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	ids := product.IDs(instances*fullList, 12)
	if err := s.fillLists(ctx, chroot, instances, ids); err != nil {
		return nil, err
	}
	var took, ratios, leads []float64
	for round := range 1 + storeLoadRounds {
		ours, lead, err := s.timeStart(ctx, chroot, ids)
		if err != nil {
			return nil, err
		}
		runtime.GC()
		began := time.Now()
		owners, err := s.bareLoad(chroot)
		bare := time.Since(began)
		if err != nil {
			return nil, err
		}
		if len(owners) != len(ids) {
			return nil, fmt.Errorf("%d ids in the lists, want %d", len(owners), len(ids))
		}
		if round == 0 { // the server compiles what it does often: the first round is for that
			continue
		}
		took, leads = append(took, ours.Seconds()), append(leads, lead.Seconds())
		ratios = append(ratios, ours.Seconds()/bare.Seconds())
		b.tell("%d loaded in %s, bare in %s, and lead after %s", len(ids), ours.Round(time.Millisecond), bare.Round(time.Millisecond),
			lead.Round(time.Millisecond))
	}
	return map[string]float64{
		"store_load_500000_s": median(took), "store_load_500000_ratio": median(ratios), "store_load_500000_lead_s": median(leads),
	}, nil
}

// fillLists gives every instance its share.
func (s *store) fillLists(ctx context.Context, chroot string, instances int, ids []string) error {
	k, err := s.keep(ctx, chroot, instances)
	if err != nil {
		return err
	}
	defer k.close()
	if err := k.create(ctx, ids); err != nil {
		return err
	}
	return k.awaitAtRest(ctx, len(ids))
}

// timeStart times one engine until it answers, and then until it leads.
func (s *store) timeStart(ctx context.Context, chroot string, ids []string) (loaded, leads time.Duration, err error) {
	client, err := s.client(ctx, chroot)
	if err != nil {
		return 0, 0, err
	}
	if _, err := client.ReadLeft(ctx, thing, nil); err != nil { // now there is a session
		client.Close()
		return 0, 0, err
	}
	runtime.GC()
	began := time.Now()
	k := s.follow(ctx, client)
	defer k.close()
	if err := k.await(ctx, "it has read", func(st *protocol.State) bool { return true }); err != nil {
		return 0, 0, err
	}
	_, known := k.Lookup(ids[0])
	loaded = time.Since(began)
	if err := k.lead(ctx); err != nil {
		return 0, 0, err
	}
	leads = time.Since(began)
	for i := 0; i < len(ids) && known; i += 997 {
		n, ok := k.Lookup(ids[i])
		known = ok && n >= 0
	}
	if !known {
		return 0, 0, errors.New("not all are known to be in a list")
	}
	return loaded, leads, nil
}

// bareLoad maps each id to the place of its list among the children.
func (s *store) bareLoad(chroot string) (map[string]int, error) {
	ordinals, _, err := s.raw.Children(chroot + protocol.KindPath(thing))
	if err != nil {
		return nil, err
	}
	owners := make(map[string]int, len(ordinals)*fullList)
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(storeReaders)
	for i, ordinal := range ordinals {
		g.Go(func() error {
			data, _, err := s.raw.Get(chroot + protocol.KindPath(thing) + "/" + ordinal + "/resources")
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
