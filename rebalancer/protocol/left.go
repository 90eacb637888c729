package protocol

import (
	"errors"
	"fmt"
	"slices"
)

// Left is what some ordinals still own.
type Left struct {
	// Head is as it was before and after the rest was read.
	Head        Head
	HeadVersion int32
	// Count are the ids each ordinal still owns, in list or flight. Ordinals without znodes have 0.
	Count map[int]int
}

// ReadLeft reads what the ordinals still own; without ordinals, only who holds the head. For a
// closed ordinal a 0 stays true as long as the head's version stays, because lists are read before
// the flight, and what leaves a list is in the flight or with another. ErrConflict: the head moved,
// or something was deleted, meanwhile.
func ReadLeft(znodes Znodes, kind string, ordinals []int) (Left, error) {
	r := newReading(NewState(kind))
	err := r.readLeft(znodes, ordinals)
	if errors.Is(err, errDeleted) {
		err = fmt.Errorf("%w: %w", ErrConflict, err)
	}
	if err != nil {
		return Left{}, err
	}
	if fault := r.next.Fault(); fault != "" {
		return Left{}, fmt.Errorf("read remaining resources: %w: %s", ErrStopped, fault)
	}
	left := Left{Head: r.next.Head, HeadVersion: r.next.HeadVersion, Count: make(map[int]int, len(ordinals))}
	for _, n := range ordinals {
		left.Count[n] = 0
		if in := r.next.Instances[n]; in != nil {
			left.Count[n] = in.IDs.Len()
		}
	}
	for _, f := range r.next.Flight {
		left.Count[f.From] += f.IDs.Len()
	}
	return left, nil
}

// readLeft fills next with the head, those ordinals and what is in flight from them.
func (r *reading) readLeft(znodes Znodes, ordinals []int) error {
	if err := r.readHead(znodes); err != nil || len(ordinals) == 0 {
		return err
	}
	for _, n := range ordinals {
		err := r.readInstance(znodes, n)
		if errors.Is(err, errDeleted) { // most likely the ordinal has no znodes
			var stat *Stat
			if stat, err = znodes.Stat(InstancePath(r.kind, n), false); err == nil && stat != nil {
				err = errDeleted
			}
		}
		if err != nil {
			return err
		}
	}
	names, _, err := znodes.Children(FlightsPath(r.kind), true)
	if err != nil {
		return err
	}
	for _, name := range names {
		from, _, ok := parsePair(name)
		if ok && !slices.Contains(ordinals, int(from)) {
			continue
		}
		if err := r.readFlight(znodes, name); err != nil && !errors.Is(err, errDeleted) {
			return err
		}
	}
	after, err := znodes.Stat(HeadPath(r.kind), false)
	if err == nil && r.next.HeadVersion >= 0 && (after == nil || after.Zxid != r.next.head.zxid) {
		err = fmt.Errorf("%w: the head", ErrConflict)
	}
	return err
}
