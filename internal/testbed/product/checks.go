package product

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/testbed/workload"
)

// Settled returns a kind's assignment if its StatefulSet has that size with all pods ready, and
// every one of that many ids is in a list of its first ordinals, evenly; else what is missing.
func (s *Stack) Settled(ctx context.Context, kind, statefulSet string, size, ids int) (*Assignment, error) {
	got, err := s.Size(ctx, statefulSet)
	if err != nil {
		return nil, err
	}
	if want := (Size{Spec: size, Status: size, Ready: size}); got != want {
		return nil, fmt.Errorf("size %+v, want %+v", got, want)
	}
	a, err := s.Assignment(ctx, kind)
	if err != nil {
		return nil, err
	}
	if a.Assigned() != ids || len(a.Pool)+a.InFlight() > 0 {
		return nil, fmt.Errorf("%d assigned, %d wait, %d in flight; want %d assigned", a.Assigned(), len(a.Pool), a.InFlight(), ids)
	}
	first := s.Starts[statefulSet]
	for _, n := range a.Ordinals() {
		if (n < first || n >= first+size) && len(a.Instances[n].IDs) > 0 {
			return nil, fmt.Errorf("ordinal %d has %d ids and is leaving", n, len(a.Instances[n].IDs))
		}
	}
	if err := a.balanced(first, size); err != nil {
		return nil, err
	}
	return a, a.Check()
}

// balanced says whether the lists of the ordinals from first on differ by no more than the band of
// a kind that is balanced by count.
func (a *Assignment) balanced(first, size int) error {
	held := make([]int, size) // nothing, where there is no subtree
	for n := range held {
		if in := a.Instances[first+n]; in != nil {
			held[n] = len(in.IDs)
		}
	}
	if size == 0 {
		return nil
	}
	least, most := slices.Min(held), slices.Max(held)
	if band := max(2, a.Assigned()/size/20); most-least > band {
		return fmt.Errorf("lists have from %d to %d ids, they may differ by %d", least, most, band)
	}
	return nil
}

// Runs reads the workload's run log.
func (s *Stack) Runs() (*workload.Runs, error) {
	file, err := os.Open(s.RunLog)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return workload.ReadRuns(file)
}

// RunsAsAssigned says whether the workload runs what ZooKeeper assigns, by its own account and by
// its log.
func (s *Stack) RunsAsAssigned(ctx context.Context, kind string) error {
	a, err := s.Assignment(ctx, kind)
	if err != nil {
		return err
	}
	list, err := s.Control.Instances(ctx, false)
	if err != nil {
		return err
	}
	live := map[int]workload.Instance{}
	for _, in := range list {
		if in.Kind == kind {
			live[in.Ordinal] = in
		}
	}
	for _, n := range a.Ordinals() {
		ids, in := a.Instances[n].IDs, live[n]
		if len(ids) > 0 && (in.Count != len(ids) || in.Hash != workload.HashIDs(ids)) {
			return fmt.Errorf("instance %d runs %d and is assigned %d; it %s", n, in.Count, len(ids), in.State)
		}
	}
	runs, err := s.Runs()
	if err != nil {
		return err
	}
	running, owners := runs.Running[kind], a.Owners()
	if len(running) != len(owners) {
		return fmt.Errorf("by its log %d run, ZooKeeper assigns %d", len(running), len(owners))
	}
	for id, places := range running {
		if len(places) != 1 || places[0].Ordinal != owners[id] {
			return fmt.Errorf("%s runs on %v and is assigned to %d", id, places, owners[id])
		}
	}
	return nil
}

// DrainedFirst reads every accepted write of /scale that lowered a StatefulSet, and compares the
// API server's record with ZooKeeper's transaction log: the ordinals that went owned nothing when
// the request came, and nothing from then on until replicas rose over them again. It returns how
// often replicas were lowered. initial is the size at the start.
func (s *Stack) DrainedFirst(ctx context.Context, kind, statefulSet string, initial int) (lowered int, err error) {
	ledger, err := s.Ledger(kind, 0)
	if err != nil {
		return 0, err
	}
	writes, err := s.ScaleWrites()
	if err != nil {
		return 0, err
	}
	writes = slices.DeleteFunc(writes, func(w ScaleWrite) bool { return w.StatefulSet != statefulSet || !w.Accepted && !w.Unknown })
	now, err := s.Size(ctx, statefulSet)
	if err != nil {
		return 0, err
	}
	writes = withoutUndone(writes, now.Spec)
	first, size := s.Starts[statefulSet], initial
	for i, w := range writes {
		if w.Replicas < size && w.Accepted {
			lowered++
		}
		for n := w.Replicas; n < size; n++ {
			// The transaction log is exact to the millisecond.
			from := w.Received.Truncate(time.Millisecond)
			to := returns(n, writes[i+1:])
			if w.Unknown {
				// perhaps it was never done: then what it found at the time is all that can be
				// asked for
				to = from.Add(time.Millisecond)
			}
			if ledger.BusyBetween(first+n, from, to) {
				return lowered, fmt.Errorf("not drained first: %s %d → %d at %s, ordinal %d owned something in %v",
					statefulSet, size, w.Replicas, w.Received, first+n, ledger.Busy[first+n])
			}
		}
		if w.Accepted || w.Replicas > size {
			size = w.Replicas
		}
	}
	return lowered, nil
}

// withoutUndone leaves out the last writes if it is not known whether they were done, and the size
// that the StatefulSet has says that they were not: no other write came after them.
func withoutUndone(writes []ScaleWrite, size int) []ScaleWrite {
	for len(writes) > 0 && writes[len(writes)-1].Unknown && writes[len(writes)-1].Replicas != size {
		writes = writes[:len(writes)-1]
	}
	return writes
}

// returns is when replicas rose over the n-th ordinal again; now if they never did.
func returns(n int, later []ScaleWrite) time.Time {
	if i := slices.IndexFunc(later, func(w ScaleWrite) bool { return w.Replicas > n }); i >= 0 {
		return later[i].Received
	}
	return time.Now()
}
