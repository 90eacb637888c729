package kubectl

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/kubectl/client"
	"github.com/shardscaler/shardscaler/internal/ops"
)

// changing is a command that changes something, as its flags say.
type changing struct {
	output
	waiting
	yes  bool
	long string
}

// until has the flag for how long a change counts.
func (f *changing) until(c *cobra.Command) {
	c.Flags().StringVar(&f.long, "for", "", "How long it counts: 2h; default: until it is ended")
}

// stands is how long a change counts, after a blank.
func (f *changing) stands() string {
	if f.long == "" {
		return ""
	}
	return " for " + f.long
}

// run checks the flags, connects and carries out.
func (o *options) run(f *output, do func(context.Context, *client.Client, []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		if err := f.check(); err != nil {
			return err
		}
		to, err := o.connect(c.Context())
		if err != nil {
			return err
		}
		return do(c.Context(), to, args)
	}
}

func newDrain(o *options) *cobra.Command {
	var f changing
	c := &cobra.Command{
		Use:   "drain {KIND ORDINAL | POD}",
		Short: "Empty an instance: what it owns moves to others, and it gets nothing",
		Long: `Empty an instance. What it owns moves to the others, and it gets nothing until undrain; its pod is left alone. Where an instance more
is needed for that, the drain waits for it, for two minutes at most. It is refused when the others have no room.
"kubectl shardscaler plan KIND --drain ORDINAL" shows first what would move.`,
		Example: `  # Before work on a node, for two hours at most, and wait until it is empty
  kubectl shardscaler drain iota-dac-3 --for 2h --wait

  kubectl shardscaler drain Thing 3 --yes`,
		Args:              words(1, 2),
		ValidArgsFunction: o.complete(kindArg, ordinalArg),
	}
	c.RunE = o.run(&f.output, func(ctx context.Context, to *client.Client, args []string) error {
		kind, n, err := o.target(ctx, to, args)
		if err != nil {
			return err
		}
		if !f.yes {
			owns := ""
			if inst, err := to.Of(kind).Instance(ctx, n); err == nil {
				owns = fmt.Sprintf(" Its %d resources move to other instances.", inst.Value.List.Count)
			}
			if err := o.ask(fmt.Sprintf("Drain instance %s%s?%s", instanceName(kind, n), f.stands(), owns)); err != nil {
				return err
			}
		}
		done, err := to.Of(kind).Drain(ctx, n, f.long)
		if err != nil {
			return fmt.Errorf("drain %s: %w", instanceName(kind, n), err)
		}
		if err := f.print(o.Out, applied(kind, done, fmt.Sprintf("%s: instance %d is drained%s", kind, n, f.stands()))); err != nil {
			return err
		}
		return o.follow(ctx, &f.waiting, o.progressOf(to, kind, ops.Change{Drain: &n}))
	})
	f.change(c)
	f.until(c)
	f.waiting.flags(c, "Wait until it owns nothing")
	c.Flags().BoolVar(&f.yes, "yes", false, "Do not ask")
	return c
}

func newUndrain(o *options) *cobra.Command {
	var f changing
	c := &cobra.Command{
		Use:               "undrain {KIND ORDINAL | POD}",
		Short:             "Let a drained instance take resources again",
		Example:           "  kubectl shardscaler undrain iota-dac-3",
		Args:              words(1, 2),
		ValidArgsFunction: o.complete(kindArg, ordinalArg),
	}
	c.RunE = o.run(&f.output, func(ctx context.Context, to *client.Client, args []string) error {
		kind, n, err := o.target(ctx, to, args)
		if err != nil {
			return err
		}
		done, err := to.Of(kind).Undrain(ctx, n)
		if err != nil {
			return fmt.Errorf("undrain %s: %w", instanceName(kind, n), err)
		}
		return f.print(o.Out, applied(kind, done, fmt.Sprintf("%s: instance %d may take resources again", kind, n)))
	})
	f.change(c)
	return c
}

func newPin(o *options) *cobra.Command {
	var f changing
	var to int
	c := &cobra.Command{
		Use:   "pin KIND ID --to ORDINAL",
		Short: "Bind a resource to an instance",
		Long:  "Bind a resource to an instance until unpin, or for as long as --for says. It moves there, and spreading leaves it there.",
		Example: `  kubectl shardscaler pin Thing device-17 --to 4
  kubectl shardscaler pin Thing device-17 --to 4 --for 8h`,
		Args:              words(2, 2),
		ValidArgsFunction: o.complete(kindArg, resourceArg),
	}
	c.RunE = o.run(&f.output, func(ctx context.Context, server *client.Client, args []string) error {
		done, err := server.Of(args[0]).Pin(ctx, ops.PinRequest{Resource: args[1], Instance: to}, f.long)
		if err != nil {
			return fmt.Errorf("pin %s: %w", args[1], err)
		}
		if err := f.print(o.Out, applied(args[0], done, fmt.Sprintf("%s: %s is pinned to instance %d%s", args[0], args[1], to, f.stands()))); err != nil {
			return err
		}
		return o.follow(ctx, &f.waiting, o.progressOf(server, args[0], ops.Change{Pin: &ops.PinRequest{Resource: args[1], Instance: to}}))
	})
	o.toFlag(c, &to)
	f.change(c)
	f.until(c)
	f.waiting.flags(c, "Wait until it has arrived")
	return c
}

// toFlag is the instance that something goes to.
func (o *options) toFlag(c *cobra.Command, to *int) {
	c.Flags().IntVar(to, "to", 0, "The instance's ordinal (required)")
	_ = c.MarkFlagRequired("to")
	_ = c.RegisterFlagCompletionFunc("to", o.completeFlag(ordinalArg))
}

