package loop

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/guard"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

const (
	// foreignLimit edits by others within foreignWindow are borne; more stop the kind.
	foreignLimit  = 3
	foreignWindow = 10 * time.Minute
	// readPause is the least time between two reads, and readShare the least ratio of that time to
	// what a read takes.
	readPause = 100 * time.Millisecond
	readShare = 10
	// awaitPause and awaitShare are the same while something is in flight that instances are to
	// acknowledge: until then it has no owner.
	awaitPause = 20 * time.Millisecond
	awaitShare = 2
)

// reader reads what others change in ZooKeeper: mostly beside the loop's own writes, so that no
// caller waits for it, because it costs a request a znode. What is read so is put together with
// what was written meanwhile. Where another client has meddled, nothing is taken from it: then the
// loop stands still for a complete read.
type reader struct {
	*core
	proof *proof
	// readAt is when ZooKeeper was last read.
	readAt time.Time
	// changed: ZooKeeper says that a status changed, dirty: we know that something did.
	changed, dirty bool
	// lasted is how long the last read took.
	lasted time.Duration
	// damage is why the State that was last read is not written; "": it is.
	damage string
	// beside is the read that is under way beside the loop; nil: none is.
	beside *reading
	// foreign are the times at which edits of others were seen.
	foreign []time.Time
}

// reading is one that goes on beside the loop's own writes.
type reading struct {
	begun   time.Time
	asked   int64            // when it began, by the inventory's clock
	touched protocol.Touched // by the loop since it began
	// ended is closed when the rest is there.
	ended chan struct{}
	fresh *protocol.State
	moved bool
	err   error
}

// keepUp takes over what was read beside, and reads when something may have changed or it is time.
func (r *reader) keepUp(ctx context.Context) error {
	if err := r.take(); err != nil {
		return err
	}
	if r.dirty {
		return r.read(ctx)
	}
	pause := r.ReadEvery
	if r.changed {
		// a read that had to wait for a slow server is no reason to read less often than when
		// nothing changes
		pause = min(pause, r.pause())
	}
	next := r.readAt.Add(pause)
	if at := r.view.Releases.Awaited(&r.view.View); !at.IsZero() && at.Before(next) {
		next = at
	}
	if r.view.Now.Before(next) {
		r.again(next)
		return nil
	}
	r.begin(ctx)
	return nil
}

// pause is how long a read may be put off when a status has changed.
func (r *reader) pause() time.Duration {
	if len(r.view.State.Flight) > 0 && r.view.Orders.HandOff == config.HandOffAcknowledged {
		return max(awaitPause, awaitShare*r.lasted)
	}
	return max(readPause, readShare*r.lasted)
}

// read reads what others changed. Our own writes are known already, and what instances say of
// themselves a reading beside sees.
func (r *reader) read(ctx context.Context) error {
	begun, asked := r.clock(), r.view.Requests.Clock()
	fresh, moved, err := r.Store.Read(ctx, r.view.State.Kind, r.view.State)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if err := r.took(fresh, begun, asked); err != nil {
		return err
	}
	if moved && r.isEdited(fresh) && fresh.Torn {
		r.dirty = true // another client is still writing: what was read does not hold together
		return nil
	}
	r.changed, r.dirty, r.beside = false, false, nil
	r.view.Piece = max(r.view.Piece, fresh.NextPiece())
	r.adopt(fresh, begun, moved)
	return nil
}

// took notes that a read which began at that time has ended, and what it proves.
func (r *reader) took(fresh *protocol.State, begun time.Time, asked int64) error {
	if err := r.leads(&fresh.Head); err != nil {
		return err
	}
	r.proof.proved(asked)
	r.readAt = r.clock()
	r.lasted = r.readAt.Sub(begun)
	return nil
}

// adopt makes st the State. What changed in it while it was read, we have written ourselves, or it
// is statuses.
func (r *reader) adopt(st *protocol.State, begun time.Time, moved bool) {
	st.Torn = false
	edited := edited(r.view.State, st)
	r.view.State, r.damage = st, st.Fault()
	r.view.Releases.Observe(st, begun, r.readAt)
	r.publish(moved)
	if len(edited) > 0 {
		r.Host.Changed(edited, false)
	}
}

// edited are the ordinals whose lists another client has changed.
func edited(before, after *protocol.State) (ordinals []int) {
	for n, in := range after.Instances {
		if was := before.Instances[n]; was == nil || was.ListVersion != in.ListVersion {
			ordinals = append(ordinals, n)
		}
	}
	for n := range before.Instances {
		if after.Instances[n] == nil {
			ordinals = append(ordinals, n)
		}
	}
	return ordinals
}

// isEdited looks for changes that only the leader may make, and counts them. Those of an instance's
// own status are none.
func (r *reader) isEdited(fresh *protocol.State) bool {
	where := protocol.ForeignEdit(r.view.State, fresh)
	if where == "" {
		return false
	}
	r.Metrics.foreign.Inc()
	r.Log.Warn("another client edited the assignment", "at", where)
	r.foreign = append(r.foreign, r.readAt)
	return true
}

// fault says why the kind is stopped; "" when it is not.
func (r *reader) fault() string {
	if r.damage != "" {
		return r.damage
	}
	since := r.view.Now.Add(-foreignWindow)
	r.foreign = slices.DeleteFunc(r.foreign, func(at time.Time) bool { return at.Before(since) })
	if len(r.foreign) > foreignLimit {
		return fmt.Sprintf("%d edits by another client within %s: find out which one writes here", len(r.foreign), config.Duration(foreignWindow))
	}
	return ""
}

// begin starts a reading beside unless one is under way. The loop is woken at its end.
func (r *reader) begin(ctx context.Context) {
	if r.beside != nil {
		return
	}
	g := &reading{begun: r.clock(), asked: r.view.Requests.Clock(), touched: protocol.Touched{}, ended: make(chan struct{})}
	r.beside, r.changed = g, false
	before := r.view.State.Clone()
	r.Beside(func() {
		g.err = guard.Run(func() (err error) {
			g.fresh, g.moved, err = r.Store.ReadOnce(ctx, before)
			return err
		})
		close(g.ended)
		r.Host.Wake()
	})
}

// wrote notes what the loop has written while a reading is under way.
func (r *reader) wrote(ms []protocol.Multi) {
	if r.beside == nil {
		return
	}
	for _, m := range ms {
		r.beside.touched.Note(m)
	}
}

// take takes over what was read beside, if that has ended.
func (r *reader) take() error {
	if r.beside == nil {
		return nil
	}
	g := r.beside
	select {
	case <-g.ended:
		r.beside = nil
	default:
		return nil
	}
	guard.Raise(g.err)
	switch {
	case errors.Is(g.err, protocol.ErrUnavailable):
		// nothing is in doubt: what was being written meanwhile has been settled over the next
		// session, as this read will be
		r.dirty = true
		return nil
	case g.err != nil:
		return fmt.Errorf("read: %w", g.err)
	}
	if err := r.took(g.fresh, g.begun, g.asked); err != nil {
		return err
	}
	st := r.view.State.Overlay(g.fresh, g.touched)
	if g.moved && protocol.ForeignEdit(r.view.State, st) != "" {
		r.dirty = true // the read that follows counts it
		return nil
	}
	r.adopt(st, g.begun, g.moved)
	return nil
}
