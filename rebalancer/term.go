package rebalancer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/shardscaler/shardscaler/internal/fault"
	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/loop"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/wave"
)

const (
	// foreignLimit edits by others within foreignWindow are borne; more pause the kind.
	foreignLimit  = 3
	foreignWindow = 10 * time.Minute
	// lookPause is the least time between two looks, and lookShare the least ratio of that time to
	// what a look takes.
	lookPause = 100 * time.Millisecond
	lookShare = 10
	// conflictPause keeps two who write the same znodes from a race that neither wins.
	conflictPause = 50 * time.Millisecond
)

// term is one uninterrupted time of writing under one epoch. One goroutine owns it and its State;
// it ends with the first error that leaves the State in doubt, and whoever comes next reads
// everything anew.
//
// It is level-triggered: each step looks at the State, the queue and the Orders, and does the next
// thing to do, if there is one. Nothing that must be finished is remembered here: a successor goes
// on from ZooKeeper alone.
type term struct {
	e  *Engine
	st *protocol.State
	// now is when this step of the pass looks: no step reads a clock.
	now    time.Time
	holder string
	// orders are those of this pass; idle is why they may not be acted upon, "" if they may.
	orders orders.Orders
	idle   string
	// stay are the ordinals that stay by the last orders that could be acted upon: what is shown as
	// draining does not depend on a hold.
	stay []int
	// ordered is the number of the orders.
	ordered int
	// unproven is why lost ordinals are not emptied.
	unproven map[int]string
	// piece is the least number that no pool piece of this epoch has ever had.
	piece int64
	// written is when a list was last changed, placed and evened when it was last planned where the
	// pool goes and how to even the lists, by our own clock.
	written        map[int]time.Time
	placed, evened time.Time
	releases       *loop.Releases
	// proven is the time, by the queue's clock, at which something began that found us leading.
	proven int64
	// reconciledTo is the version of what a comparison with the catalogue depends on that is kept.
	reconciledTo int
	// confirmed is when the head was last read for its own sake.
	confirmed time.Time
	// due is when there will be something to do even if nobody wakes us; refreshed when ZooKeeper
	// was last looked at.
	due, refreshed time.Time
	// changed: ZooKeeper says that a status changed, dirty: we know that something did. rest is how
	// long a look may be put off in the first case.
	changed, dirty bool
	rest           time.Duration
	// glance is the one under way, nil if none is; glances are all that have not ended.
	glance  *glance
	glances sync.WaitGroup
	// streaming: a batch is under way of which the State does not show the effects yet.
	streaming bool
	// creating, repair and opening are steps that remember something.
	creating *loop.Create
	repair   *loop.Repair
	opening  *loop.Open
	// foreign are the times at which somebody else's edits were seen.
	foreign []time.Time
	spread  spreading
	full    fullness
	// traits are those in force, lists the planner's view of them, parked what the last plan found
	// no place for.
	traits *inventory.Attributes
	lists  map[int]*listing
	parked []plan.RefusedGroup
	// accounted is the last account of the weights.
	accounted account
	// blocked is what keeps this pass from going on; draining what is left on ordinals that leave.
	blocked    string
	wave       *wave.Running
	pace       wave.Pace
	duplicates []orders.Duplicate
	refusals   map[string]time.Time // when an error of a step was last logged
	rests      map[string]*rest     // of the steps that failed when they were last tried
}

func newTerm(e *Engine, st *protocol.State, holder string) *term {
	t := &term{
		e: e, st: st, holder: holder, piece: st.NextPiece(), written: map[int]time.Time{},
		releases: loop.NewReleases(), refusals: map[string]time.Time{}, rests: map[string]*rest{}, rest: lookPause,
	}
	t.creating = &loop.Create{Created: t.created, Redirected: t.settle}
	t.repair, t.opening = &loop.Repair{Completed: t.completed, Deduped: t.deduped}, &loop.Open{Opened: t.opened}
	t.refreshed = t.tick()
	t.spread.notBefore = heldUntil(st)
	t.releases.Observe(st, t.refreshed, t.refreshed)
	t.recall()
	return t
}

