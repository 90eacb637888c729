package protocol

import (
	"fmt"
	"slices"
)

// This file is the protocol: one pure function a step, from a State to the Multi that takes it. A step reads no clock and makes
// no names up: what is not in the State is an argument. It refuses what would break an invariant, so that a caller's mistake
// is an error here and not a lost resource there.
//
// All steps of one State are computed from what was read; two Multis that share a znode (Multi.Overlaps) cannot both
// succeed: apply the first, then compute the second.

// Take names ids to be taken out of one piece of the pool (Piece.Name) or of the flight (Flight.Name); nil IDs: all of it.
type Take struct {
	Name string
	IDs  []string
}

// Grant adds what is taken to the list of one ordinal.
type Give struct {
	To   int
	From []Take
}

// maxGrants is the number of lists one transaction may change.
const maxGrants = 2

// Lead takes the head: epoch + 1, a holder `<pod>/<nonce>` that no other attempt uses. The set of open ordinals stays.
// Client.Lead does this and the reading that must follow.
func Lead(s *State, holder string) (Multi, error) {
	if s.head.fault {
		return Multi{}, fmt.Errorf("lead: %w: %s", ErrStopped, s.Fault())
	}
	head := Head{V: schema, Epoch: s.Head.Epoch, Holder: holder, Open: s.Head.Open}
	for name := range s.Pool { // also pieces of a head that somebody deleted: their names must not come again
		epoch, _, _ := parsePair(name)
		head.Epoch = max(head.Epoch, epoch)
	}
	head.Epoch++
	m := setHead(s, "lead", head)
	m.Parents = Parents(s.Kind)
	return m, nil
}

// SetOpen replaces the set of ordinals that may receive. It moves the head's version: every Multi computed before it fails.
func SetOpen(s *State, open []int) (Multi, error) {
	b, err := begin(s, "open")
	if err != nil {
		return Multi{}, err
	}
	if err := checkOrdinals(open); err != nil {
		return b.fail("%w", err)
	}
	for _, n := range open {
		if in := s.Instances[n]; in == nil || in.Begun {
			return b.fail("ordinal %d: has no znodes, or another client has begun to make them", n)
		}
	}
	head := s.Head
	head.Open = slices.Clone(open)
	if size := len(encodeHead(head)); size > MaxDocBytes {
		return b.fail("%d ordinals: head of %d bytes, at most %d: %w", len(open), size, MaxDocBytes, ErrTooLarge)
	}
	return setHead(s, "open", head), nil
}

// TouchHead writes the head as it is, so that requests of ours that are still under way somewhere can no longer succeed.
func TouchHead(s *State) Multi { return setHead(s, "touch", s.Head) }

func setHead(s *State, step string, head Head) Multi {
	b := &builder{s: s, m: Multi{Step: step}}
	b.put(HeadPath(s.Kind), encodeHead(head), s.HeadVersion, func(s *State, r Result) {
		s.Head, s.HeadVersion, s.head.zxid = head, r.Version, r.Zxid
	})
	m, _ := b.done() // a head is small: SetOpen sees to it
	return m
}
