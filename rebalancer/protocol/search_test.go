package protocol

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// search tries every interleaving, shortest first, until something must not be or nothing new is
// found.
type search struct {
	model
	seen  map[[16]byte]struct{}
	trail []step // how each world was first reached
	queue []scene
	first int // the queue's head is the trail's first-th
	found string
	steps map[string]int // how often each kind of step was taken
	buf   []byte
}

type step struct {
	parent int32
	what   string
}

// result is what a search says of itself.
type result struct {
	states, conflicts int
	found             string   // the violation, "" if there is none
	trace             []string // the shortest way to it
	steps             map[string]int
}

func explore(t *testing.T, b bugs, left limits, resources ...string) result {
	s := &search{model: model{t: t, resources: resources, bugs: b, ledgers: map[string]*ledger{}}, seen: map[[16]byte]struct{}{}, steps: map[string]int{}}
	s.add(-1, "start", s.start(left))
	for len(s.queue) > 0 && s.found == "" {
		w := s.queue[0]
		s.queue[0] = scene{}
		s.queue = s.queue[1:]
		s.expand(s.first, w)
		s.first++
	}
	r := result{states: len(s.seen), conflicts: s.conflicts, found: s.found, steps: s.steps}
	if s.found != "" {
		for i := int32(len(s.trail) - 1); i >= 0; i = s.trail[i].parent {
			r.trace = append(r.trace, s.trail[i].what)
		}
		slices.Reverse(r.trace)
	}
	return r
}

// add notes a world if it is new.
func (s *search) add(parent int, what string, w scene) {
	if s.found != "" {
		return
	}
	s.settleDown(&w)
	s.buf = w.encode(s.buf[:0])
	sum := sha256.Sum256(s.buf)
	key := [16]byte(sum[:16])
	if _, old := s.seen[key]; old {
		return
	}
	s.seen[key] = struct{}{}
	s.trail = append(s.trail, step{int32(parent), what})
	s.queue = append(s.queue, w)
	s.found = s.violation(&w)
}

// expand adds all worlds that are one step from w, which is the trail's i-th.
func (s *search) expand(i int, w scene) {
	take := func(kind, what string, change func(w *scene)) {
		next := w
		change(&next)
		s.steps[kind]++
		s.add(i, what, next)
	}
	for l := range leadersN {
		s.expandLeader(w, l, take)
	}
	for n := range ordinalsN {
		s.expandInstance(w, n, take)
	}
	for k, multi := range w.late {
		take("late", "the lost "+multi.Step+" comes to the server after all", func(w *scene) {
			w.late = slices.Delete(slices.Clone(w.late), k, k+1)
			_, _ = s.commit(w, multi)
		})
	}
	if w.left.flips > 0 {
		for r, id := range s.resources {
			take("client", fmt.Sprintf("the client wants %s %s", id, map[bool]string{false: "created", true: "deleted"}[w.want.has(r)]), func(w *scene) {
				w.left.flips--
				w.want, w.answered, w.safe = w.want^1<<r, w.answered.without(r), w.safe.without(r)
				for l := range leadersN {
					w.leaders[l].heard = false
				}
			})
		}
	}
	for path, data := range map[string]string{ResourcesPath(thing, 1): `{"ids":[]}`, ReloadPath(thing, 1): `{"times":0}`} {
		if trial := w; s.write(&trial, path, data) {
			take("another client", "another client writes "+path, func(w *scene) { s.write(w, path, data) })
		}
	}
	if w.left.orders > 0 {
		for n := range ordinalsN {
			take("orders", fmt.Sprintf("ordinal %d is to go, or to stay after all", n), func(w *scene) {
				w.left.orders--
				w.stay ^= 1 << n
			})
		}
	}
}

type taker func(kind, what string, change func(w *scene))

func (s *search) expandLeader(w scene, i int, take taker) {
	who := fmt.Sprintf("leader %d ", i)
	if w.left.leads > 0 {
		take("lead", who+"takes the head", func(w *scene) {
			w.left.leads--
			s.lead(w, &w.leaders[i])
		})
	}
	l := &w.leaders[i]
	if l.view == nil {
		return
	}
	if a := l.asked; a != nil {
		s.expandAsked(w, i, who, take)
		return
	}
	take("look", who+"looks", func(w *scene) { s.look(w, &w.leaders[i]) })
	if s.bugs.ownedAlone {
		take("look", who+"looks while all pods are orphaned", func(w *scene) {
			s.look(w, &w.leaders[i])
			w.leaders[i].pods = [ordinalsN]int{}
		})
	}
	trial := *l
	j, ok := s.next(&w, &trial)
	switch {
	case !ok:
		return
	case j.m.Empty():
		take("answer", who+"answers "+s.resources[j.wish]+": that is so already", func(w *scene) { s.answer(w, j.wish) })
		return
	}
	with := func(change func(w *scene, l *leader)) func(w *scene) {
		return func(w *scene) {
			w.leaders[i] = trial
			change(w, &w.leaders[i])
		}
	}
	what := who + "sends " + describe(j.m)
	take(j.m.Step, what, with(func(w *scene, l *leader) { s.send(w, l, j) }))
	if w.left.faults > 0 {
		take("lost request", what+", which is lost", with(func(w *scene, l *leader) {
			w.left.faults--
			s.lose(w, l, j, true)
		}))
		take("lost answer", what+"; the answer is lost", with(func(w *scene, l *leader) {
			w.left.faults--
			s.lose(w, l, j, false)
		}))
	}
}

