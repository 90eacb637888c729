package kubectl

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/shardscaler/shardscaler/internal/kubectl/client"
	"github.com/shardscaler/shardscaler/internal/ops"
)

// waiting has a command wait until what it asked for is done.
type waiting struct {
	wait    bool
	timeout time.Duration
}

func (w *waiting) flags(c *cobra.Command, usage string) {
	c.Flags().BoolVar(&w.wait, "wait", false, usage)
	c.Flags().DurationVar(&w.timeout, "timeout", 0, "With --wait: how long at most; 0: without end. What was asked for goes on after that")
}

// progress is how far something is.
type progress struct {
	done, total int
	text        string // what it waits for, or does
	finished    bool
}

const (
	pollEvery = time.Second
	// idlePolls in a row without moves mean that nothing is left to do: a plan that has just been
	// applied may not have begun.
	idlePolls = 3
)

// follow returns when poll says that it is finished. On a terminal it shows a bar meanwhile.
func (o *options) follow(ctx context.Context, w *waiting, poll func(context.Context) (progress, error)) error {
	if !w.wait {
		return nil
	}
	if w.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, w.timeout)
		defer cancel()
	}
	bar := o.bar()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	var last progress
	for {
		p, err := poll(ctx)
		var no *client.Refusal
		switch {
		case err == nil:
			last = p
			bar(p)
		case ctx.Err() == nil && errors.As(err, &no) && no.Ours && no.Status < 500:
			return err
		default: // the server may be away for a moment
			last.text = err.Error()
		}
		if err == nil && p.finished {
			return nil
		}
		select {
		case <-ctx.Done():
			return stillWaiting(ctx.Err(), last)
		case <-tick.C:
		}
	}
}

func stillWaiting(cause error, last progress) error {
	text := "was asked to stop waiting"
	if errors.Is(cause, context.DeadlineExceeded) {
		text = "waited as long as --timeout says"
	}
	if last.total > 0 {
		text += fmt.Sprintf(": %d of %d are done", last.done, last.total)
	}
	if last.text != "" {
		text += ": " + last.text
	}
	return client.Advise(errors.New(text), "it goes on: kubectl shardscaler top")
}

// bar shows progress on a terminal, and does nothing without one.
func (o *options) bar() func(progress) {
	if !isTerminal(o.ErrOut) {
		return func(progress) {}
	}
	width, _ := size(o.ErrOut)
	b := progressbar.NewOptions(-1, progressbar.OptionSetWriter(o.ErrOut), progressbar.OptionSetWidth(max(10, min(40, width-50))),
		progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(true), progressbar.OptionThrottle(0), progressbar.OptionSetSpinnerChangeInterval(0))
	return func(p progress) {
		if p.total > 0 {
			b.ChangeMax(p.total)
		}
		b.Describe(clip(p.text, max(10, width-70)))
		_ = b.Set(min(p.done, max(p.total, 0))) // a terminal that is gone
		if p.finished {
			_ = b.Finish()
			fmt.Fprintln(o.ErrOut)
		}
	}
}

func clip(text string, most int) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return text
}

// progressOf says how far a change is.
func (o *options) progressOf(to *client.Client, kind string, change ops.Change) func(context.Context) (progress, error) {
	switch {
	case change.Drain != nil:
		return drained(to, kind, *change.Drain)
	case change.Move != nil:
		return arrived(to, kind, *change.Move)
	case change.Pin != nil:
		return arrived(to, kind, *change.Pin)
	}
	return settled(to, kind, change.Size)
}

// drained: the instance owns nothing any more.
func drained(to *client.Client, kind string, ordinal int) func(context.Context) (progress, error) {
	most := 0
	return func(ctx context.Context) (progress, error) {
		i, err := to.Of(kind).Instance(ctx, ordinal)
		if err != nil {
			return progress{}, fmt.Errorf("ask for instance %s: %w", instanceName(kind, ordinal), err)
		}
		left := i.Value.List.Count + i.Value.List.InFlight
		most = max(most, left)
		p := progress{done: most - left, total: most, text: "draining", finished: left == 0 && i.Value.State != "open"}
		switch {
		case i.Value.DrainWaits != "":
			p.text = i.Value.DrainWaits
		case !p.finished:
			p.text = blocked(ctx, to, kind, p.text)
		}
		return p, nil
	}
}

// blocked is what a kind's moves wait for, or else the text.
func blocked(ctx context.Context, to *client.Client, kind, text string) string {
	k, err := to.Of(kind).Get(ctx)
	switch {
	case err != nil:
		return text
	case k.Value.Progress.Blocked != "":
		return "blocked: " + k.Value.Progress.Blocked
	case k.Value.Drain != nil && k.Value.Drain.Blocked != "":
		return "blocked: " + k.Value.Drain.Blocked
	}
	return text
}

// arrived: the resource is where it was asked to be.
func arrived(to *client.Client, kind string, at ops.PinRequest) func(context.Context) (progress, error) {
	return func(ctx context.Context) (progress, error) {
		r, err := to.Of(kind).Resource(ctx, at.Resource)
		if err != nil {
			return progress{}, fmt.Errorf("ask for %s: %w", at.Resource, err)
		}
		p := progress{total: 1, text: "moving"}
		if r.Value.Parked != "" {
			p.text = "parked: " + r.Value.Parked
		}
		if n := r.Value.Instance; n != nil && *n == at.Instance {
			p.done, p.finished = 1, true
		}
		return p, nil
	}
}

// settled: the kind has the size, if one is asked for, and nothing moves.
func settled(to *client.Client, kind string, size *int) func(context.Context) (progress, error) {
	idle, finished := 0, 0 // finished are the moves of waves that have ended
	var plan string
	var moves int
	return func(ctx context.Context) (progress, error) {
		k, err := to.Of(kind).Get(ctx)
		if err != nil {
			return progress{}, fmt.Errorf("ask for %s: %w", kind, err)
		}
		now := k.Value.Progress
		if now.PlanID != plan {
			finished += moves
			plan, moves = now.PlanID, 0
		}
		moves = max(moves, now.Moves)
		idle++
		p := progress{done: finished + now.Done, total: finished + now.Moves + now.Beyond, text: "moving"}
		if now.Blocked != "" {
			p.text = "blocked: " + now.Blocked
		}
		if now.PlanID != "" || k.Value.Drain != nil {
			idle = 0
		}
		if size != nil {
			for _, g := range k.Value.Groups {
				if g.Replicas == nil || *g.Replicas != *size || g.Ready == nil || *g.Ready != *size {
					idle, p.text = 0, fmt.Sprintf("instances: %s of %d", known(g.Ready), *size)
				}
			}
		}
		p.finished = idle >= idlePolls
		return p, nil
	}
}

func known(n *int) string {
	if n == nil {
		return "?"
	}
	return fmt.Sprint(*n)
}
