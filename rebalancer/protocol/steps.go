package protocol

import (
	"fmt"
	"slices"

	"github.com/shardscaler/shardscaler/internal/exact"
)

// A step of the protocol is one pure function from a State to the Multi that takes it. It reads no
// clock and makes no names up: what is not in the State is an argument. It refuses what would break
// an invariant, so that a caller's mistake is an error and not a lost resource. Two Multis of one
// State that share a znode (Multi.Overlaps) cannot both succeed: apply the first, then compute the
// second.

// Lead takes the head: epoch + 1, a holder `<pod>/<nonce>` that no other attempt uses. The set of
// open ordinals stays. Client.Lead does this and the reading that must follow.
func Lead(s *State, holder string) (Multi, error) {
	if s.head.fault {
		return Multi{}, fmt.Errorf("lead: %w: %s", ErrStopped, s.Fault())
	}
	head := Head{V: schema, Epoch: s.Head.Epoch, Holder: holder, Open: s.Head.Open}
	for name := range s.Pool { // also of a head that another client deleted: no name comes again
		epoch, _, _ := parsePair(name)
		head.Epoch = max(head.Epoch, epoch)
	}
	head.Epoch++
	m := setHead(s, "lead", head)
	m.Parents = parents(s.Kind)
	return m, nil
}

// SetOpen replaces the set of ordinals that may receive. It moves the head's version: every Multi
// computed before it fails.
func SetOpen(s *State, open []int) (Multi, error) {
	head := s.Head
	head.Open = slices.Clone(open)
	_, err := transact(s, "open", func(*builder) error {
		if err := checkOrdinals(open); err != nil {
			return err
		}
		for _, n := range open {
			if in := s.Instances[n]; in == nil || in.Begun {
				return fmt.Errorf("ordinal %d: has no znodes, or another client has begun to make them", n)
			}
		}
		if size := len(encodeHead(head)); size > MaxDocBytes {
			return fmt.Errorf("%d ordinals: head of %d bytes, at most %d: %w", len(open), size, MaxDocBytes, ErrTooLarge)
		}
		return nil
	})
	if err != nil {
		return Multi{}, err
	}
	return setHead(s, "open", head), nil
}

// TouchHead writes the head as it is, so that our requests still under way can no longer succeed.
func TouchHead(s *State) Multi { return setHead(s, "touch", s.Head) }

func setHead(s *State, step string, head Head) Multi {
	b := &builder{s: s, m: Multi{Step: step}}
	b.put(HeadPath(s.Kind), encodeHead(head), s.HeadVersion, func(s *State, r Result) {
		s.Head, s.HeadVersion, s.head.zxid = head, r.Version, r.Zxid
	})
	m, _ := b.done() // a head is small: SetOpen sees to it
	return m
}

// AddOrdinal creates the znodes of a new instance; it is not open yet.
func AddOrdinal(s *State, n, capacity int) (Multi, error) {
	return transact(s, "add-ordinal", func(b *builder) error {
		if s.Instances[n] != nil || n < 0 || n > exact.MaxOrdinal || capacity < 0 {
			return fmt.Errorf("ordinal %d with capacity %d: exists already, or is out of range", n, capacity)
		}
		in := nothing(n)
		b.setData(in, 0, capacity)
		b.createTmp(in)
		b.setReload(in, s.firstTimes(n))
		b.setIDs(in, IDs{})
		return nil
	})
}

