package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/kubectl/show"
)

// newReassignCommand is `shardscaler reassign`: a person says that an instance is dead.
func newReassignCommand() *cobra.Command {
	var r remote
	var assumeDead bool
	cmd := &cobra.Command{
		Use:   "reassign KIND ORDINAL --assume-dead --server URL",
		Short: "Reassign what an instance owns although nothing proves that it has stopped",
		Long: `Assumes that the pod which an instance has now is dead. What it owns is reassigned without any proof that it was released: if something
of that pod still runs, its resources run twice. The server itself reassigns what is proven to be released, so this is for an instance
whose node is lost for good: look at the machine first. The command is refused while something shows that the instance lives. It applies
to this pod only, until the pod is Ready again, and is stored with your name, in an event and in the log.

It is "kubectl shardscaler reassign" at a server's own address. The token is read from --token-file, else from $SHARDSCALER_TOKEN. It
needs the verb create on kinds/reassign.ops.shardscaler.io. ` + exitHelp,
		Example: "  export SHARDSCALER_TOKEN=$(kubectl -n shardscaler create token operator --audience shardscaler)\n  shardscaler reassign Thing 3 --assume-dead --server https://shardscaler-metrics.shardscaler.svc --ca-file ca.crt",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			ordinal, err := exact.Ordinal(args[1])
			if err != nil {
				return err
			}
			if !assumeDead {
				return errors.New("--assume-dead must be set: what is proven to be released is reassigned automatically")
			}
			server, err := r.connect(true)
			if err != nil {
				return err
			}
			done, err := server.Of(args[0]).Reassign(cmd.Context(), ordinal)
			if err != nil {
				return fmt.Errorf("reassign %s %d: %w", args[0], ordinal, err)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), show.AssumedDead(done.Value))
			return err
		},
	}
	cmd.Flags().BoolVar(&assumeDead, "assume-dead", false, "confirm that nothing of this pod runs any more")
	r.flags(cmd, true)
	return cmd
}