// run makes passes until one fails.
func (t *term) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer t.glances.Wait()
	defer cancel()
	for {
		if err := t.pass(ctx); err != nil {
			return err
		}
		t.progress()
		timer := time.NewTimer(t.due.Sub(t.tick()))
		select {
		case <-ctx.Done():
		case <-t.e.wake:
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// step does the next thing of its sort, at most one round of transactions, and says whether there
// was one.
type step struct {
	name string
	do   func(context.Context) (did bool, err error)
}

// stepCreate is the step that is served between the rounds of others, too.
const stepCreate = "create"

// pass does whatever there is to do now. After each round it begins anew with what people wait for.
func (t *term) pass(ctx context.Context) error {
	t.due = t.tick().Add(t.e.cfg.Refresh)
	t.blocked = ""
	steps := []step{
		{"keep", t.keep},
		{"reconcile", t.reconciled},
		{stepCreate, t.propose(t.creating, atCreates)},
		{"delete", t.propose(&loop.Delete{Deleted: t.deleted, Redirected: t.settle}, atDeletes)},
		{"mend", t.propose(t.repair, nil)},
		{"open", t.propose(t.opening, atReturns)},
		{"roll back", t.rollBack},
		{"land", t.propose(&loop.Grant{Granted: t.landed, Pooled: t.pooledAgain}, atReleases)},
		{"move", t.move},
		{"place", t.place},
		{"spread", t.spreadOut},
		{"remove", t.propose(&loop.Remove{Removed: t.removed}, nil)},
		{"compact", t.propose(loop.Compact{}, nil)},
		{"account", t.account},
	}
	for i := 0; i < len(steps) && ctx.Err() == nil; {
		if err := t.prepare(ctx); err != nil {
			return err
		}
		if steps[i].name != "keep" && t.halted() {
			return nil
		}
		if t.resting(steps[i].name) {
			i++
			continue
		}
		did, err := steps[i].do(fault.Doing(ctx, steps[i].name))
		if err == nil {
			delete(t.rests, steps[i].name)
		}
		switch {
		case errors.Is(err, protocol.ErrConflict):
			t.conflicted(steps[i].name, err)
			return nil
		case t.ends(ctx, err):
			return fmt.Errorf("%s: %w", steps[i].name, err)
		case err != nil:
			t.refused(steps[i].name, err)
			i++
		case did:
			t.progress()
			i = 0
		default:
			i++
		}
	}
	return ctx.Err()
}

// propose asks a step, and commits what it proposes. at is a point at which tests stop the process
// before that; nil: there is none.
func (t *term) propose(s loop.Step, at func(loop.Proposal)) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		p := s.Next(t.view())
		t.piece += p.Pieces
		if p.Blocked != "" {
			t.block(p.Blocked)
		}
		if !p.Again.IsZero() {
			t.sooner(p.Again)
		}
		if len(p.Jobs) == 0 && (len(p.Answer.IDs) == 0 || p.Err != nil) {
			return false, p.Err
		}
		if at != nil {
			at(p)
		}
		if len(p.Jobs) > 0 {
			if err := t.commit(ctx, t.jobs(p.Jobs)...); err != nil {
				return true, err
			}
		}
		answered, err := t.confirm(ctx, p.Answer.Op, p.Answer.IDs)
		return len(p.Jobs) > 0 || answered, err
	}
}

// The points of what is proposed. A release build holds nothing of them.
func atCreates(loop.Proposal)  { fault.Point("create.queued") }
func atDeletes(loop.Proposal)  { fault.Point("delete.queued") }
func atReleases(loop.Proposal) { fault.Point("move.released") }

func atReturns(p loop.Proposal) {
	if p.Jobs[0].Multi.Step == "redirect" {
		fault.Point("drain.undone")
	}
}

func (t *term) jobs(proposed []loop.Job) []job {
	jobs := make([]job, len(proposed))
	for i, j := range proposed {
		jobs[i] = job{m: j.Multi, lists: j.Lists}
		if j.Then != nil {
			jobs[i].done = func() { j.Then(t.now) }
		}
	}
	return jobs
}

// view is what a step looks at.
func (t *term) view() *loop.View {
	return &loop.View{
		State: t.st, Orders: &t.orders, Idle: t.idle, Index: t.e.inventory.Index, Requests: t.e.inventory.Writer, Busy: t.streaming,
		Releases: t.releases, Written: t.written, Piece: t.piece, Now: t.now,
	}
}

// ends says whether an error leaves in doubt what ZooKeeper holds or who may write.
func (t *term) ends(ctx context.Context, err error) bool {
	return errors.Is(err, protocol.ErrFenced) || errors.Is(err, protocol.ErrUnavailable) || err != nil && ctx.Err() != nil
}

// prepare takes the latest orders, and looks at ZooKeeper when something may have changed there or
// it is time.
func (t *term) prepare(ctx context.Context) error {
	t.e.leaderTurns()
	t.tick()
	t.takeOrders()
	if t.idle = t.orders.Refusal(t.now); t.idle == "" {
		t.orders.Stay, t.unproven = t.releases.Reassign(t.view())
		t.stay = append([]int{}, t.orders.Stay...)
		t.spread.heated(t.orders.Overloaded)
	}
	if err := t.takeGlance(); err != nil {
		return err
	}
	defer func() { t.releases.FindFixed(t.view(), t.ordered, t.refreshed) }()
	if t.dirty {
		return t.look(ctx)
	}
	pause := t.e.cfg.Refresh
	if t.changed {
		pause = min(pause, t.rest) // a look that had to wait for a slow server is no reason to look less often than at rest
	}
	if next := t.refreshed.Add(pause); t.now.Before(next) {
		t.sooner(next)
		return nil
	}
	t.beginGlance(ctx)
	return nil
}