func (s *search) expandAsked(w scene, i int, who string, take taker) {
	if w.leaders[i].asked.results == nil {
		take("settle", who+"settles what was lost", func(w *scene) { s.settle(w, &w.leaders[i]) })
		return
	}
	take("touch", who+"moves the head", func(w *scene) { s.touch(w, &w.leaders[i]) })
}

func (s *search) expandInstance(w scene, n int, take taker) {
	who := fmt.Sprintf("instance %d ", n)
	trial := w
	if at := w.processes[n].at; s.run(&trial, n) {
		take("instance", who+doing(&w, &trial, n, at), func(w *scene) { *w = trial })
	}
	p, e := w.processes[n], w.statuses[n]
	if e.there && !e.owned && (n == 0 || !p.connected || e.uid != p.uid) {
		take("expire", fmt.Sprintf("the old session of instance %d expires", n), func(w *scene) {
			fence(w, n)
			w.statuses[n] = ephemeral{}
		})
	}
	if p.none {
		take("pod", fmt.Sprintf("pod %s is created", uid(n, p.uid)), func(w *scene) { restart(w, n) })
		return
	}
	if !p.connected {
		take("connect", who+"has a new session", func(w *scene) {
			fence(w, n)
			w.processes[n].connected = true
		})
	}
	if w.left.faults == 0 {
		return
	}
	fault := func(kind, what string, change func(w *scene)) {
		take(kind, who+what, func(w *scene) {
			w.left.faults--
			change(w)
		})
	}
	fault("container", "restarts in its pod", func(w *scene) { restart(w, n) })
	fault("no pod", "is gone with its pod", func(w *scene) { remove(w, n) })
	if p.connected {
		fault("session", "loses its session", func(w *scene) { disconnect(w, n) })
	}
}

func doing(before, after *scene, n, at int) string {
	switch p, e := after.processes[n], after.statuses[n]; {
	case at == atAcknowledged:
		return fmt.Sprintf("starts what is new: runs %b", p.running)
	case !before.statuses[n].there:
		return fmt.Sprintf("creates its status, times %d", e.times)
	case !e.there:
		return "deletes its own leftover status"
	case at == atList:
		return fmt.Sprintf("acknowledges %d", e.times)
	default:
		return fmt.Sprintf("reads: times %d, list %b; runs %b", p.times, p.list, p.running)
	}
}

// describe names a transaction and what it writes.
func describe(m Multi) string {
	var b strings.Builder
	b.WriteString(m.Step)
	for _, op := range m.Ops {
		if op.Kind != OpCheck {
			fmt.Fprintf(&b, " [%s %s]", strings.TrimPrefix(strings.TrimPrefix(op.Path, OwnRoot+"/Thing/"), InstancesRoot+"/Thing/"), op.Data)
		}
	}
	return b.String()
}

// scenarios are worlds whose every interleaving is tried; all are warm: the resources were created,
// and run.
var scenarios = []struct {
	name      string
	resources []string
	left      limits
	least     int // states, so that a search that ends at once is no proof
}{
	{"a drain, a second leader and a fault", []string{"a"}, limits{leads: 1, faults: 1, orders: 1}, 5_000},
	{"a drain and two faults", []string{"a"}, limits{faults: 2, orders: 1}, 30_000},
	{"delete, create and delete again, and a drain undone", []string{"a"}, limits{flips: 3, orders: 2}, 12_000},
	{"delete, create again, a second leader and a fault", []string{"a"}, limits{leads: 1, faults: 1, flips: 2}, 12_000},
	{"two resources and a drain", []string{"a", "b"}, limits{leads: 1, faults: 1, orders: 1}, 12_000},
	{"an ordinal that another client has begun", []string{"a"}, limits{leads: 1, orders: 1, writes: 2}, 5_000},
	{"an ordinal that another client has begun, and a fault", []string{"a"}, limits{faults: 1, orders: 1, writes: 1}, 5_000},
	{"some of everything", []string{"a"}, limits{leads: 1, faults: 1, flips: 1, orders: 1}, 30_000},
}

