package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/shardscaler/shardscaler/scaler/decide"
)

// newDecideCommand is `shardscaler decide`: the scaler's decision without a server.
func newDecideCommand() *cobra.Command {
	var file, kind, output string
	cmd := &cobra.Command{
		Use:   "decide -f SNAPSHOT",
		Short: "Decide sizes offline, from a snapshot that a server saved",
		Long: `Decides again what a server decided: the same size, with every proposal, limit and reason. The snapshot is what the server
answers to GET /v1/api/snapshot, as JSON or YAML; a single kind's input does as well. Nothing is contacted and nothing is changed.

Exit status: 0 when a decision was made for every kind, 2 on errors.`,
		Example: "  curl -s $API/v1/api/snapshot > snapshot.json\n  shardscaler decide -f snapshot.json --kind Thing -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return fmt.Errorf("output %q: want text or json", output)
			}
			text, err := readFile(cmd.InOrStdin(), file)
			if err != nil {
				return fmt.Errorf("read snapshot: %w", err)
			}
			saved, err := decide.ParseSaved(text)
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			return printDecisions(cmd, saved, kind, output)
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "the snapshot; - is standard input")
	cmd.Flags().StringVar(&kind, "kind", "", "only this kind")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "output format: text or json")
	_ = cmd.MarkFlagRequired("file")
	return cmd
}

func printDecisions(cmd *cobra.Command, saved decide.Saved, kind, output string) error {
	decisions := []decide.Decision{}
	for _, in := range saved.Inputs {
		if kind == "" || in.Config.Name == kind {
			decisions = append(decisions, decide.Decide(in))
		}
	}
	if len(decisions) == 0 {
		return fmt.Errorf("the snapshot has no kind %q", kind)
	}
	if output == "json" {
		enc := json.NewEncoder(cmd.OutOrStdout())
		enc.SetIndent("", "  ")
		return enc.Encode(decisions)
	}
	for _, d := range decisions {
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), d.String()); err != nil {
			return err
		}
	}
	return nil
}
