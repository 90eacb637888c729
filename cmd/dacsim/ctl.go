package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/testbed/workload"
)

// ctlCommand speaks to a running dacsim.
func ctlCommand() *cobra.Command {
	var control workload.Control
	cmd := &cobra.Command{
		Use:   "ctl",
		Short: "Look at the instances of a running dacsim, or break them",
		Example: `  dacsim ctl --control 127.0.0.1:9310 ls
  dacsim ctl --control 127.0.0.1:9310 hang Thing 3 --for 20s
  dacsim ctl --control 127.0.0.1:9310 load Thing --cpu 2.5`,
	}
	cmd.PersistentFlags().StringVar(&control.Addr, "control", "127.0.0.1:9310", "control address of dacsim run")
	cmd.AddCommand(listCommand(&control), loadCommand(&control))
	for _, fault := range []struct{ name, short string }{
		{"hang", "Freeze an instance as SIGSTOP would, until resume or --for"},
		{"stall", "Keep an instance from applying and acknowledging anything, until resume or --for; its session lives"},
		{"resume", "Let a frozen or stalled instance go on"},
		{"crash", "End an instance's process; its container restarts after --for, or the usual delay"},
		{"mute", "Stop the heartbeats of an instance"},
		{"unmute", "Let an instance beat again"},
	} {
		cmd.AddCommand(faultCommand(&control, fault.name, fault.short))
	}
	return cmd
}

func listCommand(control *workload.Control) *cobra.Command {
	var ids bool
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List the instances and what they run",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := control.Instances(cmd.Context(), ids)
			if err != nil {
				return err
			}
			if ids {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(list)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "KIND\tINSTANCE\tPOD\tRESTARTS\tRUNS\tTIMES\tSTATE")
			for _, in := range list {
				fmt.Fprintf(w, "%s\t%d\t%s\t%d\t%d\t%d\t%s\n", in.Kind, in.Ordinal, in.Pod, in.Restarts, in.Count, in.Times, in.State)
			}
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&ids, "ids", false, "print JSON with the ids")
	return cmd
}

func faultCommand(control *workload.Control, name, short string) *cobra.Command {
	var span time.Duration
	cmd := &cobra.Command{
		Use:   name + " KIND ORDINAL",
		Short: short,
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := exact.Ordinal(args[1])
			if err != nil {
				return err
			}
			return control.Fault(cmd.Context(), args[0], n, name, span)
		},
	}
	if name == "hang" || name == "stall" || name == "crash" {
		cmd.Flags().DurationVar(&span, "for", 0, "how long")
	}
	return cmd
}

func loadCommand(control *workload.Control) *cobra.Command {
	factors := workload.Factors{CPU: 1, Memory: 1}
	cmd := &cobra.Command{
		Use:   "load KIND",
		Short: "Multiply what every instance of a kind uses; without flags: back to normal",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return control.Load(cmd.Context(), args[0], factors)
		},
	}
	cmd.Flags().Float64Var(&factors.CPU, "cpu", 1, "factor on CPU")
	cmd.Flags().Float64Var(&factors.Memory, "memory", 1, "factor on memory")
	return cmd
}
