package observed

import "time"

// backlog is, by ordinal, when the changes were made that an instance has not acknowledged.
// ZooKeeper tells only of the newest, whose age stays small while one follows the other.
type backlog map[int][]change

// change is one `_reload` and when it was written.
type change struct {
	times int64
	at    time.Time
}

// maxBacklog bounds what is kept of one ordinal. Further ones count as made with the last.
const maxBacklog = 16

// follow returns what is left after a complete read. Without status a backlog stays.
func (b backlog) follow(lists map[int]List) backlog {
	next := backlog{}
	for ordinal, l := range lists {
		left := b[ordinal]
		if l.Status != nil {
			for len(left) > 0 && left[0].times <= l.Status.Times {
				left = left[1:]
			}
			if l.Status.Times >= l.Times {
				// also where the list was made anew and its count begins again
				continue
			}
		}
		if left = appended(left, change{l.Times, l.Changed}); l.Status != nil || len(b[ordinal]) > 0 {
			next[ordinal] = left
		}
	}
	return next
}

// appended never writes into what a former backlog holds.
func appended(left []change, c change) []change {
	switch n := len(left); {
	case n > 0 && left[n-1].times == c.times:
		return left
	case n == maxBacklog:
		return append(append(make([]change, 0, n), left[:n-1]...), change{c.times, left[n-1].at})
	default:
		return append(left[:n:n], c)
	}
}

// since is when the oldest unacknowledged change was made; zero: none.
func (b backlog) since(ordinal int, l *List) time.Time {
	if left := b[ordinal]; len(left) > 0 && l.Status != nil && l.Status.Times < l.Times {
		return left[0].at
	}
	return time.Time{}
}
