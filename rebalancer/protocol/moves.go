package protocol

import (
	"fmt"
	"slices"

	"github.com/shardscaler/shardscaler/internal/exact"
)

// Take names ids to be taken out of one piece of the pool or of the flight; nil IDs: all of it.
type Take struct {
	Name string
	IDs  []string
}

// Give adds what is taken to the list of one ordinal.
type Give struct {
	To   int
	From []Take
}

// maxGrants is the number of lists one transaction may change.
const maxGrants = 2

// NextPiece is the least k above those of the pieces `<epoch>-<k>` in this State. A caller that
// creates several pieces counts on from it, and never goes back within an epoch.
func (s *State) NextPiece() int64 {
	next := int64(0)
	for name := range s.Pool {
		if epoch, k, _ := parsePair(name); epoch == s.Head.Epoch && k >= next {
			next = k + 1
		}
	}
	return next
}

// Create adds a pool piece `<epoch>-<k>` with resources that are nowhere yet; that, the caller
// knows (an id whose delete is in flight goes through Redirect). At most MaxPieceBytes, see Fit,
// and MaxPool pieces, see CompactPool.
func Create(s *State, k int64, ids []string) (Multi, error) {
	return transact(s, "create", func(b *builder) error {
		if len(s.Pool) >= MaxPool {
			return fmt.Errorf("%d pool pieces, at most %d: compact the pool first", len(s.Pool), MaxPool)
		}
		if n := Fit(ids, MaxPieceBytes); n < len(ids) {
			return fmt.Errorf("%d ids, the first %d fill a piece of %d bytes: %w", len(ids), n, MaxPieceBytes, ErrTooLarge)
		}
		seen := make(map[string]struct{}, len(ids))
		for _, id := range ids {
			if err := CheckID(id); err != nil {
				return err
			}
			if _, twice := seen[id]; twice {
				return fmt.Errorf("id %q: is given twice", id)
			}
			seen[id] = struct{}{}
		}
		return b.newPiece(k, NewIDs(ids))
	})
}

// Assign moves ids from the pool to at most two lists.
func Assign(s *State, grants ...Give) (Multi, error) {
	return transact(s, "assign", func(b *builder) error { return b.place(grants, b.takePooled) })
}

// DeletePooled removes ids that are in the pool.
func DeletePooled(s *State, from ...Take) (Multi, error) {
	return transact(s, "delete-pooled", func(b *builder) error {
		_, err := b.takePooled(from)
		return err
	})
}

// CompactPool merges small pieces into one, `<epoch>-<k>`; false: there are none worth it.
func CompactPool(s *State, k int64) (Multi, bool) {
	var merged []*Piece
	size := len(listOpen + listClose)
	for _, name := range s.PoolNames() {
		p := s.Pool[name]
		if p.bytes > MaxPieceBytes/2 || size+p.bytes > MaxPieceBytes {
			continue
		}
		size += p.bytes
		merged = append(merged, p)
	}
	if len(merged) < 2 {
		return Multi{}, false
	}
	m, err := transact(s, "compact", func(b *builder) error {
		ids := make([]IDs, len(merged))
		for i, p := range merged {
			ids[i] = p.IDs
			b.setPiece(p.Name, p.Version, IDs{})
		}
		return b.newPiece(k, IDs{}.Concat(ids...))
	})
	return m, err == nil
}

// Revoke takes ids from the list of ordinal n into the flight. to has one entry an id (an ordinal,
// ToPool, ToDelete), or is nil: deletes. pod is the uid of the pod that runs the list now, as
// Kubernetes or the status has it; "" if unknown.
func Revoke(s *State, n int, ids []string, to []int, pod string) (Multi, error) {
	return RevokeApart(s, n, NewIDs(ids), to, []int{len(ids)}, pod)
}

