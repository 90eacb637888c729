// Package access says who calls, and whether they may: on every door of the server.
//
// In: requests, each with the door that it came through, and reviews by Kubernetes. Out: the same
// requests with their caller in the context, or a problem document. Invariant: fail closed; a token
// is sent to nothing but the API server, and is in no log, error or metric.
//
// door.go says what each door lets through, right.go what a request needs, reviews.go asks
// Kubernetes, guard.go holds one against the other, session.go seals tokens for browsers, peers.go
// joins the replicas, audit.go notes changes, refusal.go says no.
package access

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/shardscaler/shardscaler/internal/limits"
)

// Door is the way by which a request came in.
type Door string

const (
	// Plain is HTTP: what needs no token.
	Plain Door = "plain"
	// Secure is TLS: bearer tokens.
	Secure Door = "secure"
	// Aggregated is the API server, which has let the caller in and says who that is.
	Aggregated Door = "aggregated"
)

// User is who asks, as Kubernetes knows them.
type User struct {
	Name   string              `json:"name"`
	UID    string              `json:"uid,omitempty"`
	Groups []string            `json:"groups,omitempty"`
	Extra  map[string][]string `json:"extra,omitempty"`
}

// key is a hash of all that a review depends on.
func (u User) key() string {
	text, _ := json.Marshal(u) // text
	return hash("user", string(text))
}

// insecureLocal is the user of a server that trusts every process of its machine.
const insecureLocal = "insecure-local"

// caller is what is known of the request's origin. The guard fills it in before a handler sees it.
type caller struct {
	door   Door
	source string // host:port
	user   User
	// vouched: user may do what is asked, as the API server or another replica says.
	vouched bool
	// peer: another replica passed the request on.
	peer bool
	// stranger is why there is no user, if LetAnyone has let in without one.
	stranger string
	// until is when the session ends; zero: there is none.
	until time.Time
	// recheck asks again whether the caller may; nil: there is nothing to ask.
	recheck func(context.Context) error
	// note is what a change says of itself for the audit log.
	note Note

	mu sync.Mutex
	// sees are the kinds that a list may show; nil: all. A stream reads it while another goroutine
	// asks again.
	sees []string
}

func (c *caller) setSees(kinds []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sees = kinds
}

func (c *caller) mayBeShown() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sees
}

type callerKey struct{}

func with(ctx context.Context, c *caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

func from(ctx context.Context) *caller {
	if c, ok := ctx.Value(callerKey{}).(*caller); ok {
		return c
	}
	return &caller{door: Plain} // what came through no door has no right
}

// UserFrom is who asks; its Name is "" on calls that need no token.
func UserFrom(ctx context.Context) User { return from(ctx).user }

// StrangerFrom is why a request that LetAnyone has let in has no user, and how to prove who calls; "": it has one.
func StrangerFrom(ctx context.Context) string { return from(ctx).stranger }

// DoorFrom is the door that the request came through, Plain if through none.
func DoorFrom(ctx context.Context) Door { return from(ctx).door }

// SourceFrom is what a request counts as where places are shared out: the user whom the API server
// has let in, and else where the request comes from.
func SourceFrom(ctx context.Context, address string) string {
	c := from(ctx)
	switch {
	case c.door == Aggregated:
		return "user " + c.user.Name
	case c.peer:
		return limits.Source(c.source)
	}
	return limits.Source(address)
}

// Sees says whether a list of kinds may show this one: not all callers may list all.
func Sees(ctx context.Context, kind string) bool {
	sees := from(ctx).mayBeShown()
	return sees == nil || slices.Contains(sees, kind)
}

// Recheck asks again whether the caller may do what the request asks. A stream calls it each
// minute, and ends with the error.
func Recheck(ctx context.Context) error {
	if recheck := from(ctx).recheck; recheck != nil {
		return recheck(ctx)
	}
	return nil
}

// Unsure says of an error of Recheck that Kubernetes could not be asked: nothing is refused, and
// the caller may be let in again in a moment.
func Unsure(err error) bool {
	no := (*refusal)(nil)
	return errors.As(err, &no) && (no.reason == refusedBusy || no.reason == refusedReview)
}
