package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// oldTree is what the orchestrator of old left: five instances of which 2 was never written, and 7,
// which the StatefulSet no longer has. Everywhere `count` was overwritten by the spread, `times` is
// 0, and `tmp` has no status.
type oldTree struct {
	lists map[int][]string
	// twice is in the lists of 0 and 1, unknown in the list of 0 and not in the catalogue, orphans
	// in the list of 7, unplaced in the catalogue and in no list.
	twice, unknown    string
	orphans, unplaced []string
	catalogue         []string
}

func newOldTree() oldTree {
	ids := product.IDs(1_500, 9)
	o := oldTree{
		lists: map[int][]string{0: ids[:300], 1: ids[300:600], 3: ids[600:900], 7: ids[900:1_200]},
		twice: ids[0], unknown: "left-behind", orphans: ids[900:1_200], unplaced: ids[1_200:], catalogue: ids,
	}
	o.lists[0] = append([]string{o.unknown}, o.lists[0]...)
	o.lists[1] = append([]string{o.twice}, o.lists[1]...)
	return o
}

// write puts the tree into ZooKeeper and the rows into the catalogue.
func (o oldTree) write(ctx context.Context, s *product.Stack, conn *zk.Conn) error {
	if err := s.Platform.Insert(ctx, thing, o.catalogue...); err != nil {
		return err
	}
	root := path.Join("/", s.Chroot, "iota/orchestration", thing)
	for n, ids := range o.lists {
		list, err := json.Marshal(map[string]any{"ids": ids})
		if err != nil {
			return err
		}
		node := fmt.Sprintf("%s/%d", root, n)
		for _, z := range []struct {
			path string
			data []byte
		}{
			{node, fmt.Appendf(nil, `{"used":%d,"count":%d}`, len(ids), len(ids))},
			{node + "/tmp", nil},
			{node + "/_reload", []byte(`{"times":0}`)},
			{node + "/resources", list},
		} {
			if err := makeAll(conn, z.path, z.data); err != nil {
				return err
			}
		}
	}
	return nil
}

func makeAll(conn *zk.Conn, node string, data []byte) error {
	if parent := path.Dir(node); parent != "/" {
		if err := makeAll(conn, parent, nil); err != nil && !errors.Is(err, zk.ErrNodeExists) {
			return err
		}
	}
	_, err := conn.Create(node, data, 0, zk.WorldACL(zk.PermAll))
	if errors.Is(err, zk.ErrNodeExists) {
		return nil
	}
	return err
}

// TestAdoption starts over a tree that the old orchestrator wrote, and over a StatefulSet of
// another size than we would choose.
func TestAdoption(t *testing.T) {
	old := newOldTree()
	const size = 5 // two would do
	w := startBeside(t, func(env *servers.Env, o *product.Options) {
		o.Sizes = map[string]int{thingSet: size, ruleSet: ruleInit}
		conn := env.ZooKeeper.Dial(t)
		// Long enough to read what was adopted before it is scaled down.
		*o.Config.Kinds[0].Behavior.ScaleDown.StabilizationWindow = config.Duration(10 * time.Minute)
		o.Before = func(ctx context.Context, s *product.Stack) error {
			if err := old.write(ctx, s, conn); err != nil {
				return err
			}
			// The old one's pods run; to one that found a single one ready, the orphans would all
			// go there.
			return product.Until(ctx, product.Patience, func(ctx context.Context) error {
				got, err := s.Size(ctx, thingSet)
				if err == nil && got.Ready != size {
					err = fmt.Errorf("%d pods are ready, want %d", got.Ready, size)
				}
				return err
			})
		}
	})

	a := w.settled(thing, thingSet, size, len(old.catalogue))
	w.holds(a, old.catalogue)
	owners := a.Owners()
	for n, ids := range old.lists {
		for _, id := range ids {
			if n < size && id != old.twice && id != old.unknown {
				require.Equal(t, n, owners[id], "%s was in one list and moved", id)
			}
		}
	}
	require.Contains(t, []int{0, 1}, owners[old.twice], "what was twice stays in one of the two")
	require.NotContains(t, owners, old.unknown)

	require.Zero(t, a.Instances[3].Times, "nothing changed for 3, so it sees no _reload")
	l := w.ledgerAfterAdoption()
	require.Zero(t, l.Reloads[3]-1, "its _reload was written once, by the old one")
	for n, in := range a.Instances {
		if n < size {
			require.Equal(t, 1000, in.Count, "count of %d is the capacity again", n)
			require.Equal(t, len(in.IDs), in.Used)
		}
	}
	w.until("what was in two lists is reported", func(ctx context.Context) error {
		var shown struct {
			Progress struct{ Duplicates []struct{ ID string } }
		}
		if err := w.Servers[0].REST(ctx, http.MethodGet, "/v1/api/orchestrations/Thing", "", nil, &shown); err != nil {
			return err
		}
		if d := shown.Progress.Duplicates; len(d) != 1 || d[0].ID != old.twice {
			return fmt.Errorf("duplicates %+v, want %s", d, old.twice)
		}
		return nil
	})
	w.runsWhatIsAssigned(thing)

	writes, err := w.ScaleWrites()
	require.NoError(t, err)
	for _, s := range writes {
		require.NotEqual(t, thingSet, s.StatefulSet, "no scale down before every source was complete for one whole window: %+v", s)
	}
	w.change(thing, func(k *config.Kind) { *k.Behavior.ScaleDown.StabilizationWindow = config.Duration(4 * time.Second) })
	w.holds(w.settled(thing, thingSet, 2, len(old.catalogue)), old.catalogue)
	require.Positive(t, w.drainedFirst(thing, thingSet, size))
	w.runsWhatIsAssigned(thing)
}

// ledgerAfterAdoption judges only what came after the old tree, in which an id is in two places.
func (w *world) ledgerAfterAdoption() *product.Ledger {
	w.t.Helper()
	all, err := w.Ledger(thing, 0)
	require.NoError(w.t, err)
	require.Len(w.t, all.Faults, 1, "the old tree's own, and no other")
	return all
}
