package rebalancer

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/shardscaler/shardscaler/internal/wake"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// double is a ZooKeeper in memory: it applies transactions if every version they name is right, all
// or none. After each of them it checks the protocol's invariant over everything that was
// acknowledged.
type double struct {
	mu       sync.Mutex
	versions map[string]int32
	st       *protocol.State
	// changes receives after every change, statuses after those by others.
	changes, statuses wake.Signal
	zxid              int64
	reads             int // synced reads

	// away: nothing answers. before, after: that many transactions from now on are lost before they
	// are applied, or their replies after it.
	away          bool
	slow          time.Duration // what a look takes
	before, after int
	// lose is the step of which the next transaction is lost before it is applied, and the
	// double is away from then on.
	lose string
	// broken is the first violation of the invariant; steps are the names of what was committed.
	broken error
	steps  []string
	sizes  []int
	// refuse, if set, says with what error a transaction is refused before anything of it is done;
	// nil: it is not.
	refuse func(m protocol.Multi) error
	// tried counts the transactions that were sent, by step.
	tried map[string]int
	// watch, if set, is called with each committed transaction, before and after it was applied.
	watch func(old, st *protocol.State, m protocol.Multi)
	// check: test the invariant after every transaction (it costs a map insert an id).
	check bool
}

func newDouble() *double {
	return &double{versions: map[string]int32{}, st: protocol.NewState("Thing"), changes: wake.New(), statuses: wake.New(), check: true, tried: map[string]int{}}
}

func (d *double) Connected() (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.away, protocol.ErrUnavailable
}

func (d *double) Changes(string) (all, statuses <-chan struct{}) { return d.changes, d.statuses }

func (d *double) Read(ctx context.Context, kind string, s *protocol.State) (*protocol.State, bool, error) {
	d.mu.Lock()
	slow := d.slow
	d.mu.Unlock()
	time.Sleep(slow)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.away {
		return nil, false, fmt.Errorf("%w: away", protocol.ErrUnavailable)
	}
	fresh := d.st.Clone()
	fresh.ReadAt = time.Now()
	if s == nil {
		return fresh, true, nil
	}
	changed := protocol.ForeignEdit(s, fresh) != ""
	for n, in := range fresh.Instances {
		was := s.Instances[n]
		changed = changed || was == nil || was.Status != in.Status || was.Begun != in.Begun || was.Hidden != in.Hidden
	}
	return fresh, changed, nil
}

func (d *double) ReadOnce(ctx context.Context, s *protocol.State) (*protocol.State, bool, error) {
	fresh, changed, err := d.Read(ctx, s.Kind, s)
	if err == nil {
		fresh.Torn = changed // as when the leader writes all the while
	}
	return fresh, changed, err
}

func (d *double) CommitAll(ctx context.Context, s *protocol.State, ms []protocol.Multi) []error {
	errs := make([]error, len(ms))
	for i, m := range ms {
		for _, o := range ms[:i] {
			if m.Overlaps(o) {
				panic(fmt.Sprintf("%s and %s overlap", o.Step, m.Step))
			}
		}
		errs[i] = d.commit(s, m)
	}
	return errs
}

// Begin does it all at the end: as if the requests were slow.
func (d *double) Begin(ctx context.Context, s *protocol.State, ms []protocol.Multi) (finish func() []error) {
	return func() []error { return d.CommitAll(ctx, s, ms) }
}

func (d *double) ReadLeft(ctx context.Context, kind string, ordinals []int) (protocol.Left, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.away {
		return protocol.Left{}, protocol.ErrUnavailable
	}
	d.reads++
	left := protocol.Left{Head: d.st.Head, HeadVersion: d.st.HeadVersion, Count: map[int]int{}}
	for _, n := range ordinals {
		left.Count[n] = 0
		if in := d.st.Instances[n]; in != nil {
			left.Count[n] = in.IDs.Len()
		}
		for _, f := range d.st.Flight {
			if f.From == n {
				left.Count[n] += f.IDs.Len()
			}
		}
	}
	return left, nil
}

