package scaler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/fault"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/scaler/actuate"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// turn is the acting part of one tick.
type turn struct {
	*Scaler
	ctx    context.Context
	now    time.Time
	in     *decide.Input
	d      *decide.Decision
	w      actuate.Workload
	orders *orders.Orders
}

// What was done about a decision.
const (
	doneScaled     = "scaled"
	doneDraining   = "draining"
	doneFailed     = "failed"
	doneHeld       = "held"
	doneNotOurs    = "not-ours"
	doneWouldScale = "would-scale"
	doneWouldDrain = "would-drain"
	doneAdvised    = "recommended"
)

func (t *turn) did(done, format string, args ...any) {
	t.d.Act = &decide.Act{DryRun: t.cfg.DryRun, Done: done, Text: fmt.Sprintf(format, args...)}
}

// resize brings the size about: growth at once, a shrink when what goes is empty.
func (t *turn) resize() {
	if t.d.Blind != "" || t.d.Verb == decide.Keep {
		return
	}
	fault.Point("scale.decided")
	from, to := *t.d.Current, t.d.Desired
	switch {
	case t.d.Owner == config.OwnerHPA:
		t.notOurs(from, to)
	case t.d.Mode == config.ModeRecommend:
		t.did(doneAdvised, "replicas %d -> %d is recommended, and nothing is emptied or written: replicas.mode is recommend", from, to)
	case t.cfg.DryRun && to < from && t.owned() > 0:
		t.did(doneWouldDrain, "would empty instances %d to %d, which own %d resources, and then write replicas %d -> %d", t.d.Start+to, t.d.Start+from-1, t.owned(), from, to)
	case t.cfg.DryRun:
		t.did(doneWouldScale, "would write replicas %d -> %d", from, to)
	case t.orders.Suspended != "":
		t.did(doneHeld, "nothing is written: %s", t.orders.Suspended)
	case to > from:
		t.grow(from, to)
	default:
		t.shrink(from, to)
	}
}

// notOurs says what an HPA is expected to do, and whether the instances that would go are empty.
func (t *turn) notOurs(from, to int) {
	if to > from {
		t.did(doneNotOurs, "replicas are the HPA's: it is recommended %d and has %d", to, from)
		return
	}
	t.did(doneNotOurs, "instances %d to %d are emptied, %d resources are left; replicas are the HPA's", t.d.Start+to, t.d.Start+from-1, t.owned())
	t.d.Act.Left = t.left()
}

// left counts what the leaving ordinals own by the snapshot; those that own nothing are left out.
func (t *turn) left() map[int]int {
	left := map[int]int{}
	for n := t.d.Start + t.d.Desired; n < t.d.Start+*t.d.Current; n++ {
		if i := t.in.Observed.Instance(n); i != nil && i.List != nil && i.List.Count+i.List.InFlight > 0 {
			left[n] = i.List.Count + i.List.InFlight
		}
	}
	return left
}

func (t *turn) owned() int { return total(t.left()) }

func total(left map[int]int) (n int) {
	for _, c := range left {
		n += c
	}
	return n
}

// shrink empties the ordinals that go and writes replicas when a synced read shows that they own nothing. The size is read before
// that: if a new leader has opened an ordinal since, it has raised the resourceVersion first and this write is refused.
func (t *turn) shrink(from, to int) {
	first, last := t.d.Start+to, t.d.Start+from-1
	if left := t.left(); len(left) > 0 {
		t.draining(first, last, left)
		return
	}
	size, err := t.size(from)
	if err != nil {
		t.failed(err)
		return
	}
	ordinals := make([]int, 0, from-to)
	for n := first; n <= last; n++ {
		ordinals = append(ordinals, n)
	}
	left, err := t.engine.Drained(t.ctx, ordinals)
	switch {
	case err != nil:
		t.did(doneDraining, "instances %d to %d are not proven empty yet: %v", first, last, err)
	case total(left) > 0:
		t.draining(first, last, left)
	default:
		fault.Point("scale.verified")
		t.resizeTo(size, to)
	}
}

