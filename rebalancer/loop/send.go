package loop

import (
	"cmp"
	"context"
	"errors"

	"github.com/shardscaler/shardscaler/internal/fault"
	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/steps"
)

// streamBytes is about how much of a stream is under way at once.
const streamBytes = 4 * protocol.MaxMultiBytes

// ask asks a step, and notes what it says but for what is to be sent.
func (l *Loop) ask(s steps.Step, more bool) steps.Proposal {
	l.view.More = more
	p := s.Next(&l.view)
	l.view.More = false
	l.view.Piece += p.Pieces
	l.block(p.Blocked)
	if !p.Again.IsZero() {
		l.again(p.Again)
	}
	if p.Parked != nil {
		l.Metrics.showParked(p.Parked)
	}
	if p.Resync {
		l.Host.Resync()
	}
	return p
}

// do does the next thing that a step proposes, if there is one, and what the step has to go on with
// right after it.
func (l *Loop) do(ctx context.Context, s *step) (did bool, err error) {
	asked := s.Step
	p := l.ask(asked, false)
	if !p.Empty() && s.point != nil {
		s.point(&p)
	}
	for !p.Empty() {
		done, err := l.carryOut(fault.Doing(ctx, cmp.Or(p.As, s.name)), asked, &p)
		did = did || done
		if err != nil || p.Onward == nil {
			return did, err
		}
		asked = p.Onward
		p = l.ask(asked, true)
	}
	return did, p.Err
}

// carryOut sends what is proposed, and answers and tells those that it concerns.
func (l *Loop) carryOut(ctx context.Context, s steps.Step, p *steps.Proposal) (did bool, err error) {
	did, err = l.send(ctx, s, p)
	if err == nil && len(p.Answer.IDs) > 0 {
		var answered bool
		answered, err = l.proof.confirm(ctx, p.Answer)
		did = did || answered
	}
	if p.Ended != nil {
		did, err = true, p.Ended(err, errors.Is(err, protocol.ErrConflict) || l.ends(ctx, err))
	}
	return did, err
}

// send sends what is proposed, and returns the gravest error. What could not be proposed is no
// error while something else could: the step is asked again, and says so then.
func (l *Loop) send(ctx context.Context, s steps.Step, p *steps.Proposal) (did bool, err error) {
	switch {
	case p.More:
		did, err = l.stream(ctx, s, *p)
	case len(p.Jobs) > 0:
		did, err = true, l.commit(ctx, p.Jobs)
		for i := 0; err == nil && i < len(p.Rest); i++ {
			err = l.commit(ctx, p.Rest[i])
		}
		if p.Ended != nil { // the step is told of all of it now
			err = graver(err, p.Err)
		}
	case p.Prove:
		did, err = true, graver(l.proof.readHead(ctx), p.Err)
	default:
		err = p.Err
	}
	return did, err
}

// stream sends what a step proposes and asks it for more while that is under way, until it proposes
// none: proposals are made and sent while others are on their way, so that neither the step nor
// ZooKeeper waits for the other. Creates are served in between.
func (l *Loop) stream(ctx context.Context, s steps.Step, p steps.Proposal) (did bool, err error) {
	var finish []func() error // of the batches that are under way, oldest first
	l.view.Busy = true
	defer func() { l.view.Busy, l.view.UnderWay = false, nil }()
	for {
		if jobs := p.Jobs; len(jobs) > 0 {
			did = true
			committed := l.start(ctx, jobs)
			l.view.UnderWay = append(l.view.UnderWay, jobs...)
			finish = append(finish, func() error {
				l.view.UnderWay = l.view.UnderWay[len(jobs):]
				return committed()
			})
		}
		over := !p.More || len(finish) == 0
		if err = p.Err; err == nil && len(finish) > 0 && (len(p.Jobs) == 0 || isFull(l.view.UnderWay)) {
			err, finish = finish[0](), finish[1:]
		}
		if err == nil {
			_, _, err = l.try(ctx, l.creating) // the stream goes on where creates cannot be written
		}
		if err != nil || over {
			break
		}
		p = l.ask(s, true)
	}
	for _, f := range finish {
		err = graver(err, f())
	}
	return did, err
}

// isFull says that no more than these jobs is to be under way.
func isFull(jobs []steps.Job) bool {
	size := 0
	for _, j := range jobs {
		size += j.Multi.Bytes()
	}
	return size >= streamBytes || len(jobs) >= steps.MaxJobs
}

// commit sends jobs that do not overlap and returns the gravest error.
func (l *Loop) commit(ctx context.Context, jobs []steps.Job) error { return l.start(ctx, jobs)() }

// start begins to send jobs. Of those that succeeded finish, which must be called, publishes the
// effects first and notes them then, so that no caller is answered before Lookup and State know.
// Until then the State does not show them.
func (l *Loop) start(ctx context.Context, jobs []steps.Job) (finish func() error) {
	asked := l.view.Requests.Clock()
	ms := make([]protocol.Multi, len(jobs))
	for i, j := range jobs {
		ms[i] = j.Multi
	}
	committed := l.Store.Begin(ctx, l.view.State, ms)
	return func() error {
		errs := committed()
		l.reader.wrote(ms)
		l.publish(true)
		return l.note(jobs, errs, asked)
	}
}

// note counts what was committed and tells the callers that wait for it. All of it was sent after
// asked.
func (l *Loop) note(jobs []steps.Job, errs []error, asked int64) error {
	l.Host.Alive()
	l.clock()
	l.view.Releases.Note(l.view.State, l.view.Now)
	var worst error
	for i, j := range jobs {
		if errors.Is(errs[i], inventory.ErrGaveUp) { // its caller does not wait any more
			continue
		}
		if errs[i] != nil {
			worst = graver(worst, errs[i])
			continue
		}
		l.proof.proved(asked)
		l.Metrics.commits.WithLabelValues(j.Multi.Step).Inc()
		l.Metrics.changes.Add(float64(len(j.Lists)))
		for _, n := range j.Lists {
			l.view.Written[n] = l.view.Now
		}
		l.count(&j)
		l.teller.done(j.Multi.Step, j.Answer)
		if j.Then != nil {
			j.Then(l.view.Now)
		}
	}
	return worst
}

// count counts a change of lists that a plan may rest on.
func (l *Loop) count(j *steps.Job) {
	switch j.Multi.Step {
	case "revoke":
		l.Host.Changed(j.Lists, len(j.Answer.IDs) > 0)
	case "grant":
		l.Host.Changed(j.Lists, false)
	case "dedupe": // it is rare, and may be of any list
		l.Host.Changed(l.view.State.Ordinals(), false)
	}
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
