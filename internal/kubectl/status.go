package kubectl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/shardscaler/shardscaler/internal/kubectl/client"
	"github.com/shardscaler/shardscaler/internal/kubectl/show"
	"github.com/shardscaler/shardscaler/internal/ops"
)

type statusFlags struct {
	output
	all, watch, instances bool
	query                 client.InstanceQuery
}

func newStatus(o *options) *cobra.Command {
	var f statusFlags
	c := &cobra.Command{
		Use:   "status [KIND]",
		Short: "Show what each kind does, or one kind with its instances",
		Long: `Show the size of each kind, its resources, what is wrong and what to do about it. With KIND, show that kind at length and
each of its instances.

JSON and YAML are the server's documents: the list of kinds, the kind, or with --instances the list of its instances.`,
		Example: `  # All kinds of the installation in the current namespace
  kubectl shardscaler status

  # All installations of the cluster
  kubectl shardscaler status -A

  # One kind, and then only its instances that are not well, the fullest first
  kubectl shardscaler status Thing
  kubectl shardscaler status Thing --instances --health Silent,CrashLooping --sort=-count

  # A line each time a kind changes, in any installation; its document
  kubectl shardscaler status --watch -A
  kubectl shardscaler status Thing --watch -o json`,
		Args:              words(0, 1),
		ValidArgsFunction: o.complete(kindArg),
		RunE: func(c *cobra.Command, args []string) error {
			if err := f.check(args); err != nil {
				return err
			}
			if f.watch {
				return o.watchStatus(c.Context(), &f, args)
			}
			if len(args) == 0 {
				return o.statusOfAll(c.Context(), &f)
			}
			return o.statusOf(c.Context(), &f, args[0])
		},
	}
	f.flags(c)
	c.Flags().BoolVarP(&f.all, "all-installations", "A", false, "Show all installations of the cluster, found by the label "+client.Selector)
	c.Flags().BoolVarP(&f.watch, "watch", "w", false, "After the list, show each kind again when it changes")
	c.Flags().BoolVar(&f.instances, "instances", false, "With KIND: only its instances")
	c.Flags().StringVar(&f.query.State, "state", "", "With KIND: only instances in these states (open, closed, draining, …), separated by commas")
	c.Flags().StringVar(&f.query.Health, "health", "", "With KIND: only instances in these conditions (Healthy, Silent, …), separated by commas")
	c.Flags().StringVar(&f.query.Node, "node", "", "With KIND: only instances on this node")
	c.Flags().StringVar(&f.query.Sort, "sort", "", "With KIND: order by ordinal, count, lag, cpu or memory; with a minus before it, the largest first")
	return c
}

func (f *statusFlags) check(args []string) error {
	switch filters := f.instances || f.query != (client.InstanceQuery{}); {
	case len(args) == 0 && filters:
		return client.Advise(errors.New("instances are of one kind"), "name it: kubectl shardscaler status KIND")
	case len(args) > 0 && f.all:
		return client.Advise(errors.New("-A shows the kinds of all installations"), "leave out KIND, or name the installation with -n")
	case f.watch && filters:
		return client.Advise(errors.New("--watch follows kinds"), "leave out what filters instances; kubectl shardscaler top KIND follows them")
	}
	return f.output.check()
}

// statusOfAll goes on with the other installations when one fails.
func (o *options) statusOfAll(ctx context.Context, f *statusFlags) error {
	clients, err := o.chosen(ctx, f.all)
	if err != nil {
		return err
	}
	all := shown{}
	table := show.Kinds(f.all, "", nil)
	var kinds []ops.Kind
	var faults []error
	for _, c := range clients {
		list, err := c.Kinds(ctx)
		if err != nil {
			faults = append(faults, fmt.Errorf("ask for kinds%s: %w", in(c, f.all), err))
			continue
		}
		if f.format == "json" || f.format == "yaml" {
			faults = append(faults, f.print(o.Out, shown{raw: list.Raw}))
			continue
		}
		all.names = append(all.names, kindNames(list.Value.Items)...)
		table.Rows = append(table.Rows, show.Kinds(f.all, c.Namespace, list.Value.Items).Rows...)
		kinds = append(kinds, list.Value.Items...)
	}
	if f.format == "json" || f.format == "yaml" || len(table.Rows) == 0 && len(faults) > 0 {
		return errors.Join(faults...)
	}
	all.human = func(w io.Writer) error {
		if err := f.table(w, table); err != nil {
			return err
		}
		return f.alarms(w, kinds)
	}
	return errors.Join(append(faults, f.print(o.Out, all))...)
}

// alarms follow the table of kinds.
func (f *statusFlags) alarms(w io.Writer, kinds []ops.Kind) error {
	for _, k := range kinds {
		if len(k.Alarms) > 0 && !f.noHeaders {
			fmt.Fprintln(w)
			show.Alarms(w, kinds)
			break
		}
	}
	return nil
}

func in(c *client.Client, all bool) string {
	if all {
		return " in namespace " + c.Namespace
	}
	return ""
}

func kindNames(kinds []ops.Kind) (names []named) {
	for _, k := range kinds {
		names = append(names, named{"kind", k.Name})
	}
	return names
}

func (o *options) statusOf(ctx context.Context, f *statusFlags, name string) error {
	c, err := o.connect(ctx)
	if err != nil {
		return err
	}
	if f.instances {
		list, err := c.Of(name).Instances(ctx, f.query)
		if err != nil {
			return fmt.Errorf("ask for the instances of %s: %w", name, err)
		}
		return f.print(o.Out, shownInstances(o, f, list))
	}
	kind, err := c.Of(name).Get(ctx)
	if err != nil {
		return fmt.Errorf("ask for %s: %w", name, err)
	}
	s := shown{raw: kind.Raw, names: kindNames([]ops.Kind{kind.Value})}
	s.human = func(w io.Writer) error {
		list, err := c.Of(name).Instances(ctx, f.query)
		if err != nil {
			return fmt.Errorf("ask for the instances of %s: %w", name, err)
		}
		show.Kind(w, kind.Value)
		show.Alarms(w, []ops.Kind{kind.Value})
		fmt.Fprintln(w)
		return shownInstances(o, f, list).human(w)
	}
	return f.print(o.Out, s)
}

func shownInstances(o *options, f *statusFlags, list client.Doc[ops.InstanceList]) shown {
	s := shown{raw: list.Raw}
	for _, i := range list.Value.Items {
		s.names = append(s.names, named{"instance", strconv.Itoa(i.Ordinal)})
	}
	s.human = func(w io.Writer) error {
		if err := f.table(w, show.Instances(o.now(), list.Value.Items)); err != nil {
			return err
		}
		if left := list.Value.All - len(list.Value.Items); left > 0 && !f.noHeaders {
			fmt.Fprintf(w, "%d of %d instances; the filter leaves out %d\n", len(list.Value.Items), list.Value.All, left)
		}
		return nil
	}
	return s
}
