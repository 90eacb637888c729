package rebalancer

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// What waits for room is given to new instances with one change a list, and nothing is taken from
// the old ones on the way: that most of it still waits makes nothing uneven.
func TestALargePoolFillsEachNewListOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0)
		ids := uuids(40_000)
		r.create(ids...)
		r.wait(3 * time.Second)
		require.Equal(t, 35_000, r.d.snapshot().Unassigned())
		before := times(r.d.snapshot())
		r.d.fail(func(d *double) { d.steps, d.sizes = nil, nil })
		r.order(func(o *orders.Orders) { o.Stay, o.Ready = []int{0, 1, 2, 3, 4, 5, 6, 7}, []int{0, 1, 2, 3, 4, 5, 6, 7} })
		r.wait(5 * time.Second)
		st := r.settled(ids)
		for n, now := range times(st) {
			want := int64(1)
			if n == 0 {
				want = before[0]
			}
			require.Equal(t, want, now, "instance %d", n)
		}
		require.Zero(t, occurrences(r.d.did(), "revoke"))
		require.LessOrEqual(t, occurrences(r.d.did(), "assign"), 7)
		require.LessOrEqual(t, slices.Max(r.d.sizes), protocol.MaxMultiBytes)
	})
}

// slow is a ZooKeeper that takes long to be looked through.
type slow struct {
	*double
	glances chan struct{} // receives when one begins
}

func (s *slow) ReadOnce(ctx context.Context, st *protocol.State) (*protocol.State, bool, error) {
	select {
	case s.glances <- struct{}{}:
	default:
	}
	fresh, changed, err := s.double.Read(ctx, st.Kind, st)
	time.Sleep(5 * time.Second)
	return fresh, changed, err
}

// The glance read before what it goes on beside was written: that is neither lost nor taken for
// an edit of another client.
func TestNobodyWaitsForAGlance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		store := &slow{double: d, glances: make(chan struct{}, 1)}
		r := newRigOver(t, d, store).lead(0, 1)
		r.create("a")
		for range 3 {
			<-store.glances
			id := "at-" + time.Now().Format(time.TimeOnly)
			begun := time.Now()
			r.create(id)
			require.Less(t, time.Since(begun), time.Second)
			r.wait(2 * time.Second)
			n, known := r.e.Lookup(id)
			require.True(t, known)
			require.GreaterOrEqual(t, n, 0, "it is in a list before the glance has ended")
		}
		r.wait(20 * time.Second)
		st := d.snapshot()
		require.Equal(t, everything(st), everything(r.e.State()))
		require.Len(t, everything(st), 4)
		require.Empty(t, r.e.Progress().Alarm)
		require.Empty(t, r.d.violation())
	})
}

// Another client's edit beside a glance is still seen.
func TestAGlanceSeesForeignEdits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		store := &slow{double: d, glances: make(chan struct{}, 1)}
		r := newRigOver(t, d, store).lead(0, 1)
		r.create("a", "b")
		r.wait(3 * time.Second)
		d.edit(func(st *protocol.State) {
			in := *st.Instances[0]
			in.IDs, in.Used = protocol.NewIDs(append(slices.Clone(in.IDs.Strings()), "x")), in.Used+1
			in.ListVersion++
			d.versions["/iota/orchestration/Thing/0/resources"]++
			st.Instances[0] = &in
		})
		r.create("c")
		r.wait(20 * time.Second)
		r.settled([]string{"a", "b", "c", "x"})
	})
}

// unlucky is a ZooKeeper whose session is lost whenever a glance is under way.
type unlucky struct{ *double }

func (u unlucky) ReadOnce(context.Context, *protocol.State) (*protocol.State, bool, error) {
	return nil, false, protocol.ErrUnavailable
}

// A glance that fails leaves nothing in doubt: the term goes on, and looks instead.
func TestALostGlanceEndsNoTerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble()
		r := newRigOver(t, d, unlucky{d}).lead(0, 1)
		r.create("a", "b")
		epoch := d.snapshot().Head.Epoch
		r.wait(time.Minute)
		st := r.settled([]string{"a", "b"})
		require.Equal(t, epoch, st.Head.Epoch)
		require.WithinDuration(t, time.Now(), r.e.State().ReadAt, 15*time.Second, "it is looked at all the same")
	})
}
