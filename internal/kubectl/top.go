package kubectl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/shardscaler/shardscaler/internal/kubectl/client"
	"github.com/shardscaler/shardscaler/internal/kubectl/show"
	"github.com/shardscaler/shardscaler/internal/ops"
)

type topFlags struct {
	output
	once bool
	sort string
}

func newTop(o *options) *cobra.Command {
	var f topFlags
	c := &cobra.Command{
		Use:   "top [KIND]",
		Short: "Show kinds, or the instances of one, live",
		Long: `Show what each kind does, or with KIND how loaded each of its instances is, and keep it up to date until Ctrl-C. It follows the server's
stream. Without a terminal, with --once, and as JSON or YAML it is shown once.`,
		Example: `  kubectl shardscaler top

  # The instances of Thing, those with the largest lag first
  kubectl shardscaler top Thing --sort=-lag`,
		Args:              words(0, 1),
		ValidArgsFunction: o.complete(kindArg),
		RunE: func(c *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			if f.once || f.format == "json" || f.format == "yaml" || f.format == "name" || !isTerminal(o.Out) {
				s := &statusFlags{output: f.output, instances: len(args) > 0, query: client.InstanceQuery{Sort: f.sort}}
				if len(args) == 0 {
					return o.statusOfAll(c.Context(), s)
				}
				return o.statusOf(c.Context(), s, args[0])
			}
			return o.live(c.Context(), &f, args)
		},
	}
	f.flags(c)
	c.Flags().BoolVar(&f.once, "once", false, "Show it once")
	c.Flags().StringVar(&f.sort, "sort", "-count", "With KIND: order by ordinal, count, lag, cpu or memory; with a minus before it, the largest first")
	return c
}

func (f *topFlags) check() error {
	if !slices.Contains(ops.Sorts, strings.TrimPrefix(f.sort, "-")) {
		return fmt.Errorf("--sort: %q: want ordinal, count, lag, cpu or memory, a minus before it for the largest first", f.sort)
	}
	return f.output.check()
}

// Sequences by which a terminal shows another page, without cursor, and draws it anew.
const (
	enter = "\x1b[?1049h\x1b[?25l"
	leave = "\x1b[?25h\x1b[?1049l"
	home  = "\x1b[H"
	// toEnd and below clear the rest of a line, and the lines after the last.
	toEnd = "\x1b[K"
	below = "\x1b[J"
)

// live draws until ctx ends. Between two changes it draws once a second: ages grow.
func (o *options) live(ctx context.Context, f *topFlags, args []string) error {
	to, err := o.connect(ctx)
	if err != nil {
		return err
	}
	kind := ""
	if len(args) > 0 {
		kind = args[0]
	}
	sights, ended := o.watch(ctx, to, kind)
	first, ok := <-sights
	if !ok {
		return errors.Join(ended(), ctx.Err())
	}
	fmt.Fprint(o.Out, enter)
	defer fmt.Fprint(o.Out, leave)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for now := first; ; {
		if err := o.draw(f, to, kind, now); err != nil {
			return err
		}
		select {
		case s, ok := <-sights:
			if !ok {
				return ended()
			}
			now = s
		case <-tick.C:
		}
	}
}

func (o *options) draw(f *topFlags, to *client.Client, kind string, s sight) error {
	width, height := size(o.Out)
	text, err := page(f, o.now(), to.Namespace, kind, s)
	if err != nil {
		return err
	}
	_, err = io.WriteString(o.Out, fitted(text, width, height))
	return err
}

// page is what is shown: a line about the connection, then the kinds or one with its instances.
func page(f *topFlags, now time.Time, namespace, kind string, s sight) (string, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "shardscaler %s %s", namespace, now.UTC().Format("15:04:05"))
	if s.trouble != nil {
		fmt.Fprintf(&b, "  NO CONNECTION, this is %s old: %s", show.Duration(now.Sub(s.at)), show.Plain(s.trouble.Error()))
	}
	b.WriteString("\n\n")
	var kinds []ops.Kind
	for _, k := range s.kinds {
		kinds = append(kinds, k.Kind)
	}
	if err := f.table(&b, show.Kinds(false, "", kinds)); err != nil {
		return "", err
	}
	b.WriteByte('\n')
	show.Alarms(&b, kinds)
	for _, k := range s.kinds {
		if k.Kind.Name != kind {
			continue
		}
		b.WriteByte('\n')
		list, err := ops.Page(k.Instances, ops.Query{Sort: f.sort, Limit: len(k.Instances)})
		if err == nil {
			err = f.table(&b, show.Instances(now, list.Items))
		}
		if err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

// fitted is a text as a terminal of that size draws it over what it shows. What has no room is
// counted in the last line.
func fitted(text string, width, height int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) > height {
		left := len(lines) - height + 1
		lines = append(lines[:height-1:height-1], fmt.Sprintf("… and %d lines more", left))
	}
	for i, l := range lines {
		lines[i] = clip(l, width) + toEnd
	}
	return home + strings.Join(lines, "\n") + below
}
