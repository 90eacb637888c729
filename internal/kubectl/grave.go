package kubectl

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/shardscaler/shardscaler/internal/kubectl/client"
	"github.com/shardscaler/shardscaler/internal/kubectl/show"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
)

// ask asks a person on a terminal; without one, --yes is needed.
func (o *options) ask(question string) error {
	if !isTerminal(o.In) {
		return client.Advise(errors.New("this needs a person's yes, and standard input is no terminal"), "add --yes to do it without being asked")
	}
	fmt.Fprintf(o.ErrOut, "%s [y/N] ", question)
	line, err := bufio.NewReader(o.In).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return nil
	}
	return errors.New("not confirmed: nothing was done")
}

func newRollback(o *options) *cobra.Command {
	var f changing
	c := &cobra.Command{
		Use:   "rollback KIND",
		Short: "Take back the running wave of moves, and pause",
		Long: `Take back the wave of moves that a kind's rebalancer carries out now, and pause voluntary moves: what is not revoked yet stays where
it runs, what is in flight returns to its instance, and what has arrived is moved back. What comes from an instance that is leaving
is not moved back. Earlier waves are not changed. Afterwards: kubectl shardscaler resume KIND.

Exit status 1: there was nothing to roll back.`,
		Example:           "  kubectl shardscaler rollback Thing",
		Args:              words(1, 1),
		ValidArgsFunction: o.complete(kindArg),
	}
	c.RunE = o.run(&f.output, func(ctx context.Context, to *client.Client, args []string) error {
		if !f.yes {
			running := ""
			if k, err := to.Of(args[0]).Get(ctx); err == nil && k.Value.Progress.PlanID != "" {
				p := k.Value.Progress
				running = fmt.Sprintf(" %d of its %d moves are done.", p.Done, p.Moves)
			}
			if err := o.ask(fmt.Sprintf("Take back the running wave of %s and pause voluntary moves?%s", args[0], running)); err != nil {
				return err
			}
		}
		done, err := to.Of(args[0]).Rollback(ctx)
		if err != nil {
			return nothingToRollBack(args[0], err)
		}
		return f.print(o.Out, shown{raw: done.Raw, names: []named{{"kind", args[0]}}, human: func(w io.Writer) error {
			_, err := fmt.Fprintln(w, show.RolledBack(args[0], done.Value))
			return err
		}})
	})
	f.change(c)
	c.Flags().BoolVar(&f.yes, "yes", false, "Do not ask")
	return c
}

// nothingToRollBack is what a rollback failed of; that nothing runs has a status of its own.
func nothingToRollBack(kind string, err error) error {
	var no *client.Refusal
	if err = fmt.Errorf("roll back %s: %w", kind, err); errors.As(err, &no) && no.Status == http.StatusConflict && no.Ours {
		return exit{ExitFound, client.Advise(err, "see what moves: kubectl shardscaler status "+kind)}
	}
	return err
}

func newConfirm(o *options) *cobra.Command {
	var f changing
	var set, deletes int
	c := &cobra.Command{
		Use:   "confirm KIND",
		Short: "Confirm deletes that wait for a person",
		Long: `Show the deletes that a comparison with the catalogue has found and that wait for a person, since they are many, and carry out one
set of them. If the number of a set has changed since it was shown, nothing is deleted.`,
		Example: `  # Show what waits, and be asked
  kubectl shardscaler confirm Thing

  # In a script: exactly this set, if it has this size
  kubectl shardscaler confirm Thing --set 3 --deletes 1250 --yes`,
		Args:              words(1, 1),
		ValidArgsFunction: o.complete(kindArg),
	}
	c.RunE = o.run(&f.output, func(ctx context.Context, to *client.Client, args []string) error {
		kind, err := to.Of(args[0]).Get(ctx)
		if err != nil {
			return fmt.Errorf("ask for %s: %w", args[0], err)
		}
		picked, err := pickSet(args[0], kind.Value.Waiting, set, deletes)
		if err != nil {
			return err
		}
		if !f.yes {
			if err := o.ask(fmt.Sprintf("Delete the %d resources of %s in set %d (%.1f%% of all), which the catalogue has not had since %s?",
				picked.Count, args[0], picked.Set, 100*picked.Share, picked.Since.UTC().Format("2006-01-02 15:04 MST"))); err != nil {
				return err
			}
		}
		done, err := to.Of(args[0]).Confirm(ctx, picked.Set, picked.Count)
		if err != nil {
			return fmt.Errorf("confirm set %d of %s: %w", picked.Set, args[0], err)
		}
		return f.print(o.Out, shown{raw: done.Raw, names: []named{{"kind", args[0]}}, human: func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "%s: %d deletes of set %d are confirmed\n", args[0], picked.Count, picked.Set)
			return err
		}})
	})
	f.change(c)
	c.Flags().IntVar(&set, "set", 0, "The set's number; needed when several wait")
	c.Flags().IntVar(&deletes, "deletes", 0, "The number of deletes that it must have; default: what it has now")
	c.Flags().BoolVar(&f.yes, "yes", false, "Do not ask")
	return c
}