func (t *term) takeOrders() {
	t.e.mu.Lock()
	defer t.e.mu.Unlock()
	t.orders, t.ordered, t.traits = t.e.orders, t.e.ordered, t.e.inventory.Writer.Attributes()
	t.changed = t.changed || t.e.changed
	t.e.changed = false
}

// look reads what somebody else changed in ZooKeeper. Our own writes are known already, and what
// instances say of themselves a glance sees.
func (t *term) look(ctx context.Context) error {
	begun, asked := t.tick(), t.clock()
	fresh, moved, err := t.e.store.Read(ctx, t.st.Kind, t.st)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if fresh.Head.Holder != t.holder {
		return fmt.Errorf("%w: the head is held by %s", protocol.ErrFenced, fresh.Head.Holder)
	}
	t.proved(asked)
	now := t.tick()
	t.refreshed, t.rest = now, max(lookPause, lookShare*now.Sub(begun))
	if moved && t.foreignEdits(fresh, now) && fresh.Torn {
		return nil // somebody is still writing: what was read does not hold together
	}
	fresh.Torn = false // only statuses changed while it was read
	t.st, t.changed, t.dirty, t.glance = fresh, false, false, nil
	t.piece = max(t.piece, fresh.NextPiece())
	t.releases.Observe(fresh, begun, now)
	t.publish(moved)
	return nil
}

// foreignEdits looks for changes that only the leader may make. Those of an instance's own status
// are none.
func (t *term) foreignEdits(fresh *protocol.State, now time.Time) bool {
	where := foreignEdit(t.st, fresh)
	if where == "" {
		return false
	}
	t.e.m.foreign.Inc()
	t.e.log.Warn("somebody else edited the assignment", "at", where)
	t.foreign = append(t.foreign, now)
	t.dirty = true
	return true
}

// foreignEdit names a place where two States of one term differ though this term did not write; ""
// when there is none.
func foreignEdit(old, fresh *protocol.State) string {
	if old.HeadVersion != fresh.HeadVersion {
		return "head"
	}
	for n, in := range fresh.Instances {
		was := old.Instances[n]
		if in.Begun || was != nil && was.Begun && in.IDs.Len() == 0 {
			continue // what others make of an ordinal that is not ours yet is no edit of the assignment
		}
		if was == nil || was.DataVersion != in.DataVersion || was.ListVersion != in.ListVersion || was.ReloadVersion != in.ReloadVersion {
			return fmt.Sprintf("instance %d", n)
		}
	}
	for name, p := range fresh.Pool {
		if was := old.Pool[name]; was == nil || was.Version != p.Version {
			return "pool piece " + name
		}
	}
	for name, f := range fresh.Flight {
		if was := old.Flight[name]; was == nil || was.Version != f.Version {
			return "flight " + name
		}
	}
	if len(fresh.Instances) < len(old.Instances) || len(fresh.Pool) < len(old.Pool) || len(fresh.Flight) < len(old.Flight) {
		return "a znode that is gone"
	}
	return ""
}

// alarm says why the kind is stopped; "" when it is not.
func (t *term) alarm() string {
	if fault := t.st.Fault(); fault != "" {
		return fault
	}
	since := t.now.Add(-foreignWindow)
	t.foreign = slices.DeleteFunc(t.foreign, func(at time.Time) bool { return at.Before(since) })
	if len(t.foreign) > foreignLimit {
		return fmt.Sprintf("%d edits by somebody else within %s: who else writes here?", len(t.foreign), foreignWindow)
	}
	return ""
}

// halted stops everything but what is kept: what was asked waits.
func (t *term) halted() bool {
	alarm := t.alarm()
	news := t.e.showAlarm(alarm)
	switch {
	case news && alarm != "":
		t.e.m.alarm.Set(1)
		t.e.log.Error("the kind is stopped", "reason", alarm)
	case news:
		t.e.m.alarm.Set(0)
		t.e.log.Info("the kind is no longer stopped")
	}
	return alarm != ""
}

// showAlarm says whether that is news.
func (e *Engine) showAlarm(alarm string) (news bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	news = alarm != e.progress.Alarm
	e.progress.Alarm = alarm
	return news
}

// tick takes the time from the clock.
func (t *term) tick() time.Time {
	t.now = t.e.cfg.Now()
	return t.now
}

// sooner makes the next pass come at that time at the latest.
func (t *term) sooner(at time.Time) {
	if at.Before(t.due) {
		t.due = at
	}
}