func TestSearchFindsNothing(t *testing.T) {
	long(t)
	total, steps, begun := 0, map[string]int{}, time.Now()
	for _, c := range scenarios {
		t.Run(c.name, func(t *testing.T) {
			begun := time.Now()
			r := explore(t, bugs{}, c.left, c.resources...)
			t.Logf("%d states in %s", r.states, time.Since(begun).Round(time.Millisecond))
			require.Empty(t, r.found, "the shortest way:\n  %s", strings.Join(r.trace, "\n  "))
			require.GreaterOrEqual(t, r.states, c.least)
			require.Zero(t, r.conflicts, "transactions were refused under the right head")
			total += r.states
			for kind, n := range r.steps {
				steps[kind] += n
			}
		})
	}
	t.Logf("%d states in %s; steps taken: %v", total, time.Since(begun).Round(time.Millisecond), steps)
	for _, kind := range []string{
		"lead", "look", "open", "create", "answer", "assign", "revoke", "redirect", "grant", "release", "forget", "delete-pooled", "settle", "touch",
		"lost request", "lost answer", "late", "client", "orders", "another client", "repair", "instance", "container", "no pod", "pod", "session", "connect", "expire",
	} {
		require.NotZero(t, steps[kind], "%s never happened", kind)
	}
}

// long skips a search in short runs: one goroutine makes it, and takes a minute under the race
// detector.
func long(t *testing.T) {
	if testing.Short() {
		t.Skip("a search is long")
	}
}

// Each mistake must be found, with no more trouble than its limits allow; without the mistake the
// same limits find nothing.
func TestSearchFindsBugs(t *testing.T) {
	long(t)
	const twice, owned = "two instances run a", "id \"a\": is in "
	for name, c := range map[string]struct {
		bugs bugs
		left limits
		want string
	}{
		"no head check while an ordinal closes":      {bugs{noHeadCheck: true}, limits{leads: 1, flips: 2, orders: 1}, "drained"},
		"grant before release":                       {bugs{earlyGrant: true}, limits{orders: 1}, twice},
		"reply lost taken as failure":                {bugs{lostIsFailed: true}, limits{faults: 1, flips: 2}, owned},
		"drain that gives up":                        {bugs{drainGivesUp: true}, limits{orders: 1}, "drained"},
		"version ignored":                            {bugs{versionsIgnored: true}, limits{leads: 1, orders: 1, flips: 1}, owned},
		"resources read before _reload":              {bugs{listBeforeReload: true}, limits{faults: 1, orders: 1}, twice},
		"absent status taken as release":             {bugs{absentIsReleased: true}, limits{faults: 1, orders: 1}, twice},
		"deleted id re-created before release":       {bugs{earlyForget: true}, limits{orders: 1, flips: 2}, twice},
		"deleted id re-created beside its flight":    {bugs{createInFlight: true}, limits{flips: 2}, owned},
		"head not moved after a settled request":     {bugs{noTouch: true}, limits{faults: 1, flips: 2}, owned},
		"answer from an old State":                   {bugs{staleAnswer: true}, limits{leads: 1, flips: 2}, "lost"},
		"recorded pod gone, its successor not asked": {bugs{goneIsEnough: true}, limits{faults: 1, orders: 1}, twice},
		"pods as they were before the revoke":        {bugs{oldPicture: true}, limits{faults: 2, orders: 1}, twice},
		"an orphaned pod taken for gone":             {bugs{ownedAlone: true}, limits{orders: 1}, twice},
		"absence from before the revoke":             {bugs{oldAbsence: true}, limits{faults: 1, orders: 1}, "two instances run b"},
		"fencing taken for granted":                  {bugs{fencesAssumed: true}, limits{faults: 1, orders: 1}, twice},
		"acknowledge before stop":                    {bugs{ackBeforeStop: true}, limits{orders: 1}, twice},
		"an ordinal that another client has begun":   {bugs{begunIsOurs: true}, limits{orders: 1, writes: 2}, "lost"},
		"a beginning that ends with its list":        {bugs{listIsEnough: true}, limits{leads: 1, orders: 2, writes: 1}, twice},
	} {
		t.Run(name, func(t *testing.T) {
			begun := time.Now()
			resources := []string{"a"}
			if c.bugs.oldAbsence {
				resources = []string{"a", "b"} // b runs on ordinal 1, which fences itself
			}
			r := explore(t, c.bugs, c.left, resources...)
			t.Logf("%d states in %s, %d steps: %s", r.states, time.Since(begun).Round(time.Millisecond), len(r.trace)-1, r.found)
			require.NotEmpty(t, r.found)
			require.Empty(t, explore(t, bugs{}, c.left, resources...).found)
			require.Contains(t, r.found, c.want, "the shortest way:\n  %s", strings.Join(r.trace, "\n  "))
		})
	}
}