// pickSet is the set that the flags name, or the only one.
func pickSet(kind string, waiting *resync.Waiting, set, deletes int) (resync.Set, error) {
	if waiting == nil || len(waiting.Sets) == 0 {
		return resync.Set{}, exit{ExitFound, fmt.Errorf("confirm %s: no deletes wait for a person", kind)}
	}
	var text []string
	for _, s := range waiting.Sets {
		if s.Set == set || set == 0 && len(waiting.Sets) == 1 {
			if deletes != 0 && deletes != s.Count {
				return resync.Set{}, fmt.Errorf("confirm %s: set %d has %d deletes now, and not %d: nothing was done", kind, s.Set, s.Count, deletes)
			}
			return s, nil
		}
		text = append(text, fmt.Sprintf("set %d of %d", s.Set, s.Count))
	}
	return resync.Set{}, client.Advise(fmt.Errorf("confirm %s: several sets of deletes wait, or not the one you name: %s", kind, strings.Join(text, ", ")), "name one: --set NUMBER")
}

func newReassign(o *options) *cobra.Command {
	var f changing
	var assumeDead bool
	c := &cobra.Command{
		Use:   "reassign {KIND ORDINAL | POD} --assume-dead",
		Short: "Reassign what an instance owns although nothing proves that it has stopped",
		Long: `Assume that the pod which an instance has now is dead. What it owns is reassigned without any proof that it was released: if something
of that pod still runs, its resources run twice. What is proven to be released is reassigned without you, so this is for an instance
whose node is lost for good: look at the machine first. It is refused while something shows that the instance lives. It applies to this
pod only, until the pod is Ready again, and is stored with your name, in an event and in the log.`,
		Example:           "  kubectl shardscaler reassign iota-dac-3 --assume-dead",
		Args:              words(1, 2),
		ValidArgsFunction: o.complete(kindArg, ordinalArg),
	}
	c.RunE = o.run(&f.output, func(ctx context.Context, to *client.Client, args []string) error {
		if !assumeDead {
			return client.Advise(errors.New("--assume-dead must be set"), "what is proven to be released is reassigned without you: kubectl shardscaler why KIND")
		}
		kind, n, err := o.target(ctx, to, args)
		if err != nil {
			return err
		}
		if !f.yes {
			if err := o.ask(fmt.Sprintf("Does nothing of the pod of instance %s run any more? If something does, its resources run twice.", instanceName(kind, n))); err != nil {
				return err
			}
		}
		done, err := to.Of(kind).Reassign(ctx, n)
		if err != nil {
			return fmt.Errorf("reassign %s: %w", instanceName(kind, n), err)
		}
		return f.print(o.Out, shown{raw: done.Raw, names: []named{{"kind", kind}}, human: func(w io.Writer) error {
			_, err := fmt.Fprintln(w, show.AssumedDead(done.Value))
			return err
		}})
	})
	f.change(c)
	c.Flags().BoolVar(&assumeDead, "assume-dead", false, "Nothing of this pod runs any more")
	c.Flags().BoolVar(&f.yes, "yes", false, "Do not ask")
	return c
}