// block notes what keeps work from going on; the first reason of a pass is shown.
func (t *term) block(why string) {
	if t.blocked == "" {
		t.blocked = why
	}
}

// job is a transaction and what is to be noted once it is committed. lists are the ordinals whose
// lists it changes, hand what it gives from the pool.
type job struct {
	m     protocol.Multi
	lists []int
	hand  hand
	done  func()
}

// commit sends jobs that do not overlap and returns the gravest error.
func (t *term) commit(ctx context.Context, jobs ...job) error { return t.start(ctx, jobs)() }

// start begins to send jobs. Of those that succeeded finish, which must be called, publishes the
// effects first and notes them then, so that nobody is answered before Lookup and State know. Until
// then the State does not show them: what else is sent must not overlap them, nor answer anybody by
// what they change.
func (t *term) start(ctx context.Context, jobs []job) (finish func() error) {
	asked := t.clock()
	ms := make([]protocol.Multi, len(jobs))
	for i, j := range jobs {
		ms[i] = j.m
	}
	committed := t.e.store.Begin(ctx, t.st, ms)
	return func() error {
		errs := committed()
		if t.glance != nil {
			for _, m := range ms {
				t.glance.touched.Note(m)
			}
		}
		t.publish(true)
		return t.note(jobs, errs, asked)
	}
}

// note counts what was committed and tells who waits for it. All of it was sent after asked.
func (t *term) note(jobs []job, errs []error, asked int64) error {
	t.e.leaderTurns()
	t.tick()
	var worst error
	for i, j := range jobs {
		if errors.Is(errs[i], inventory.ErrGaveUp) { // its caller does not wait any more
			continue
		}
		if errs[i] != nil {
			worst = graver(worst, errs[i])
			continue
		}
		t.proved(asked)
		t.e.m.commits.WithLabelValues(j.m.Step).Inc()
		t.e.m.changes.Add(float64(len(j.lists)))
		for _, n := range j.lists {
			t.written[n] = t.now
		}
		if j.done != nil {
			j.done()
		}
	}
	return worst
}

// graver returns the error that says most about what may still be done.
func graver(a, b error) error {
	for _, sentinel := range []error{protocol.ErrFenced, protocol.ErrUnavailable, protocol.ErrConflict} {
		if errors.Is(a, sentinel) {
			return a
		}
		if errors.Is(b, sentinel) {
			return b
		}
	}
	if a != nil {
		return a
	}
	return b
}

// publish shows everybody a copy of the State.
func (t *term) publish(changed bool) {
	t.e.publish(t.st.Clone(), changed)
	t.e.news.Wake()
}

// writable says whether the list of n may change now. If not, the next pass comes when it may.
func (t *term) writable(n int) bool {
	at, ok := t.written[n]
	if !ok {
		return true
	}
	next := at.Add(t.orders.ListInterval())
	if t.now.Before(next) {
		t.sooner(next)
		return false
	}
	return true
}

// progress shows what is under way.
func (t *term) progress() {
	draining := t.draining()
	p := orders.Progress{Duplicates: t.duplicates, Blocked: t.blocked, Refused: t.refusedSteps(), Parked: t.parked}
	t.waveProgress(&p, t.now)
	if p.Blocked == "" && t.idle != "" && (len(draining) > 0 || len(t.st.Flight) > 0 || len(t.st.Pool) > 0) {
		p.Blocked = t.idle
	}
	if len(draining) > 0 {
		p.Draining = draining
	}
	if len(t.unproven) > 0 {
		p.Unproven = maps.Clone(t.unproven)
	}
	var unannounced int
	p.Unannounced, unannounced = t.e.inventory.Writer.Unannounced()
	t.e.m.unannounced.Set(float64(unannounced))
	t.e.showProgress(&p, t.now)
}

// showProgress shows p with what the engine itself knows.
func (e *Engine) showProgress(p *orders.Progress, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p.Moved, p.Alarm = e.progress.Moved, e.progress.Alarm
	e.progress = *p
	e.m.progressed(p, now)
}

// draining is what ordinals that do not stay still own, in lists and in flight.
func (t *term) draining() map[int]int {
	left := map[int]int{}
	if t.stay == nil {
		return left
	}
	for n, in := range t.st.Instances {
		if in.IDs.Len() > 0 && !t.stays(n) {
			left[n] += in.IDs.Len()
		}
	}
	for _, f := range t.st.Flight {
		if !t.stays(f.From) {
			left[f.From] += f.IDs.Len()
		}
	}
	return left
}

func (t *term) stays(n int) bool {
	_, stays := slices.BinarySearch(t.stay, n)
	return stays
}

// ordinals of a map, ascending.
func ordinals[V any](m map[int]V) []int { return slices.Sorted(maps.Keys(m)) }