func newUnpin(o *options) *cobra.Command {
	var f changing
	c := &cobra.Command{
		Use:               "unpin KIND ID",
		Short:             "End the pin of a resource",
		Example:           "  kubectl shardscaler unpin Thing device-17",
		Args:              words(2, 2),
		ValidArgsFunction: o.complete(kindArg, resourceArg),
	}
	c.RunE = o.run(&f.output, func(ctx context.Context, to *client.Client, args []string) error {
		done, err := to.Of(args[0]).Unpin(ctx, args[1])
		if err != nil {
			return fmt.Errorf("unpin %s: %w", args[1], err)
		}
		return f.print(o.Out, applied(args[0], done, fmt.Sprintf("%s: %s is not pinned any more", args[0], args[1])))
	})
	f.change(c)
	return c
}

func newMove(o *options) *cobra.Command {
	var f changing
	var to int
	c := &cobra.Command{
		Use:   "move KIND ID --to ORDINAL",
		Short: "Move a resource to an instance, once",
		Long:  "Move a resource to an instance. Once it has arrived it is as free to move as any other; pin binds it there.",
		Example: `  # Wait until it runs there
  kubectl shardscaler move Thing device-17 --to 4 --wait`,
		Args:              words(2, 2),
		ValidArgsFunction: o.complete(kindArg, resourceArg),
	}
	c.RunE = o.run(&f.output, func(ctx context.Context, server *client.Client, args []string) error {
		move := ops.PinRequest{Resource: args[1], Instance: to}
		done, err := server.Of(args[0]).Move(ctx, move)
		if err != nil {
			return fmt.Errorf("move %s: %w", args[1], err)
		}
		if err := f.print(o.Out, applied(args[0], done, fmt.Sprintf("%s: %s moves to instance %d", args[0], args[1], to))); err != nil {
			return err
		}
		return o.follow(ctx, &f.waiting, o.progressOf(server, args[0], ops.Change{Move: &move}))
	})
	o.toFlag(c, &to)
	f.change(c)
	f.waiting.flags(c, "Wait until it has arrived")
	return c
}

func newSize(o *options) *cobra.Command {
	var f changing
	var end bool
	c := &cobra.Command{
		Use:   "size KIND {N | --end}",
		Short: "Ask for so many instances, whatever the signals ask for",
		Long: `Ask for so many instances, whatever the signals ask for, until --end, or for as long as --for says. Instances that leave are drained
first. "kubectl shardscaler plan KIND --size N" shows first what would move.`,
		Example: `  kubectl shardscaler size Thing 12 --for 2h
  kubectl shardscaler size Thing --end`,
		Args:              words(1, 2),
		ValidArgsFunction: o.complete(kindArg),
	}
	c.RunE = o.run(&f.output, func(ctx context.Context, to *client.Client, args []string) error {
		if end == (len(args) == 2) {
			return client.Advise(errors.New("the size is missing, or there is one beside --end"), "kubectl shardscaler size KIND N, or size KIND --end")
		}
		if end {
			done, err := to.Of(args[0]).EndSize(ctx)
			if err != nil {
				return fmt.Errorf("end the size of %s: %w", args[0], err)
			}
			return f.print(o.Out, applied(args[0], done, args[0]+": the signals decide the size again"))
		}
		n, err := exact.Ordinal(args[1])
		if err != nil || n < 1 {
			return fmt.Errorf("size %q: want a whole number from 1 on", args[1])
		}
		done, err := to.Of(args[0]).SetSize(ctx, n, f.long)
		if err != nil {
			return fmt.Errorf("size %s %d: %w", args[0], n, err)
		}
		if err := f.print(o.Out, applied(args[0], done, fmt.Sprintf("%s: size %s%s", args[0], strconv.Itoa(n), f.stands()))); err != nil {
			return err
		}
		return o.follow(ctx, &f.waiting, o.progressOf(to, args[0], ops.Change{Size: &n}))
	})
	f.change(c)
	f.until(c)
	f.waiting.flags(c, "Wait until there are so many and nothing moves")
	c.Flags().BoolVar(&end, "end", false, "Let the signals decide again")
	return c
}

func newPause(o *options) *cobra.Command {
	var f changing
	c := &cobra.Command{
		Use:   "pause KIND",
		Short: "Stop voluntary moves",
		Long:  "Stop a kind's voluntary moves at once: what is in flight is granted, and instances that leave are still drained.",
		Example: `  kubectl shardscaler pause Thing
  kubectl shardscaler pause Thing --for 30m`,
		Args:              words(1, 1),
		ValidArgsFunction: o.complete(kindArg),
	}
	c.RunE = o.run(&f.output, func(ctx context.Context, to *client.Client, args []string) error {
		done, err := to.Of(args[0]).Pause(ctx, f.long)
		if err != nil {
			return fmt.Errorf("pause %s: %w", args[0], err)
		}
		return f.print(o.Out, applied(args[0], done, args[0]+": voluntary moves are paused"+f.stands()))
	})
	f.change(c)
	f.until(c)
	return c
}

func newResume(o *options) *cobra.Command {
	var f changing
	c := &cobra.Command{
		Use:               "resume KIND",
		Short:             "Let voluntary moves go on",
		Example:           "  kubectl shardscaler resume Thing",
		Args:              words(1, 1),
		ValidArgsFunction: o.complete(kindArg),
	}
	c.RunE = o.run(&f.output, func(ctx context.Context, to *client.Client, args []string) error {
		done, err := to.Of(args[0]).Resume(ctx)
		if err != nil {
			return fmt.Errorf("resume %s: %w", args[0], err)
		}
		return f.print(o.Out, applied(args[0], done, args[0]+": voluntary moves go on"))
	})
	f.change(c)
	return c
}
