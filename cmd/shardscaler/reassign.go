package main

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/shardscaler/shardscaler/internal/api"
	"github.com/shardscaler/shardscaler/internal/exact"
)

// newReassignCommand is `shardscaler reassign`: a person's word that an instance is dead.
func newReassignCommand() *cobra.Command {
	var r remote
	var assumeDead bool
	cmd := &cobra.Command{
		Use:   "reassign KIND ORDINAL --assume-dead --server URL",
		Short: "Give what an instance owns to others although nothing proves that it has stopped",
		Long: `Declares the pod that an instance has now to be dead. What it owns goes to other instances without any proof that it was released:
if something of that pod still runs, its resources run twice. A server gives away by itself what is proven to be released, so this is for
an instance whose node is lost for good: look at the machine first. The word is refused while something shows that the instance lives,
holds for this pod only and until the pod is Ready again, and is kept with your name, in an event and in the log.

The token is read from --token-file, else from $SHARDSCALER_TOKEN. It needs the verb update on orchestrations.shardscaler.io.
Exit status: 0 done, 2 errors, 3 the outcome is unknown: what was asked may have been carried out or not, and the error says where to look.`,
		Example: "  export SHARDSCALER_TOKEN=$(kubectl -n shardscaler create token operator)\n  shardscaler reassign Thing 3 --assume-dead --server http://shardscaler.shardscaler",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			ordinal, err := exact.Ordinal(args[1])
			if err != nil {
				return err
			}
			if !assumeDead {
				return errors.New("--assume-dead must be set: what is proven to be released is given to others without being asked for")
			}
			var done api.Reassigned
			what := fmt.Sprintf("instances/%d/reassign", ordinal)
			if err := r.call(cmd.Context(), http.MethodPost, args[0], what, api.ReassignRequest{AssumeDead: true}, &done); err != nil {
				return fmt.Errorf("reassign %s %d: %w", args[0], ordinal, err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "pod %s (%s) is declared dead by %s; the %d resources it owned go to others\n",
				done.Pod, done.UID, done.By, done.Left)
			return err
		},
	}
	cmd.Flags().BoolVar(&assumeDead, "assume-dead", false, "you know that nothing of this pod runs any more")
	r.flags(cmd, true)
	return cmd
}