// RemoveOrdinal deletes the znodes of an instance that is closed, owns nothing and has no status.
// That its pod is gone, the caller knows.
func RemoveOrdinal(s *State, n int) (Multi, error) {
	return transact(s, "remove-ordinal", func(b *builder) error {
		in := s.Instances[n]
		switch {
		case in == nil:
			return fmt.Errorf("ordinal %d: has no znodes", n)
		case s.IsOpen(n):
			return fmt.Errorf("ordinal %d: is open", n)
		case in.IDs.Len() > 0:
			return fmt.Errorf("ordinal %d: owns %d resources", n, in.IDs.Len())
		case in.Live || in.Hidden:
			return fmt.Errorf("ordinal %d: has a live status", n)
		}
		for _, f := range s.Flight {
			if f.From == n {
				return fmt.Errorf("ordinal %d: %d resources are in flight from it", n, f.IDs.Len())
			}
		}
		if in.statusVersion >= 0 { // a persistent leftover
			b.add(OpDelete, StatusPath(s.Kind, n), nil, in.statusVersion, nil)
		}
		if in.HasTmp {
			b.add(OpDelete, TmpPath(s.Kind, n), nil, in.tmpVersion, nil)
		}
		if in.ReloadVersion >= 0 {
			b.add(OpDelete, ReloadPath(s.Kind, n), nil, in.ReloadVersion, nil)
		}
		if in.ListVersion >= 0 {
			b.add(OpDelete, ResourcesPath(s.Kind, n), nil, in.ListVersion, nil)
		}
		b.add(OpDelete, InstancePath(s.Kind, n), nil, in.DataVersion, func(s *State, _ Result) { delete(s.Instances, n) })
		return nil
	})
}

// Repair corrects `used`, `count`, `tmp` and a damaged `_reload` of ordinal n, and tells no
// instance to reload: its ids did not change. It writes the list of one that another client has
// begun to make, and is taken to have left alone. False when nothing is wrong.
func Repair(s *State, n, capacity int) (Multi, bool, error) {
	m, err := transact(s, "repair", func(b *builder) error {
		in := s.Instances[n]
		if in == nil || capacity < 0 {
			return fmt.Errorf("ordinal %d with capacity %d: has no znodes, or the capacity is negative", n, capacity)
		}
		if in.Used != in.IDs.Len() || in.Capacity != capacity {
			b.setData(in, in.IDs.Len(), capacity)
		}
		if !in.HasTmp {
			b.createTmp(in)
		}
		if s.ReloadDamaged(n) {
			b.setReload(in, s.firstTimes(n))
		}
		if in.Begun {
			// also a written list: the client that began it fails if it checks the version
			b.setIDs(in, IDs{})
		}
		return nil
	})
	if err != nil || len(m.Ops) == 1 { // the check of the head alone
		return Multi{}, false, err
	}
	return m, true, nil
}

// firstTimes is where a new `_reload` starts: above what there was of it and what the instance said
// it applied, and not below what is in flight from it.
func (s *State) firstTimes(n int) int64 {
	times := s.lastFlight(n)
	if in := s.Instances[n]; in != nil {
		if in.highest > 0 {
			times = max(times, in.highest+1)
		}
		if in.Status != nil {
			times = max(times, in.Status.Times+1)
		}
	}
	return times
}

// lastFlight is the greatest times of what is in flight from ordinal n; 0: nothing is.
func (s *State) lastFlight(n int) (times int64) {
	for _, f := range s.Flight {
		if f.From == n {
			times = max(times, f.Times)
		}
	}
	return times
}

// highestStatus bounds what a status may raise `_reload` to. It leaves more than enough above it.
const highestStatus = maxTimes / 2

// NextTimes is the `_reload` of the next change of the list of ordinal n: above all that there was
// of it, by whatever tells of that. Another client may have set it back, and what the instance
// applied before would then be taken for a word on that change.
func (s *State) NextTimes(n int) int64 {
	in := s.Instances[n]
	times := max(in.Times, in.highest, s.lastFlight(n))
	if in.Status != nil && in.Status.Times <= highestStatus {
		times = max(times, in.Status.Times)
	}
	return times + 1
}

// ReloadsDamaged are the ordinals of which ReloadDamaged says so.
func (s *State) ReloadsDamaged() map[int]bool {
	last, damaged := map[int]int64{}, map[int]bool{}
	for _, f := range s.Flight {
		last[f.From] = max(last[f.From], f.Times)
	}
	for n, in := range s.Instances {
		if in.Times < max(0, in.highest, last[n]) {
			damaged[n] = true
		}
	}
	return damaged
}

// ReloadDamaged says whether `_reload` of ordinal n cannot be read, or is behind what there was of
// it: then what is in flight could never be acknowledged.
func (s *State) ReloadDamaged(n int) bool {
	in := s.Instances[n]
	return in.Times < max(0, in.highest, s.lastFlight(n))
}
