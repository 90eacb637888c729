package kubectl

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/shardscaler/shardscaler/internal/kubectl/client"
	"github.com/shardscaler/shardscaler/internal/kubectl/show"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

func newWhy(o *options) *cobra.Command {
	var f output
	c := &cobra.Command{
		Use:   "why KIND",
		Short: "Explain the size of a kind",
		Long: `Show the latest decision about a kind's size: what each signal asks for, what limits it, the answers to what users ask of an HPA
(those marked * changed this decision), and what would have to be true for another size.`,
		Example: `  # Why does Thing have that many instances?
  kubectl shardscaler why Thing

  # The decision as the server made it
  kubectl shardscaler why Thing -o json | jq .decision.signals`,
		Args:              words(1, 1),
		ValidArgsFunction: o.complete(kindArg),
		RunE: o.run(&f, func(ctx context.Context, to *client.Client, args []string) error {
			d, err := to.Of(args[0]).Decision(ctx)
			if err != nil {
				return fmt.Errorf("ask for the decision about %s: %w", args[0], err)
			}
			return f.print(o.Out, decision(args[0], d))
		}),
	}
	f.flags(c)
	return c
}

func decision(kind string, d client.Doc[ops.Decision]) shown {
	return shown{
		raw: d.Raw, names: []named{{"decision", cmp.Or(d.Value.ID, kind)}},
		human: func(w io.Writer) error { show.Why(w, d.Value); return nil },
	}
}

func newConfig(o *options) *cobra.Command {
	var f output
	c := &cobra.Command{
		Use:   "config KIND",
		Short: "Show the configuration of a kind that is in force, each value with its source",
		Example: `  # What is in force for Thing, and who said so?
  kubectl shardscaler config Thing -o wide`,
		Args:              words(1, 1),
		ValidArgsFunction: o.complete(kindArg),
		RunE: o.run(&f, func(ctx context.Context, to *client.Client, args []string) error {
			s, err := to.Of(args[0]).Config(ctx)
			if err != nil {
				return fmt.Errorf("ask for the configuration of %s: %w", args[0], err)
			}
			shows := shown{raw: s.Raw, names: []named{{"kind", s.Value.Kind}}}
			shows.human = func(w io.Writer) error {
				if s.Value.Refused != "" {
					fmt.Fprintf(w, "a newer configuration is not in force: %s\n", s.Value.Refused)
				}
				return f.table(w, show.Settings(s.Value))
			}
			return f.print(o.Out, shows)
		}),
	}
	f.flags(c)
	return c
}

func newHistory(o *options) *cobra.Command {
	var f output
	var q client.HistoryQuery
	c := &cobra.Command{
		Use:   "history KIND [ID]",
		Short: "Show what happened to a kind, the newest first, or one decision at length",
		Long: `Show sizes, decisions, moves and what persons changed, the newest first. With ID (see -o wide) show that decision with its whole
explanation. Times are RFC 3339, or how long ago: 2h.`,
		Example: `  # What persons changed in the last day
  kubectl shardscaler history Thing --type change --since 24h

  # The decisions, and one of them at length
  kubectl shardscaler history Thing --type decision -o wide
  kubectl shardscaler history Thing 00t2f1k`,
		Args:              words(1, 2),
		ValidArgsFunction: o.complete(kindArg),
		RunE: func(c *cobra.Command, args []string) (err error) {
			if err = f.check(); err != nil {
				return err
			}
			if q.Most < 0 {
				return client.Advise(fmt.Errorf("--limit %d: 0 or more is wanted", q.Most), "kubectl shardscaler history --help")
			}
			if q.Since, err = o.moment("since", q.Since); err != nil {
				return err
			}
			if q.Until, err = o.moment("until", q.Until); err != nil {
				return err
			}
			to, err := o.connect(c.Context())
			if err != nil {
				return err
			}
			if len(args) == 2 {
				d, err := to.Of(args[0]).Decided(c.Context(), args[1])
				if err != nil {
					return fmt.Errorf("ask for decision %s of %s: %w", args[1], args[0], err)
				}
				return f.print(o.Out, decision(args[0], d))
			}
			list, err := to.Of(args[0]).History(c.Context(), q)
			if err != nil {
				return fmt.Errorf("ask for the history of %s: %w", args[0], err)
			}
			return f.print(o.Out, shownHistory(o, &f, list))
		},
	}
	f.flags(c)
	c.Flags().StringVar(&q.Type, "type", "", "Only these entries: sample, decision, moves, change or gap")
	c.Flags().StringVar(&q.Since, "since", "", "Only entries from this time on")
	c.Flags().StringVar(&q.Until, "until", "", "Only entries before this time")
	c.Flags().IntVar(&q.Most, "limit", 100, "At most so many entries; 0: all that are kept")
	return c
}

func shownHistory(o *options, f *output, list client.Doc[ops.EntryList]) shown {
	s := shown{raw: list.Raw}
	for _, e := range list.Value.Items {
		s.names = append(s.names, named{"entry", e.ID})
	}
	s.human = func(w io.Writer) error {
		if err := f.table(w, show.Entries(o.now(), list.Value.Items)); err != nil {
			return err
		}
		if len(list.Value.Items) == 0 {
			fmt.Fprintln(o.ErrOut, "there are no such entries; what happens is kept up to a minute later")
		}
		if !list.Value.Since.IsZero() && !f.noHeaders {
			fmt.Fprintf(w, "what came before %s is not kept\n", decide.Stamp(list.Value.Since))
		}
		return nil
	}
	return s
}

// moment reads a time, or how long ago it was; empty: none.
func (o *options) moment(flag, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	if ago, err := time.ParseDuration(text); err == nil {
		return o.now().Add(-ago).UTC().Format(time.RFC3339), nil
	}
	if _, err := time.Parse(time.RFC3339, text); err != nil {
		return "", fmt.Errorf("--%s: %q: want a time such as 2026-03-01T12:00:00Z, or a duration such as 2h", flag, text)
	}
	return text, nil
}