// draining says how far the drain is and what it waits for. It never ends by giving up.
func (t *turn) draining(first, last int, left map[int]int) {
	t.did(doneDraining, "emptying instances %d to %d: %d resources are left", first, last, total(left))
	t.d.Act.Left = left
	if blocked := t.engine.Progress().Blocked; blocked != "" {
		t.d.Act.Text += "; " + blocked
	}
	t.act.Publish(t.w, actuate.Draining(first, last, t.d.Summary))
}

// grow writes at once, if ZooKeeper still answers and says that this process leads: the snapshot may be older than its silence. The
// size is read before that, as for a shrink.
func (t *turn) grow(from, to int) {
	size, err := t.size(from)
	if err != nil {
		t.failed(err)
		return
	}
	if err := t.leads(); err != nil {
		t.did(doneHeld, "nothing is written: %v", err)
		return
	}
	t.resizeTo(size, to)
}

// leads asks ZooKeeper itself whether this process holds the head.
func (t *turn) leads() error {
	ctx, cancel := context.WithTimeout(t.ctx, askTimeout)
	defer cancel()
	return t.engine.Leads(ctx)
}

// errBehind: the snapshot shows an older size than /scale does. One waits for it to catch up.
var errBehind = errors.New("the snapshot is behind")

// size reads /scale and makes sure that the decision was made for that size.
func (t *turn) size(from int) (actuate.Size, error) {
	if err := fault.Fail("scale.read"); err != nil {
		return actuate.Size{}, err
	}
	size, err := t.act.Size(t.ctx, t.w)
	if err == nil && size.Replicas != from {
		err = fmt.Errorf("%w: replicas are %d by now, and the decision was made for %d", errBehind, size.Replicas, from)
	}
	return size, err
}

// resizeTo writes a size. That we write it is kept before, with this tick's part of the windows: a successor must not take it for
// another's, whenever this process ends.
func (t *turn) resizeTo(size actuate.Size, to int) {
	if t.history.Undone(size.Replicas) {
		t.history = t.history.Opposed(t.now, t.in.Observed.Workload.ReplicasWriter, size.Replicas)
		t.did(doneHeld, "nothing is written yet: somebody has overwritten replicas %d with %d meanwhile", t.history.Wrote, size.Replicas)
		return
	}
	before := t.history
	t.history = t.history.Intended(to)
	if err := t.store(t.ctx, t.now, t.d); err != nil && !errors.Is(err, orders.ErrTooLarge) {
		t.history = before
		t.did(doneHeld, "nothing is written: %v", err)
		return
	}
	if err := t.write(size, to); err != nil {
		t.failed(err)
		return
	}
	fault.Point("scale.replied")
	t.history = t.history.Written(to)
	t.m.scaled(size.Replicas, to)
	t.did(doneScaled, "replicas %d -> %d", size.Replicas, to)
	t.act.Publish(t.w, actuate.Scaled(size.Replicas, to, t.d.Summary))
}

func (t *turn) write(size actuate.Size, to int) error {
	if err := fault.Fail("scale.sending"); err != nil {
		return err
	}
	fault.SoonAt("scale.sent")
	_, err := t.act.Resize(t.ctx, t.w, size, to)
	return err
}

// failed notes why the size could not be written; the next tick looks again.
func (t *turn) failed(err error) {
	t.did(doneFailed, "%v; the next tick looks again", err)
	if t.isFault(err) {
		t.m.failures.Inc()
		t.d.Denied = denied(err, t.w)
		t.while("CannotScale", true, actuate.CannotScale(err.Error()))
	}
}

// isFault says whether an error is worth a warning: what changed meanwhile is none, nor is what fails because
// this leader's term has ended. The next leader looks again, and meets that again if something is wrong.
func (t *turn) isFault(err error) bool {
	return !errors.Is(err, actuate.ErrConflict) && !errors.Is(err, errBehind) && t.ctx.Err() == nil
}

