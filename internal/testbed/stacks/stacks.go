// Package stacks shows where the goroutines of this process are, for tests that must know that one
// waits and for what.
//
// In: nothing. Out: each goroutine at one and the same moment. Invariant: what waits for a lock or
// for a channel is shown so, and not what has been given it and has not gone on yet.
package stacks

import (
	"regexp"
	"runtime"
	"strings"
)

// Goroutine is one of them.
type Goroutine struct {
	ID string
	// State is what it waits for, such as `select` or `sync.Mutex.Lock`, or `running`, `runnable`.
	State string
	Stack string
}

var head = regexp.MustCompile(`^goroutine (\d+) (?:gp=\S+ m=\S+ (?:mp=\S+ )?)?\[([^\],]*)[^\]]*\]:`)

// All are the goroutines of the process.
func All() []Goroutine { return dump(true) }

// Mine is the one that calls.
func Mine() Goroutine { return dump(false)[0] }

// Inside are those that are in a call of a function whose name has this in it.
func Inside(function string) (inside []Goroutine) {
	for _, g := range All() {
		if strings.Contains(g.Stack, function+"(") {
			inside = append(inside, g)
		}
	}
	return inside
}

// AtLock says whether it waits for a lock that another one holds.
func (g Goroutine) AtLock() bool {
	return strings.HasPrefix(g.State, "sync.Mutex") || strings.HasPrefix(g.State, "sync.RWMutex")
}

func dump(all bool) (found []Goroutine) {
	text := make([]byte, 1<<16)
	n := runtime.Stack(text, all)
	for ; n == len(text); n = runtime.Stack(text, all) {
		text = make([]byte, 2*len(text))
	}
	for part := range strings.SplitSeq(string(text[:n]), "\n\n") {
		if m := head.FindStringSubmatch(part); m != nil {
			found = append(found, Goroutine{ID: m[1], State: m[2], Stack: part})
		}
	}
	return found
}
