package kubectl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/kubectl/client"
	"github.com/shardscaler/shardscaler/internal/kubectl/show"
	"github.com/shardscaler/shardscaler/internal/ops"
)

type planFlags struct {
	output
	waiting
	size, drain, undrain, capacity, max int
	pin, move, unpin, long              string
	endSize, apply                      bool
}

func newPlan(o *options) *cobra.Command {
	var f planFlags
	c := &cobra.Command{
		Use:   "plan KIND [--size N | --end-size | --drain N | --undrain N | --capacity N | --max-instances N | --pin ID=N | --move ID=N | --unpin ID]",
		Short: "Show what a change would move; nothing is done",
		Long: `Show what would move, each instance before and after, the least number of moves there can be, and why. Without a flag it is what is
due now as configured. Nothing is done unless --apply is given; "kubectl shardscaler apply ID" applies the plan later, within ten
minutes and while nothing that it rests on has changed.

Exit status, as of kubectl diff: 0 nothing would move, 1 there are moves, more than 1 an error. With --apply: 0 when it is applied.`,
		Example: `  # What would a drain of instance 3 move?
  kubectl shardscaler plan Thing --drain 3

  # Twelve instances for two hours: look first, then apply
  kubectl shardscaler plan Thing --size 12 --for 2h
  kubectl shardscaler apply 3f2a9c…

  # In one go, and wait until it is done
  kubectl shardscaler plan Thing --drain 3 --apply --wait`,
		Args:              words(1, 1),
		ValidArgsFunction: o.complete(kindArg),
		RunE: func(c *cobra.Command, args []string) error {
			change, err := f.change(c)
			if err == nil {
				err = f.check()
			}
			if err != nil {
				return err
			}
			return o.runPlan(c.Context(), &f, args[0], change)
		},
	}
	f.output.flags(c)
	f.waiting.flags(c, "With --apply: wait until it is done")
	flags := c.Flags()
	flags.IntVar(&f.size, "size", 0, "So many instances")
	flags.BoolVar(&f.endSize, "end-size", false, "The signals decide the size again")
	flags.IntVar(&f.drain, "drain", 0, "This instance owns nothing")
	flags.IntVar(&f.undrain, "undrain", 0, "This instance may take resources again")
	flags.IntVar(&f.capacity, "capacity", 0, "At most so many resources on an instance")
	flags.IntVar(&f.max, "max-instances", 0, "At most so many instances")
	flags.StringVar(&f.pin, "pin", "", "Bind a resource to an instance: ID=ORDINAL")
	flags.StringVar(&f.move, "move", "", "Move a resource to an instance: ID=ORDINAL")
	flags.StringVar(&f.unpin, "unpin", "", "End the pin of a resource")
	flags.StringVar(&f.long, "for", "", "How long it counts: 2h; default: until it is ended")
	flags.BoolVar(&f.apply, "apply", false, "Apply the plan")
	_ = c.RegisterFlagCompletionFunc("drain", o.completeFlag(ordinalArg))
	_ = c.RegisterFlagCompletionFunc("undrain", o.completeFlag(ordinalArg))
	return c
}

// change is what the flags ask for.
func (f *planFlags) change(c *cobra.Command) (change ops.Change, err error) {
	number := func(name string, value int) *int {
		if !c.Flags().Changed(name) {
			return nil
		}
		return &value
	}
	change = ops.Change{
		Size: number("size", f.size), EndSize: f.endSize, Drain: number("drain", f.drain), Undrain: number("undrain", f.undrain),
		Capacity: number("capacity", f.capacity), MaxInstances: number("max-instances", f.max), Unpin: f.unpin, For: f.long,
	}
	if change.Pin, err = pinRequest("pin", f.pin); err != nil {
		return change, err
	}
	if change.Move, err = pinRequest("move", f.move); err != nil {
		return change, err
	}
	var given []string
	for _, name := range []string{"size", "end-size", "drain", "undrain", "capacity", "max-instances", "pin", "move", "unpin"} {
		bounds := name == "max-instances" && change.Capacity != nil // both are one change
		if c.Flags().Changed(name) && !bounds {
			given = append(given, "--"+name)
		}
	}
	if len(given) > 1 {
		return change, client.Advise(fmt.Errorf("a plan is of one change, these are several: %s", strings.Join(given, ", ")), "plan one after the other")
	}
	return change, nil
}

// pinRequest reads ID=ORDINAL. An id may hold "=".
func pinRequest(flag, text string) (*ops.PinRequest, error) {
	if text == "" {
		return nil, nil
	}
	at := strings.LastIndex(text, "=")
	if at < 1 {
		return nil, fmt.Errorf("--%s: %q: want ID=ORDINAL", flag, text)
	}
	n, err := exact.Ordinal(text[at+1:])
	if err != nil {
		return nil, fmt.Errorf("--%s: %q: %w", flag, text, err)
	}
	return &ops.PinRequest{Resource: text[:at], Instance: n}, nil
}

