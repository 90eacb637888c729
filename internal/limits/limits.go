// Package limits bounds what callers cost: requests at once, and questions to others for them.
//
// In: requests, each with the source that it counts for. Out: a turn, or an error at once.
// Invariant: what is given up leaves no debt, one source never uses up what the others need.
package limits

import (
	"context"
	"net/netip"
	"sync"

	"golang.org/x/time/rate"
)

// Line hands out turns at a bounded rate, in the order in which callers ask.
//
// Only the first caller in the line holds a reservation of the rate limiter: those of a hundred
// callers that hang up would leave a debt of a hundred turns.
type Line struct {
	first chan struct{} // holds a token while a caller is the first
	rate  *rate.Limiter
}

// NewLine returns a Line of perSecond turns a second, of which burst may be taken at once.
func NewLine(perSecond float64, burst int) *Line {
	return &Line{first: make(chan struct{}, 1), rate: rate.NewLimiter(rate.Limit(perSecond), burst)}
}

// Wait returns nil when it is the caller's turn, or the error of ctx, and then no turn is used up.
func (l *Line) Wait(ctx context.Context) error {
	select {
	case l.first <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-l.first }()
	return l.rate.Wait(ctx)
}

// Share bounds how many requests are under way at once, in all and for one source.
type Share struct {
	most, each int

	mu       sync.Mutex
	underWay int
	bySource map[string]int
}

// NewShare returns a Share of most requests at once, of which one source may have half.
func NewShare(most int) *Share { return newShare(most, max(1, most/2)) }

func newShare(most, each int) *Share {
	return &Share{most: most, each: each, bySource: map[string]int{}}
}

// Each is how many requests of one source may be under way at once.
func (s *Share) Each() int { return s.each }

// Enter takes a place for source; false: there is none. Leave gives it back.
func (s *Share) Enter(source string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.underWay >= s.most || s.bySource[source] >= s.each {
		return false
	}
	s.underWay++
	s.bySource[source]++
	return true
}

// Leave gives a place back.
func (s *Share) Leave(source string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.underWay--
	if s.bySource[source]--; s.bySource[source] == 0 {
		delete(s.bySource, source) // callers choose names: none is kept longer than its requests
	}
}

// Source is what host:port counts as: the IPv4 address, or the /64 network that an IPv6 host has.
func Source(address string) string {
	parsed, err := netip.ParseAddrPort(address)
	if err != nil {
		return address
	}
	ip := parsed.Addr().Unmap()
	if ip.Is4() {
		return ip.String()
	}
	network, _ := ip.WithZone("").Prefix(64) // an IPv6 address has that many bits
	return network.String()
}
