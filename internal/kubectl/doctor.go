package kubectl

import (
	"context"
	"encoding/json"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/shardscaler/shardscaler/internal/kubectl/client"
	"github.com/shardscaler/shardscaler/internal/kubectl/doctor"
	"github.com/shardscaler/shardscaler/internal/kubectl/show"
)

func newDoctor(o *options) *cobra.Command {
	var f output
	var problems bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is wrong, with its cause and the next step",
		Long: `Look for what is wrong with an installation and the way to it: the API server, the APIServices, the replicas and their version, your
rights, each alarm of each kind, and each source of data with its age. With --server only what the server itself says.

Exit status 1: something is wrong.`,
		Example: `  kubectl shardscaler doctor
  kubectl shardscaler doctor --problems -n iota`,
		Args: words(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			report, err := examine(o, c.Context())
			if err != nil {
				return err
			}
			if err := printReport(o, &f, report, problems); err != nil {
				return err
			}
			if report.Wrong() {
				return exit{code: ExitFound}
			}
			return nil
		},
	}
	f.flags(c)
	c.Flags().BoolVar(&problems, "problems", false, "Leave out what is ok")
	return c
}

func examine(o *options, ctx context.Context) (*doctor.Report, error) {
	r := &doctor.Report{}
	if o.server != "" {
		to, err := reach(o, ctx)
		if err == nil {
			r.Kinds(ctx, to)
		}
		return r, err
	}
	cfg, err := o.restConfig()
	if err != nil {
		return nil, err
	}
	kube, err := client.NewKube(cfg)
	if err != nil {
		return nil, err
	}
	namespace, err := o.namespace(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if !r.Cluster(ctx, kube, namespace, o.version) {
		return r, nil
	}
	to, err := client.Aggregated(cfg, namespace)
	if err == nil {
		r.Kinds(ctx, to)
	}
	return r, err
}

func printReport(o *options, f *output, r *doctor.Report, problems bool) error {
	picked := doctor.Report{Items: []doctor.Finding{}}
	for _, i := range r.Items {
		if !problems || i.Status != doctor.OK {
			picked.Items = append(picked.Items, i)
		}
	}
	raw, err := json.Marshal(picked)
	if err != nil {
		return err
	}
	s := shown{raw: raw}
	for _, i := range picked.Items {
		s.names = append(s.names, named{"check", strings.ReplaceAll(i.Check, " ", "-")})
	}
	s.human = func(w io.Writer) error {
		if err := f.table(w, show.Findings(picked.Items)); err != nil || f.wide() {
			return err
		}
		return show.Next(w, picked.Items)
	}
	return f.print(o.Out, s)
}
