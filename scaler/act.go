package scaler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/fault"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/scaler/actuate"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// tick is one decision and what is known when it is acted on, and told.
type tick struct {
	in *decide.Input
	// d is the decision with what its outcome is so far: that is kept before anything is written.
	d         *outcome.Report
	set       actuate.Workload
	suspended string
	progress  orders.Progress
}

// carryOut does what a tick decided; denied is what the server's rights lack for it.
func (s *Scaler) carryOut(ctx context.Context, t *tick) (act *outcome.Act, denied string) {
	act, err := s.resize(ctx, t)
	if err != nil {
		act, denied = s.failed(ctx, t, err)
	}
	if act != nil {
		act.DryRun = s.cfg.DryRun
	}
	return s.restart(ctx, t, act), denied
}

func did(done, format string, args ...any) *outcome.Act {
	return &outcome.Act{Done: done, Text: fmt.Sprintf(format, args...)}
}

// resize writes the desired replicas: more at once, fewer when what leaves is drained.
func (s *Scaler) resize(ctx context.Context, t *tick) (*outcome.Act, error) {
	if t.d.Blind != "" || t.d.Verb == decide.NoChange {
		return nil, nil
	}
	fault.Point("scale.decided")
	from, to, left := *t.d.Current, t.d.Desired, t.left()
	owned := outcome.Total(left)
	switch {
	case t.d.Mode == config.ModeRecommend:
		return did(outcome.Advised, "replicas %d -> %d is recommended, nothing is drained or written: replicas.mode is recommend", from, to), nil
	case t.d.Owner == config.OwnerHPA && to > from:
		return did(outcome.NotOurs, "the HPA writes replicas: recommended %d, current %d", to, from), nil
	case t.d.Owner == config.OwnerHPA:
		act := did(outcome.NotOurs, "draining %s: resources left: %d; the HPA writes replicas", t.d.Leaving(), owned)
		act.Left = left
		return act, nil
	case s.cfg.DryRun && owned > 0:
		return did(outcome.WouldDrain, "would drain %s, resources left: %d, and then write replicas %d -> %d",
			t.d.Leaving(), owned, from, to), nil
	case s.cfg.DryRun:
		return did(outcome.WouldScale, "would write replicas %d -> %d", from, to), nil
	case t.suspended != "":
		return did(outcome.NotWritten, "nothing is written: %s", t.suspended), nil
	case to > from:
		return s.scaleUp(ctx, t)
	}
	return s.scaleDown(ctx, t)
}

// left counts what the snapshot shows of those beyond the desired size that own something.
func (t *tick) left() map[int]int {
	left := map[int]int{}
	for n := t.d.Start + t.d.Desired; n < t.d.Start+*t.d.Current; n++ {
		if owned := t.in.Observed.Instance(n).Owned(); owned > 0 {
			left[n] = owned
		}
	}
	return left
}

// scaleDown drains the ordinals that leave and writes replicas when a synced read shows that they
// own nothing. The size is read before that: if a new leader has opened an ordinal since, it has
// raised the resourceVersion first and this write is refused.
func (s *Scaler) scaleDown(ctx context.Context, t *tick) (*outcome.Act, error) {
	if left := t.left(); len(left) > 0 && !s.givenUp() {
		return s.draining(t, left), nil
	}
	size, err := s.size(ctx, t)
	if err != nil {
		return nil, err
	}
	left, err := s.engine.Drained(ctx, t.d.Leave())
	switch {
	case err != nil:
		return did(outcome.Draining, "%s: not proven to be drained yet: %v", t.d.Leaving(), err), nil
	case outcome.Total(left) > 0 && !s.givenUp():
		return s.draining(t, left), nil
	}
	fault.Point("scale.verified")
	return s.resizeTo(ctx, t, size)
}

// givenUp is a bug that tests must notice: a drain ends when it is done, not by time.
func (s *Scaler) givenUp() bool {
	return fault.DrainGivenUp.Made() && s.last.Drain != nil && s.basis.Input.Now.Sub(s.last.Drain.Since) > time.Minute
}

// draining says how far the drain is and what it waits for. It never ends by giving up.
func (s *Scaler) draining(t *tick, left map[int]int) *outcome.Act {
	act := did(outcome.Draining, "draining %s: resources left: %d", t.d.Leaving(), outcome.Total(left))
	act.Left = left
	if t.progress.Blocked != "" {
		act.Text += "; " + t.progress.Blocked
	}
	s.act.Publish(t.set, actuate.Draining(t.d.Leaving(), t.d.Summary))
	return act
}

