package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/shardscaler/shardscaler/internal/testbed/story"
)

func newDemoCommand() *cobra.Command {
	var (
		flags   flags
		oneshot bool
	)
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Start the servers and the product, and show an import, load, deletion, drain and shrink",
		Long: `Starts the servers, two replicas of shardscaler and a simulated workload, and shows what happens when 20,000 Things and 500
Rules are imported, become busy, and are deleted again by two thirds. What it claims it checks against Kubernetes and
ZooKeeper. It then stays up, with commands to paste, until Ctrl-C.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			env, err := start(cmd, flags)
			if err != nil {
				return err
			}
			err = story.Run(cmd.Context(), env, story.Options{Oneshot: oneshot, Out: cmd.OutOrStdout()})
			return errors.Join(err, env.Close())
		},
	}
	flags.register(cmd)
	cmd.Flags().BoolVar(&oneshot, "oneshot", false, "end after the story with a summary; exit 1 if anything it claims did not happen")
	return cmd
}
