package heartbeat

import "github.com/shardscaler/shardscaler/adapter/observed"

// maxUndecided bounds the beats of a partition that wait for the ends of their transactions.
const maxUndecided = 4096

// undecided are the beats of transactions that have not ended, by producer: a producer has one
// transaction at a time, and the broker writes a marker behind each. The broker could be asked for
// what is committed alone; then one transaction that hangs, whosever it is, would hold back every
// beat behind its first message.
type undecided struct {
	of    map[int64][]observed.Beat
	total int
}

// add keeps a beat until its producer's transaction ends. Where there is no room, the longest
// transaction is given up; it returns how many beats that had.
func (u *undecided) add(producer int64, b observed.Beat) (givenUp int) {
	if u.of == nil {
		u.of = map[int64][]observed.Beat{}
	}
	if u.total >= maxUndecided {
		longest := producer
		for p, beats := range u.of {
			if len(beats) > len(u.of[longest]) {
				longest = p
			}
		}
		givenUp = len(u.end(longest))
	}
	u.of[producer] = append(u.of[producer], b)
	u.total++
	return givenUp
}

// end returns the beats of a producer's transaction, which are undecided no longer.
func (u *undecided) end(producer int64) []observed.Beat {
	beats := u.of[producer]
	delete(u.of, producer)
	u.total -= len(beats)
	return beats
}