// scaleUp writes at once, if ZooKeeper still answers and says that this process leads: the snapshot
// may be older than its silence. The size is read before that, as in scaleDown.
func (s *Scaler) scaleUp(ctx context.Context, t *tick) (*outcome.Act, error) {
	size, err := s.size(ctx, t)
	if err != nil {
		return nil, err
	}
	if err := s.leads(ctx); err != nil {
		return did(outcome.NotWritten, "nothing is written: %v", err), nil
	}
	return s.resizeTo(ctx, t, size)
}

// leads asks ZooKeeper itself whether this process holds the head.
func (s *Scaler) leads(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return s.engine.Leads(ctx)
}

// errBehind: the snapshot shows an older size than /scale does. The next tick sees the newer one.
var errBehind = errors.New("the snapshot is behind")

// size reads /scale and makes sure that the decision was made for that size.
func (s *Scaler) size(ctx context.Context, t *tick) (actuate.Size, error) {
	if err := fault.Fail("scale.read"); err != nil {
		return actuate.Size{}, err
	}
	size, err := s.act.Size(ctx, t.set)
	if err == nil && size.Replicas != *t.d.Current {
		err = fmt.Errorf("%w: replicas are now %d, the decision was made for %d", errBehind, size.Replicas, *t.d.Current)
	}
	return size, err
}

// resizeTo writes the desired size. The intention is kept before, with this tick's part of the
// windows: whenever this process ends, its successor does not take the size for another writer's.
func (s *Scaler) resizeTo(ctx context.Context, t *tick, size actuate.Size) (*outcome.Act, error) {
	if s.history.Undone(size.Replicas) {
		s.history = s.history.Opposed(t.in.Now, t.in.Observed.Workload.ReplicasWriter, size.Replicas)
		return did(outcome.NotWritten, "nothing is written yet: another writer changed replicas %d -> %d meanwhile", s.history.Wrote, size.Replicas), nil
	}
	before, to := s.history, t.d.Desired
	s.history = s.history.Intended(to)
	if err := s.store(ctx, keptOf(s, t.d)); err != nil && !errors.Is(err, orders.ErrTooLarge) {
		s.history = before
		return did(outcome.NotWritten, "nothing is written: %v", err), nil
	}
	err := fault.Fail("scale.sending")
	if err == nil {
		fault.SoonAt("scale.sent")
		err = s.act.Resize(ctx, t.set, size, to)
	}
	if err != nil {
		return nil, err
	}
	fault.Point("scale.replied")
	s.history = s.history.Written(to)
	s.m.scaled(size.Replicas, to)
	s.act.Publish(t.set, actuate.Scaled(size.Replicas, to, t.d.Summary))
	return did(outcome.Scaled, "replicas %d -> %d", size.Replicas, to), nil
}

// failed tells why the size could not be written; the next tick tries again.
func (s *Scaler) failed(ctx context.Context, t *tick, err error) (act *outcome.Act, lacking string) {
	if isFault(ctx, err) {
		s.m.failures.Inc()
		lacking = denied(err, t.set)
		s.events.while(t, true, actuate.CannotScale(err.Error()))
	}
	return did(outcome.Failed, "%s", err.Error()+"; the next tick tries again"), lacking
}

// isFault says whether an error is worth a warning: what changed meanwhile is none, nor is what
// fails because this leader's term has ended. The next leader tries again, and meets that again if
// something is wrong.
func isFault(ctx context.Context, err error) bool {
	return !errors.Is(err, actuate.ErrConflict) && !errors.Is(err, errBehind) && ctx.Err() == nil
}

// restart deletes the pod that the verdicts chose, if any, and adds that to what was done.
func (s *Scaler) restart(ctx context.Context, t *tick, act *outcome.Act) *outcome.Act {
	chosen := slices.IndexFunc(t.d.Health.Verdicts, func(v decide.Verdict) bool { return v.Restart })
	if t.suspended != "" || chosen < 0 {
		return act
	}
	v := t.d.Health.Verdicts[chosen]
	if err := s.leads(ctx); err != nil {
		s.log.Warn("a pod is not restarted", "pod", v.Pod, "error", err)
		return act
	}
	if act == nil {
		act = &outcome.Act{}
	}
	err := fault.Fail("restart.sending")
	if err == nil {
		err = s.act.Restart(ctx, t.set, v.Pod, v.UID)
	}
	if err != nil {
		if isFault(ctx, err) {
			s.act.Publish(t.set, actuate.CannotRestart(err.Error()))
		}
		return act
	}
	fault.Point("restart.replied")
	s.history = s.history.Restarted(v, t.in.Now)
	s.m.restarts.Inc()
	act.Restarted = append(act.Restarted, v.Pod)
	s.act.Publish(t.set, actuate.Restarted(v.Pod, v.Text))
	return act
}