// restart deletes the pod that the verdicts chose, if any.
func (t *turn) restart() {
	if t.orders.Suspended != "" {
		return
	}
	for _, v := range t.d.Health.Verdicts {
		if !v.Restart {
			continue
		}
		if err := t.leads(); err != nil {
			t.log.Warn("a pod is not restarted", "pod", v.Pod, "error", err)
			return
		}
		if t.d.Act == nil {
			t.did("", "")
		}
		err := fault.Fail("restart.sending")
		if err == nil {
			err = t.act.Restart(t.ctx, t.w, v.Pod, v.UID)
		}
		if err != nil {
			if t.isFault(err) {
				t.act.Publish(t.w, actuate.CannotRestart(err))
			}
			continue
		}
		fault.Point("restart.replied")
		t.history = t.history.Restarted(v, t.now)
		t.m.restarts.Inc()
		t.d.Act.Restarted = append(t.d.Act.Restarted, v.Pod)
		t.act.Publish(t.w, actuate.Restarted(v.Pod, v.Text))
	}
}

// raise raises the events of states that last. A look during which the term ended may have seen the inputs end, too.
func (t *turn) raise() {
	if t.ctx.Err() != nil {
		return
	}
	d := t.d
	limited := func(by decide.Reason) (text string) {
		for _, l := range d.Limits {
			if l.By == by {
				text = l.Text
			}
		}
		return text
	}
	t.while("Blind", t.settled("Blind", d.Blind != "" && d.Reason != decide.NoWorkload), actuate.Blind(d.Blind))
	t.while("NobodyRestarted", t.settled("NobodyRestarted", d.Health.Breaker != "") && d.Blind == "", actuate.NobodyRestarted(d.Health.Breaker))
	t.while("BeyondCapacity", d.Excess > 0, actuate.BeyondCapacity(d.Excess, d.Max, d.Capacity))
	full := limited(decide.ByUnschedulable)
	t.while("ClusterFull", full != "", actuate.ClusterFull(full))
	if d.Denied != "" || done(d) != doneFailed { // what failed otherwise was told when it did
		t.while("CannotScale", d.Denied != "", actuate.CannotScale(d.Denied))
	}
	t.while("DrainBlocked", done(d) == doneDraining && d.Drain.Waits(t.now, decide.WarnedAfter), actuate.DrainBlocked(acted(d)))
	if done(d) != doneDraining {
		if done(&t.last) == doneDraining && d.Blind == "" && d.Verb != decide.Shrink {
			t.act.Publish(t.w, actuate.DrainUndone(d.Summary))
		}
	}
	unannounced := t.engine.Progress().Unannounced
	if t.in.Observed.Sources.Notify.Error != "" { // that no message comes is known by then
		unannounced = ""
	}
	t.while("RowsUnannounced", unannounced != "", actuate.RowsUnannounced(unannounced))
	t.while("ForeignWriter", d.Foreign != nil && d.Foreign.Stopped, foreignWriter(d))
	t.while("NotKept", t.unkept != nil, actuate.NotKept(t.unkept))
	t.while("ConflictingHPA", d.Conflict != nil, conflictingHPA(d))
	t.taken()
	t.reportLost()
}

// startGrace is how long a leader that has just begun may lack what it has not read yet.
const startGrace = 30 * time.Second

// settled says whether a state that may only mean that this leader has just begun is on, and means
// more: it was off once, or lasts.
func (t *turn) settled(state string, on bool) bool {
	if !on || t.now.Sub(t.began) >= startGrace {
		t.passed[state] = true
	}
	return on && t.passed[state]
}

// raiseAgain is when the event of a state that lasts is raised again.
const raiseAgain = time.Hour

// while raises e when a state begins, and again every hour as long as it lasts.
func (t *turn) while(state string, on bool, e actuate.Event) {
	if !on {
		delete(t.raised, state)
		return
	}
	if at, ok := t.raised[state]; ok && t.now.Sub(at) < raiseAgain {
		return
	}
	t.raised[state] = t.now
	if !t.cfg.DryRun {
		t.act.Publish(t.w, e)
	}
}

// whileAs is while for a state that has details: e is raised again when they change.
func (t *turn) whileAs(state, details string, on bool, e actuate.Event) {
	now := state + " " + details
	maps.DeleteFunc(t.raised, func(was string, _ time.Time) bool { return strings.HasPrefix(was, state+" ") && was != now })
	t.while(now, on, e)
}