func (o *options) runPlan(ctx context.Context, f *planFlags, kind string, change ops.Change) error {
	to, err := o.connect(ctx)
	if err != nil {
		return err
	}
	p, err := to.Of(kind).Plan(ctx, change)
	if err != nil {
		return fmt.Errorf("plan %s of %s: %w", show.Change(change), kind, err)
	}
	moves := p.Value.Description.Moves > 0 || p.Value.Then != nil && p.Value.Then.Moves > 0
	if !f.apply || f.format == "" || f.format == "wide" {
		preview := shown{raw: p.Raw, names: []named{{"plan", p.Value.ID}}, human: func(w io.Writer) error { show.Plan(w, kind, p.Value); return nil }}
		if err := f.print(o.Out, preview); err != nil {
			return err
		}
	}
	if f.apply {
		return o.runApply(ctx, to, &f.output, &f.waiting, kind, p.Value.ID)
	}
	if moves {
		return exit{code: ExitFound}
	}
	return nil
}

func newApply(o *options) *cobra.Command {
	var f output
	var wait waiting
	c := &cobra.Command{
		Use:   "apply [KIND] ID",
		Short: "Apply a plan that was shown",
		Long: `Apply a plan by the id that "kubectl shardscaler plan" printed. It is refused when what the plan rests on has changed since, and after
ten minutes: plan again.`,
		Example: `  kubectl shardscaler apply 3f2a9c…

  # Wait, with a bar on a terminal, until it is done
  kubectl shardscaler apply Thing 3f2a9c… --wait`,
		Args:              words(1, 2),
		ValidArgsFunction: o.complete(kindArg),
		RunE: o.run(&f, func(ctx context.Context, to *client.Client, args []string) error {
			if len(args) == 2 {
				return o.runApply(ctx, to, &f, &wait, args[0], args[1])
			}
			return applyOfAny(o, ctx, to, &f, &wait, args[0])
		}),
	}
	f.change(c)
	wait.flags(c, "Wait until it is done")
	return c
}

// applyOfAny asks each kind: the id is a hash of the kind among others, and one of another kind is
// not known there.
func applyOfAny(o *options, ctx context.Context, to *client.Client, f *output, wait *waiting, id string) error {
	kinds, err := to.Kinds(ctx)
	if err != nil {
		return fmt.Errorf("ask for kinds: %w", err)
	}
	err = client.Advise(errors.New("there is no kind"), "see kubectl shardscaler doctor")
	for _, k := range kinds.Value.Items {
		err = o.runApply(ctx, to, f, wait, k.Name, id)
		var no *client.Refusal
		if !errors.As(err, &no) || no.Status != http.StatusGone && no.Status != http.StatusNotFound {
			return err
		}
	}
	if len(kinds.Value.Items) > 1 {
		err = client.Advise(fmt.Errorf("apply %s: no kind has this plan any more", id), "make the plan again: kubectl shardscaler plan")
	}
	return err
}

func (o *options) runApply(ctx context.Context, to *client.Client, f *output, wait *waiting, kind, id string) error {
	done, err := to.Of(kind).Apply(ctx, id)
	if err != nil {
		return fmt.Errorf("apply %s of %s: %w", id, kind, err)
	}
	change := done.Value.Change
	text := fmt.Sprintf("%s: %s: applied", kind, show.Change(change))
	if err := f.print(o.Out, applied(kind, done, text)); err != nil {
		return err
	}
	return o.follow(ctx, wait, o.progressOf(to, kind, change))
}

// applied is what a change answers with.
func applied(kind string, d client.Doc[ops.Applied], text string) shown {
	return shown{raw: d.Raw, names: []named{{"kind", kind}}, human: func(w io.Writer) error {
		_, err := fmt.Fprintln(w, text)
		return err
	}}
}

// target is the instance that "KIND ORDINAL" or "POD" names.
func (o *options) target(ctx context.Context, to *client.Client, args []string) (kind string, ordinal int, err error) {
	if len(args) == 2 {
		ordinal, err = exact.Ordinal(args[1])
		return args[0], ordinal, err
	}
	kinds, err := to.Kinds(ctx)
	if err != nil {
		return "", 0, fmt.Errorf("ask for kinds: %w", err)
	}
	if kind, ordinal, ok := podOf(kinds.Value.Items, args[0]); ok {
		return kind, ordinal, nil
	}
	return "", 0, client.Advise(fmt.Errorf("%q is no pod of a kind", args[0]), "name the kind and the ordinal, or a pod such as iota-dac-3: kubectl shardscaler status")
}

// podOf is the kind and the ordinal of a pod, by the name of its StatefulSet.
func podOf(kinds []ops.Kind, pod string) (kind string, ordinal int, ok bool) {
	for _, k := range kinds {
		for _, g := range k.Groups {
			if n, found := strings.CutPrefix(pod, g.StatefulSet+"-"); found {
				if ordinal, err := exact.Ordinal(n); err == nil {
					return k.Name, ordinal, true
				}
			}
		}
	}
	return "", 0, false
}

func instanceName(kind string, ordinal int) string { return kind + " " + strconv.Itoa(ordinal) }
