package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/shardscaler/shardscaler/internal/api"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/kubectl/client"
)

func newCheckConfigCommand() *cobra.Command {
	var r remote
	c := &cobra.Command{
		Use:   "check-config FILE [--server URL]",
		Short: "Check a configuration file; - is standard input",
		Long: `Reads the configuration as the server would (the text under the ConfigMap's key config.yaml) and says whether it is valid.
Every fault is listed with its field, its value and the bound. With --server it also asks a running server how many instances of each
kind acknowledge what is taken from them, and which do not: when all do, handOff can be acknowledged. Exit status: 0 valid, 2 not
valid or not readable, or the server cannot be asked.`,
		Example: "  shardscaler check-config config.yaml\n  kubectl get configmap shardscaler -o jsonpath='{.data.config\\.yaml}' | shardscaler check-config -",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := readConfig(cmd.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			for _, k := range c.Kinds {
				fmt.Fprintf(cmd.OutOrStdout(), "%s: statefulset %s, %d to %d instances, %d of at most %d resources each, replicas owned by %s, hand-off %s\n",
					k.Name, k.StatefulSet, k.Init, k.Max, k.TargetPerInstance, k.Capacity, k.Replicas.Owner, k.HandOff)
			}
			if r.server == "" {
				return nil
			}
			return adviseHandOff(cmd, &r, c)
		},
	}
	r.flags(c, false)
	return c
}

// adviseHandOff says of each kind whether its instances acknowledge, as a server sees them now.
func adviseHandOff(cmd *cobra.Command, r *remote, c *config.Config) error {
	server, err := r.connect(false)
	if err != nil {
		return err
	}
	for _, k := range c.Kinds {
		o, err := client.Orchestration[struct {
			HandOff          api.HandOff       `json:"handOff"`
			NotAcknowledging map[string]string `json:"mute"`
		}](cmd.Context(), server, k.Name)
		if err != nil {
			return fmt.Errorf("ask about %s: %w", k.Name, err)
		}
		advice := "handOff must be immediate"
		if h := o.HandOff; h.Instances > 0 && h.Acknowledging == h.Instances {
			advice = "handOff can be acknowledged"
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: %d of %d instances acknowledge: %s\n", k.Name, o.HandOff.Acknowledging, o.HandOff.Instances, advice)
		if len(o.NotAcknowledging) > 0 {
			fmt.Fprintln(cmd.OutOrStdout(), notAcknowledging(k, o.HandOff.Instances, o.NotAcknowledging))
		}
	}
	return nil
}

// notAcknowledging names the instances that do not, and says what follows if they must.
func notAcknowledging(k config.Kind, of int, why map[string]string) string {
	ordinals := slices.SortedFunc(maps.Keys(why), func(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) })
	for i, n := range ordinals {
		ordinals[i] = fmt.Sprintf("%s (%s)", n, why[n])
	}
	text := fmt.Sprintf("%s: instances not acknowledging: %d of %d: %s", k.Name, len(why), of, strings.Join(ordinals, ", "))
	if k.HandOff == config.HandOffAcknowledged {
		text = "warning: " + text + "; with handOff: acknowledged nothing is moved out of them: they cannot be drained"
	}
	return text
}

func newPrintConfigCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "print-config FILE",
		Short: "Print a configuration with every default filled in; - is standard input",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := readConfig(cmd.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			text, err := c.Marshal()
			if err != nil {
				return fmt.Errorf("print configuration: %w", err)
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
}

func readConfig(stdin io.Reader, file string) (*config.Config, error) {
	text, err := readFile(stdin, file)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	c, err := config.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return c, nil
}

func readFile(stdin io.Reader, file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(stdin)
	}
	return os.ReadFile(file)
}
