// Command shardscaler sizes the StatefulSets of sharded, stateful workloads, publishes their
// metrics to Kubernetes and moves their resources between instances in ZooKeeper.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/shardscaler/shardscaler/internal/ending"
	"github.com/shardscaler/shardscaler/internal/kubectl/client"
)

func main() {
	ctx, stop := ending.OnSignal()
	err := newRootCommand().ExecuteContext(ctx)
	stop()
	os.Exit(exitCode(err))
}

// exitCode is 0 for success, a command's own code, or 2; the error is printed once, here.
func exitCode(err error) int {
	if err == nil {
		return 0
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(os.Stderr, "shardscaler:", text)
	}
	if next := client.Next(err); next != "" {
		fmt.Fprintln(os.Stderr, "next:", next)
	}
	var coded exitError
	var unknown *client.Unknown
	switch {
	case errors.As(err, &unknown):
		return exitUnknown
	case errors.As(err, &coded):
		return coded.code
	}
	return 2
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "shardscaler",
		Short: "Autoscaler, metrics adapter and rebalancer for sharded, stateful workloads",
		Long: `shardscaler sizes the StatefulSets that run an IoT platform's resources, publishes what it sees as Kubernetes custom
metrics, and moves resources between instances in ZooKeeper whenever the set of ordinals changes.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(
		newRunCommand(), newPreflightCommand(), newDecideCommand(), newCheckConfigCommand(), newPrintConfigCommand(), newPlanCommand(),
		newReassignCommand(), newRollbackCommand(), newPauseCommand(true), newPauseCommand(false), newUICommand(), newVersionCommand(),
	)
	return root
}
