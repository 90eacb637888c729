package wave

import (
	"encoding/json"
	"slices"
	"time"
)

// Moved are N moves made at the same time.
type Moved struct {
	At time.Time `json:"at,omitzero"`
	N  int       `json:"n"`
}

// Window are the voluntary moves of the last minute.
type Window []Moved

// maxWindow bounds a Window: one entry for each second of a minute, and as many again.
const maxWindow = 120

// Budget is how many more voluntary moves this minute allows, and when more will be; negative: any
// number. perMinute 0 is no limit.
func (w *Window) Budget(perMinute int, now time.Time) (budget int, next time.Time) {
	if perMinute == 0 {
		return -1, time.Time{}
	}
	budget = perMinute
	recent := w.Recent(now)
	for _, m := range recent {
		budget -= m.N
	}
	if len(recent) > 0 {
		next = recent[0].At.Add(time.Minute)
	}
	return max(0, budget), next
}

// Recent forgets what is older than a minute, and takes the moves of one second together.
func (w *Window) Recent(now time.Time) Window {
	all := slices.DeleteFunc(*w, func(m Moved) bool { return now.Sub(m.At) >= time.Minute })
	for i := len(all) - 1; i > 0; i-- {
		if all[i].At.Unix() == all[i-1].At.Unix() {
			all[i].N += all[i-1].N // as if all were made at the later time
			all = slices.Delete(all, i-1, i)
		}
	}
	if over := len(all) - maxWindow; over > 0 {
		// another leader's clock was ahead: none is forgotten, the oldest are taken together
		for _, m := range all[:over] {
			all[over].N += m.N
		}
		all = slices.Delete(all, 0, over)
	}
	*w = all
	return all
}

// Note writes it as the note of a plan that has ended.
func (w Window) Note() []byte {
	note, _ := json.Marshal(w) // times of a clock can be encoded
	return note
}

// Pace is how fast moves arrive, by those of the last minute.
type Pace []Moved

// Arrived notes moves that have arrived.
func (p *Pace) Arrived(now time.Time, n int) {
	*p = append(slices.DeleteFunc(*p, func(m Moved) bool { return now.Sub(m.At) > time.Minute }), Moved{At: now, N: n})
}

// PerMinute is how many arrive in a minute.
func (p *Pace) PerMinute(now time.Time) float64 {
	n, since := 0, time.Second
	for _, m := range *p {
		if age := now.Sub(m.At); age <= time.Minute {
			n, since = n+m.N, max(since, age)
		}
	}
	return float64(n) / since.Minutes()
}