// RevokeApart is Revoke into several pieces, each of which ends before one of these places: what is
// in one of them is granted without the others being written anew. Their numbers follow on each
// other, and `_reload` gets the last: who has applied that has released all of them.
func RevokeApart(s *State, n int, ids IDs, to []int, ends []int, pod string) (Multi, error) {
	return transact(s, "revoke", func(b *builder) error {
		in, err := s.changeable(n)
		if err != nil {
			return err
		}
		if ids.Len() == 0 || (to != nil && len(to) != ids.Len()) {
			return fmt.Errorf("ordinal %d: %d ids with %d destinations", n, ids.Len(), len(to))
		}
		if err := checkTargets(to); err != nil {
			return err
		}
		if end := ends[len(ends)-1]; end != ids.Len() || !slices.IsSorted(ends) {
			return fmt.Errorf("ordinal %d: %d ids with %d destinations", n, ids.Len(), end)
		}
		rest, err := without(in.IDs, ids)
		if err != nil {
			return fmt.Errorf("ordinal %d: %w", n, err)
		}
		times, first := s.NextTimes(n), 0
		last := times + int64(len(ends)) - 1
		if last > maxTimes {
			return fmt.Errorf("ordinal %d: _reload.times is %d, at most %d", n, times-1, int64(maxTimes)-int64(len(ends)))
		}
		b.lists++
		b.setData(in, rest.Len(), in.Capacity)
		b.setIDs(in, rest)
		b.setReload(in, last)
		for i, end := range ends {
			f := Flight{From: n, Times: times + int64(i), Pod: pod, IDs: ids.Slice(first, end).Clone(), known: unknown}
			if f.Name = FlightName(n, f.Times); to != nil {
				f.To = slices.Clone(to[first:end])
			}
			if s.Flight[f.Name] != nil {
				return fmt.Errorf("flight %s: exists", f.Name)
			}
			if size := b.setFlight(f); size > MaxFlight {
				return fmt.Errorf("flight %s: %d bytes, at most %d: %w", f.Name, size, MaxFlight, ErrTooLarge)
			}
			first = end
		}
		return nil
	})
}

func checkTargets(to []int) error {
	for _, n := range to {
		if n < ToDelete || n > exact.MaxOrdinal {
			return fmt.Errorf("destination %d: want an ordinal, %d (pool) or %d (delete)", n, ToPool, ToDelete)
		}
	}
	return nil
}

// Redirect changes where ids in flight will go: another target, a delete, or a create after one.
func Redirect(s *State, flight string, ids []string, to int) (Multi, error) {
	return transact(s, "redirect", func(b *builder) error {
		f := s.Flight[flight]
		if f == nil {
			return fmt.Errorf("flight %s: does not exist", flight)
		}
		if err := checkTargets([]int{to}); err != nil {
			return err
		}
		if _, err := without(f.IDs, NewIDs(ids)); err != nil {
			return fmt.Errorf("flight %s: %w", flight, err)
		}
		next, changed := *f, setOf(ids)
		next.To = make([]int, f.IDs.Len())
		for i, id := range f.IDs.Lent() {
			next.To[i] = f.Target(i)
			if _, ok := changed[id]; ok {
				next.To[i] = to
			}
		}
		b.setFlight(next)
		return nil
	})
}

// Grant moves released ids from any number of flight pieces to at most two lists, whatever their To
// says, unless that is ToDelete. That they are released (see Released), the caller knows.
func Grant(s *State, grants ...Give) (Multi, error) {
	return transact(s, "grant", func(b *builder) error {
		return b.place(grants, func(from []Take) ([]IDs, error) { return b.takeFlying(from, false) })
	})
}

// ReleaseToPool moves released ids from the flight to a new pool piece `<epoch>-<k>`.
func ReleaseToPool(s *State, k int64, from ...Take) (Multi, error) {
	return transact(s, "release", func(b *builder) error {
		taken, err := b.takeFlying(from, false)
		if err != nil {
			return err
		}
		return b.newPiece(k, IDs{}.Concat(taken...))
	})
}

// Forget ends deletes: released ids for ToDelete are removed. nil IDs: all of a piece.
func Forget(s *State, from ...Take) (Multi, error) {
	return transact(s, "forget", func(b *builder) error {
		_, err := b.takeFlying(from, true)
		return err
	})
}