// commit applies one transaction here and to s.
func (d *double) commit(s *protocol.State, m protocol.Multi) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tried[m.Step]++
	if d.away {
		return fmt.Errorf("%w: away", protocol.ErrUnavailable)
	}
	if m.Gate != nil {
		if err := m.Gate(); err != nil {
			return err
		}
	}
	if d.refuse != nil {
		if err := d.refuse(m); err != nil {
			return err
		}
	}
	if d.before > 0 {
		d.before--
		return fmt.Errorf("%w: lost before", protocol.ErrUnavailable)
	}
	if d.lose == m.Step {
		d.lose, d.away = "", true
		return fmt.Errorf("%w: lost before", protocol.ErrUnavailable)
	}
	results, err := d.transact(m)
	if err != nil {
		return err
	}
	old := d.st.Clone()
	m.Apply(d.st, results)
	d.steps, d.sizes = append(d.steps, m.Step), append(d.sizes, m.Bytes())
	if d.watch != nil {
		d.watch(old, d.st, m)
	}
	if d.check && d.broken == nil && !slices.Contains([]string{"lead", "keep", "dedupe", "repair"}, m.Step) {
		d.broken = d.st.Check()
	}
	d.changes.Wake()
	if d.after > 0 {
		d.after--
		return fmt.Errorf("%w: reply lost", protocol.ErrUnavailable)
	}
	m.Apply(s, results)
	return nil
}

// transact checks all versions and then changes them.
func (d *double) transact(m protocol.Multi) ([]protocol.Result, error) {
	for i, op := range m.Ops {
		version, exists := d.versions[op.Path]
		if exists == (op.Kind == protocol.OpCreate) || op.Kind != protocol.OpCreate && version != op.Version {
			if i == 0 {
				return nil, fmt.Errorf("%s: %w", m.Step, protocol.ErrFenced)
			}
			return nil, fmt.Errorf("%s: %w: %s", m.Step, protocol.ErrConflict, op.Path)
		}
	}
	d.zxid++
	results := make([]protocol.Result, len(m.Ops))
	for i, op := range m.Ops {
		switch op.Kind {
		case protocol.OpCreate:
			d.versions[op.Path] = 0
		case protocol.OpSet:
			d.versions[op.Path]++
		case protocol.OpDelete:
			delete(d.versions, op.Path)
		}
		results[i] = protocol.Result{Version: d.versions[op.Path], Mtime: time.Now(), Zxid: d.zxid}
	}
	return results, nil
}

// edit changes the tree by hand, as is forbidden.
func (d *double) edit(change func(st *protocol.State)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d.st)
	d.changes.Wake()
	d.statuses.Wake()
}

// fail sets what fails from now on.
func (d *double) fail(set func(d *double)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	set(d)
}

// snapshot is what the double holds now.
func (d *double) snapshot() *protocol.State {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.st.Clone()
}

// attempts is how often a step was sent.
func (d *double) attempts(step string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.tried[step]
}

// did lists the steps that were committed.
func (d *double) did() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.steps)
}

func (d *double) violation() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.broken
}

// adopted fills the double with lists as another orchestrator would have: no head, odd capacities.
func (d *double) adopted(lists map[int][]string) {
	m, err := protocol.Lead(d.st, "seed/1")
	must(err)
	must(d.commit(d.st.Clone(), m))
	for _, n := range slices.Sorted(maps.Keys(lists)) {
		m, err := protocol.AddOrdinal(d.st, n, 1)
		must(err)
		must(d.commit(d.st.Clone(), m))
		d.st.Instances[n].IDs = protocol.NewIDs(lists[n])
		d.st.Instances[n].Used = len(lists[n])
		for _, id := range lists[n] {
			d.st.Instances[n].Bytes += protocol.Cost(id)
		}
	}
	for path := range d.versions {
		if path == "/iota/shardscaler/Thing/head" {
			delete(d.versions, path)
		}
	}
	d.st.Head, d.st.HeadVersion = protocol.Head{}, -1
	d.steps, d.sizes, d.broken = nil, nil, nil
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
