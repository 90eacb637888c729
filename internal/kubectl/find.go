package kubectl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/kubectl/client"
	"github.com/shardscaler/shardscaler/internal/kubectl/show"
	"github.com/shardscaler/shardscaler/internal/ops"
)

type findFlags struct {
	output
	all                bool
	kind, as, contains string
	limit              int
}

// What find looks for.
const (
	asResource = "resource"
	asInstance = "instance"
	asNode     = "node"
)

func newFind(o *options) *cobra.Command {
	var f findFlags
	c := &cobra.Command{
		Use:   "find {ID | POD | ORDINAL | NODE} or find --contains TEXT",
		Short: "Find a resource, an instance or the instances of a node",
		Long: `Find where a resource runs, since when and why, with its last moves; or an instance by its pod or its ordinal; or the instances of a
node. What the name is, is tried out: an instance, a resource of each kind, a node. --as says it, where it could be several.

Exit status 1: nothing was found.`,
		Example: `  # Where does device-17 run?
  kubectl shardscaler find device-17

  # Which instances does this node have?
  kubectl shardscaler find node-4 --as node

  # Resources whose ids contain a text
  kubectl shardscaler find --contains living-room --kind Thing`,
		Args:              words(0, 1),
		ValidArgsFunction: o.complete(anyResourceArg),
		RunE: func(c *cobra.Command, args []string) error {
			if err := f.check(args); err != nil {
				return err
			}
			clients, err := o.chosen(c.Context(), f.all)
			if err != nil {
				return err
			}
			found := 0
			for _, to := range clients {
				n, err := o.findIn(c.Context(), &f, to, args)
				if err != nil {
					return err
				}
				found += n
			}
			if found == 0 {
				err := fmt.Errorf("nothing is found: %s", wanted(&f, args))
				if f.contains == "" {
					err = client.Advise(err, "ids count as they are written; kubectl shardscaler find --contains TEXT looks for parts of them")
				}
				return exit{ExitFound, err}
			}
			return nil
		},
	}
	f.flags(c)
	c.Flags().BoolVarP(&f.all, "all-installations", "A", false, "Look in all installations of the cluster")
	c.Flags().StringVar(&f.kind, "kind", "", "Only in this kind")
	c.Flags().StringVar(&f.as, "as", "", "What it is: resource, instance or node; default: what it turns out to be")
	c.Flags().StringVar(&f.contains, "contains", "", "List the resources whose ids contain this text")
	c.Flags().IntVar(&f.limit, "limit", 100, "With --contains: at most so many of each kind")
	_ = c.RegisterFlagCompletionFunc("kind", o.completeFlag(kindArg))
	_ = c.RegisterFlagCompletionFunc("as", cobra.FixedCompletions([]string{asResource, asInstance, asNode}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func wanted(f *findFlags, args []string) string {
	if len(args) == 0 {
		return "no id contains " + strconv.Quote(f.contains)
	}
	return strconv.Quote(args[0]) + " is no resource, instance or node"
}

func (f *findFlags) check(args []string) error {
	switch {
	case (len(args) == 0) == (f.contains == ""):
		return client.Advise(errors.New("one thing to find is needed: a name, or --contains TEXT"), "kubectl shardscaler find --help")
	case f.as != "" && f.as != asResource && f.as != asInstance && f.as != asNode:
		return fmt.Errorf("--as: %q: want resource, instance or node", f.as)
	case f.limit < 1 || f.limit > 500:
		return fmt.Errorf("--limit: %d: want 1 to 500", f.limit)
	}
	return f.output.check()
}

// finder looks in one installation.
type finder struct {
	*options
	*findFlags
	to    *client.Client
	kinds []ops.Kind
}

func (o *options) findIn(ctx context.Context, f *findFlags, to *client.Client, args []string) (found int, err error) {
	list, err := to.Kinds(ctx)
	if err != nil {
		return 0, fmt.Errorf("ask for kinds%s: %w", in(to, f.all), err)
	}
	look := finder{o, f, to, nil}
	for _, k := range list.Value.Items {
		if f.kind == "" || k.Name == f.kind {
			look.kinds = append(look.kinds, k)
		}
	}
	if len(look.kinds) == 0 && f.kind != "" {
		return 0, fmt.Errorf("kind %q is not configured%s", f.kind, in(to, f.all))
	}
	if f.contains != "" {
		return look.containing(ctx)
	}
	for _, way := range []struct {
		as  string
		try func(context.Context, string) (int, error)
	}{{asInstance, look.instance}, {asResource, look.resource}, {asNode, look.node}} {
		if f.as != "" && f.as != way.as {
			continue
		}
		n, err := way.try(ctx, args[0])
		if found += n; err != nil {
			return found, err
		}
		if found > 0 && way.as != asInstance {
			break
		}
	}
	return found, nil
}

// absent says that an error means only that there is no such thing.
func absent(err error) bool {
	var no *client.Refusal
	return errors.As(err, &no) && no.Ours && (no.Status == http.StatusNotFound || no.Status == http.StatusUnprocessableEntity)
}

func (f *finder) resource(ctx context.Context, id string) (found int, err error) {
	for _, k := range f.kinds {
		r, err := f.to.Of(k.Name).Resource(ctx, id)
		if absent(err) {
			continue
		}
		if err != nil {
			return found, fmt.Errorf("ask for %s of %s: %w", id, k.Name, err)
		}
		found++
		shows := shown{raw: r.Raw, names: []named{{asResource, r.Value.ID}}}
		shows.human = func(w io.Writer) error { show.Resource(w, k.Name, r.Value); return nil }
		if err := f.print(f.Out, shows); err != nil {
			return found, err
		}
	}
	return found, nil
}

// instance is a pod, or an ordinal of each kind.
func (f *finder) instance(ctx context.Context, name string) (int, error) {
	var list []ops.Instance
	var raws []json.RawMessage
	for _, k := range f.kinds {
		kind, n, ok := podOf([]ops.Kind{k}, name)
		if !ok {
			var err error
			if n, err = exact.Ordinal(name); err != nil {
				continue
			}
			kind = k.Name
		}
		i, err := f.to.Of(kind).Instance(ctx, n)
		if absent(err) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("ask for instance %s: %w", instanceName(kind, n), err)
		}
		list, raws = append(list, i.Value), append(raws, i.Raw)
	}
	return len(list), f.instances(list, raws)
}

// instances prints a table of instances of several kinds, or each document.
func (f *finder) instances(list []ops.Instance, raws []json.RawMessage) error {
	if len(list) == 0 {
		return nil
	}
	if f.format == "json" || f.format == "yaml" {
		for _, raw := range raws {
			if err := f.print(f.Out, shown{raw: raw}); err != nil {
				return err
			}
		}
		return nil
	}
	s := shown{human: func(w io.Writer) error { return f.table(w, show.InstancesOf(f.now(), list)) }}
	for _, i := range list {
		s.names = append(s.names, named{asInstance, i.StatefulSet + "-" + strconv.Itoa(i.Ordinal)})
	}
	return f.print(f.Out, s)
}

func (f *finder) node(ctx context.Context, name string) (int, error) {
	n, err := f.to.Node(ctx, name)
	if absent(err) || err == nil && len(n.Value.Items) == 0 {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("ask for node %s: %w", name, err)
	}
	if f.format == "json" || f.format == "yaml" {
		return len(n.Value.Items), f.print(f.Out, shown{raw: n.Raw})
	}
	return len(n.Value.Items), f.instances(n.Value.Items, nil)
}

func (f *finder) containing(ctx context.Context) (found int, err error) {
	table := show.Resources("", nil)
	s := shown{}
	for _, k := range f.kinds {
		list, err := f.to.Of(k.Name).Resources(ctx, f.contains, f.limit)
		if err != nil {
			return found, fmt.Errorf("ask for resources of %s: %w", k.Name, err)
		}
		found += len(list.Value.Items)
		if f.format == "json" || f.format == "yaml" {
			if err := f.print(f.Out, shown{raw: list.Raw}); err != nil {
				return found, err
			}
			continue
		}
		table.Rows = append(table.Rows, show.Resources(k.Name, list.Value.Items).Rows...)
		for _, r := range list.Value.Items {
			s.names = append(s.names, named{asResource, r.ID})
		}
		if list.Value.Continue != "" && f.format != "name" && !f.noHeaders {
			fmt.Fprintf(f.ErrOut, "%s: there are more than %d; a longer text, or --limit, shows others\n", k.Name, f.limit)
		}
	}
	if found == 0 || f.format == "json" || f.format == "yaml" {
		return found, nil
	}
	s.human = func(w io.Writer) error { return f.table(w, table) }
	return found, f.print(f.Out, s)
}
