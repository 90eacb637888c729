package protocol

import (
	"fmt"
	"slices"

	"github.com/shardscaler/shardscaler/internal/exact"
)

// Revoke takes ids from the list of ordinal n into the flight. to has one entry an id (an ordinal, ToPool, ToDelete), or is
// nil: deletes. pod is the uid of the pod that runs the list now, as Kubernetes or the status has it; "" if unknown.
func Revoke(s *State, n int, ids []string, to []int, pod string) (Multi, error) {
	b, err := begin(s, "revoke")
	if err != nil {
		return Multi{}, err
	}
	in, err := s.changeable(n)
	if err != nil {
		return b.fail("%w", err)
	}
	if len(ids) == 0 || (to != nil && len(to) != len(ids)) {
		return b.fail("ordinal %d: %d ids with %d destinations", n, len(ids), len(to))
	}
	if err := checkTargets(to); err != nil {
		return b.fail("%w", err)
	}
	rest, err := without(in.IDs, ids)
	if err != nil {
		return b.fail("ordinal %d: %w", n, err)
	}
	times := s.NextTimes(n)
	f := Flight{Name: FlightName(n, times), From: n, Times: times, Pod: pod, IDs: ids, To: slices.Clone(to), Version: -1}
	if s.Flight[f.Name] != nil {
		return b.fail("flight %s: exists", f.Name)
	}
	b.setList(in, rest)
	b.setFlight(f)
	if size := len(b.m.Ops[len(b.m.Ops)-1].Data); size > MaxFlight {
		return b.fail("flight %s: %d bytes, at most %d: %w", f.Name, size, MaxFlight, ErrTooLarge)
	}
	return b.done()
}

func checkTargets(to []int) error {
	for _, n := range to {
		if n < ToDelete || n > exact.MaxOrdinal {
			return fmt.Errorf("destination %d: want an ordinal, %d (pool) or %d (delete)", n, ToPool, ToDelete)
		}
	}
	return nil
}

// Redirect changes where ids in flight will go: a re-create of an id whose delete is in flight, a delete of what moves, another target.
func Redirect(s *State, flight string, ids []string, to int) (Multi, error) {
	b, err := begin(s, "redirect")
	if err != nil {
		return Multi{}, err
	}
	f := s.Flight[flight]
	if f == nil {
		return b.fail("flight %s: does not exist", flight)
	}
	if err := checkTargets([]int{to}); err != nil {
		return b.fail("%w", err)
	}
	if _, err := without(f.IDs, ids); err != nil {
		return b.fail("flight %s: %w", flight, err)
	}
	next, changed := *f, setOf(ids)
	next.To = make([]int, len(f.IDs))
	for i, id := range f.IDs {
		next.To[i] = f.Target(i)
		if _, ok := changed[id]; ok {
			next.To[i] = to
		}
	}
	b.setFlight(next)
	return b.done()
}

// Grant moves released ids from any number of flight pieces to at most two lists, whatever their To says, unless that is
// ToDelete. That they are released (see Released), the caller knows.
func Grant(s *State, grants ...Give) (Multi, error) {
	b, err := begin(s, "grant")
	if err != nil {
		return Multi{}, err
	}
	return b.place(grants, func(from []Take) ([][]string, error) { return b.takeFlying(from, false) })
}

// ReleaseToPool moves released ids from the flight to a new pool piece `<epoch>-<k>`.
func ReleaseToPool(s *State, k int64, from ...Take) (Multi, error) {
	b, err := begin(s, "release")
	if err != nil {
		return Multi{}, err
	}
	taken, err := b.takeFlying(from, false)
	if err == nil {
		err = b.newPiece(k, slices.Concat(taken...))
	}
	if err != nil {
		return b.fail("%w", err)
	}
	return b.done()
}

// Forget ends deletes: it removes released ids whose destination is ToDelete. A Take with nil IDs means all deletes of that piece.
func Forget(s *State, from ...Take) (Multi, error) {
	b, err := begin(s, "forget")
	if err != nil {
		return Multi{}, err
	}
	if _, err := b.takeFlying(from, true); err != nil {
		return b.fail("%w", err)
	}
	return b.done()
}
