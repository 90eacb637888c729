// Command dacsim plays the instances of a workload: one process for all pods of the StatefulSets.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/shardscaler/shardscaler/internal/ending"
)

func main() {
	ctx, stop := ending.OnSignal()
	defer stop()
	root := &cobra.Command{
		Use:   "dacsim",
		Short: "Plays the instances of a workload: reads their ids, obeys _reload, acknowledges, beats",
		Long: `dacsim plays the instances of a workload, all in one process. For each Running pod of the given StatefulSets it keeps
a ZooKeeper session of its own, runs the ids that the orchestrator wrote for its ordinal, acknowledges reloads, sends
heartbeats, and sets the pod annotations from which kwok reports CPU and memory.

It is for tests and demonstrations on simulated pods. It holds a finalizer on every pod it plays, so that a pod is not
gone before what it runs has ended, as with a real kubelet.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(runCommand(), ctlCommand())
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "dacsim:", err)
		os.Exit(1)
	}
}
