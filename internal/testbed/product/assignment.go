package product

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// Assignment is what ZooKeeper holds for one kind, read by code of our own.
type Assignment struct {
	Kind      string
	Instances map[int]*Instance
	// Pool are the ids that wait, Flight those taken from an instance and not yet released.
	Pool   []string
	Flight []Flight
	// Open are the ordinals that may receive.
	Open []int
}

// Instance is one ordinal's subtree.
type Instance struct {
	Used, Count int // its data
	Times       int64
	IDs         []string
	// Changed is when the list was last written, by ZooKeeper's clock.
	Changed time.Time
	// Status is the raw ephemeral status; empty: there is none.
	Status string
}

// Flight is what was taken from an ordinal and not yet released.
type Flight struct {
	From int      `json:"from"`
	IDs  []string `json:"ids"`
	To   []int    `json:"to"`
}

// Assigned counts the ids in lists.
func (a *Assignment) Assigned() int {
	n := 0
	for _, in := range a.Instances {
		n += len(in.IDs)
	}
	return n
}

// InFlight counts the ids in flight.
func (a *Assignment) InFlight() int {
	n := 0
	for _, f := range a.Flight {
		n += len(f.IDs)
	}
	return n
}

// Ordinals are those that have a subtree, ascending.
func (a *Assignment) Ordinals() []int { return slices.Sorted(maps.Keys(a.Instances)) }

// Check says which invariant fails: every id is in exactly one place, `used` is the list's length.
func (a *Assignment) Check() error {
	var faults []error
	place := map[string]string{}
	put := func(where string, ids []string) {
		for _, id := range ids {
			if other, twice := place[id]; twice {
				faults = append(faults, fmt.Errorf("%s %s is in %s and in %s", a.Kind, id, other, where))
			}
			place[id] = where
		}
	}
	for _, n := range a.Ordinals() {
		in := a.Instances[n]
		if in.Used != len(in.IDs) {
			faults = append(faults, fmt.Errorf("%s/%d: used is %d, its list has %d", a.Kind, n, in.Used, len(in.IDs)))
		}
		put(fmt.Sprintf("list %d", n), in.IDs)
	}
	put("pool", a.Pool)
	for _, f := range a.Flight {
		put(fmt.Sprintf("flight from %d", f.From), f.IDs)
	}
	return errors.Join(faults...)
}

// Owners says which ordinal's list has each id.
func (a *Assignment) Owners() map[string]int {
	owners := map[string]int{}
	for n, in := range a.Instances {
		for _, id := range in.IDs {
			owners[id] = n
		}
	}
	return owners
}

// roots are where a kind's znodes are: what existing systems read, and the product's own.
func roots(chroot, kind string) (shared, own string) {
	return path.Join("/", chroot, "iota/orchestration", kind), path.Join("/", chroot, "iota/shardscaler", kind)
}

// Tree is what ZooKeeper holds below the Stack's chroot, and its transaction log.
type Tree struct {
	ensemble *servers.ZooKeeper
	chroot   string
	conn     *zk.Conn
}

// errMoved says that something changed while it was read.
var errMoved = errors.New("changed while it was read")

// Assignment reads a kind as it was at one moment: it reads again until nothing changed meanwhile.
func (t *Tree) Assignment(ctx context.Context, kind string) (*Assignment, error) {
	// what the read before this one saw; nil if there was none, or it met a change
	var last map[string]int64
	for range 50 {
		r := reader{conn: t.conn, seen: map[string]int64{}}
		a := r.kind(t.chroot, kind)
		switch {
		case errors.Is(r.err, errMoved):
			r.seen = nil
		case r.err != nil:
			return nil, fmt.Errorf("read assignment of %s: %w", kind, r.err)
		case last != nil && maps.Equal(last, r.seen):
			return a, nil
		}
		if last = r.seen; ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return nil, fmt.Errorf("read assignment of %s: %w, 50 times", kind, errMoved)
}

// Glimpse reads a kind once, quickly; it may mix what was there at different moments.
func (t *Tree) Glimpse(kind string) (*Assignment, error) {
	r := reader{conn: t.conn, seen: map[string]int64{}}
	return r.kind(t.chroot, kind), r.err
}

// reader reads a tree and notes what it saw; the first error ends it.
type reader struct {
	conn *zk.Conn
	// seen is the last transaction that touched each znode.
	seen map[string]int64
	err  error
}

func (r *reader) kind(chroot, kind string) *Assignment {
	a := &Assignment{Kind: kind, Instances: map[int]*Instance{}}
	shared, own := roots(chroot, kind)
	for _, child := range r.children(shared) {
		n, err := exact.Ordinal(child)
		if err != nil {
			r.fail(fmt.Errorf("%s: the child %q is no ordinal", shared, child))
			continue
		}
		a.Instances[n] = r.instance(path.Join(shared, child))
	}
	for _, piece := range r.children(own + "/pool") {
		var list struct{ IDs []string }
		r.json(path.Join(own, "pool", piece), &list, true)
		a.Pool = append(a.Pool, list.IDs...)
	}
	for _, name := range r.children(own + "/flight") {
		var f Flight
		r.json(path.Join(own, "flight", name), &f, true)
		a.Flight = append(a.Flight, f)
	}
	var head struct{ Open []int }
	r.json(own+"/head", &head, false)
	a.Open = head.Open
	return a
}

func (r *reader) instance(node string) *Instance {
	in := &Instance{}
	r.json(node, in, true) // {"used":n,"count":capacity}
	var list struct{ IDs []string }
	in.Changed = r.json(node+"/resources", &list, true)
	in.IDs = list.IDs
	var reload struct{ Times int64 }
	r.json(node+"/_reload", &reload, false)
	in.Times = reload.Times
	if raw, stat := r.get(node+"/tmp/status", false); stat != nil && stat.EphemeralOwner != 0 {
		in.Status = string(raw)
	}
	return in
}

func (r *reader) json(node string, into any, must bool) time.Time {
	raw, stat := r.get(node, must)
	if stat == nil {
		return time.Time{}
	}
	if err := json.Unmarshal(raw, into); err != nil {
		r.fail(fmt.Errorf("%s: %w", node, err))
	}
	return time.UnixMilli(stat.Mtime)
}

// get returns no stat for a znode that is not there; if it must be, it was there when its parent
// was read.
func (r *reader) get(node string, must bool) ([]byte, *zk.Stat) {
	if r.err != nil {
		return nil, nil
	}
	raw, stat, err := r.conn.Get(node)
	if errors.Is(err, zk.ErrNoNode) {
		if !must {
			return nil, nil
		}
		err = errMoved
	}
	if err != nil {
		r.fail(fmt.Errorf("%s: %w", node, err))
		return nil, nil
	}
	r.seen[node] = stat.Mzxid
	return raw, stat
}

func (r *reader) children(node string) []string {
	if r.err != nil {
		return nil
	}
	list, stat, err := r.conn.Children(node)
	if errors.Is(err, zk.ErrNoNode) {
		return nil
	}
	if err != nil {
		r.fail(fmt.Errorf("%s: %w", node, err))
		return nil
	}
	r.seen[node+"/"] = stat.Pzxid
	slices.Sort(list)
	return list
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}
