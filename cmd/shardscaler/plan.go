package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/plan/worldfile"
)

// exitError ends the process with its code; err may be nil: then there is nothing to say.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

// exitMoves is what `shardscaler plan` ends with when something moves.
const exitMoves = 1

type planFlags struct {
	file, format string
	moves, check bool
}

// newPlanCommand is `shardscaler plan`: the planner without a server.
func newPlanCommand() *cobra.Command {
	var f planFlags
	c := &cobra.Command{
		Use:   "plan -f WORLD.yaml",
		Short: "Plan moves offline, from a file",
		Long: `Plan moves offline: read who holds what from a file, and print what the rebalancer would move, why, and the least
number of moves there can be. Nothing is contacted and nothing is changed.

The file is described in docs/plan-world.md. Exit code 0: nothing moves. 1: something does. 2: an error.`,
		Example: `  shardscaler plan -f world.yaml
  shardscaler plan -f world.yaml -o json | jq '.moveList[] | select(.why == "leaving")'
  mysql … | shardscaler plan -f world.yaml          # with "resourcesFrom: -" in the file`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			moves, err := f.run(cmd.InOrStdin(), cmd.OutOrStdout())
			if err == nil && moves {
				return exitError{code: exitMoves}
			}
			return err
		},
	}
	c.Flags().StringVarP(&f.file, "file", "f", "", "the world, YAML; - is standard input (required)")
	c.Flags().StringVarP(&f.format, "output", "o", "text", "one of "+strings.Join(worldfile.Formats, ", "))
	c.Flags().BoolVar(&f.moves, "moves", false, "name every move in text too")
	c.Flags().BoolVar(&f.check, "check", false, "prove the plan with the separate, slow checker")
	return c
}

// run says whether anything moves.
func (f planFlags) run(stdin io.Reader, stdout io.Writer) (moves bool, err error) {
	if f.file == "" {
		return false, fmt.Errorf("read flags: file: missing, want -f WORLD.yaml")
	}
	if !slices.Contains(worldfile.Formats, f.format) {
		return false, fmt.Errorf("read flags: output: %q, want one of %s", f.format, strings.Join(worldfile.Formats, ", "))
	}
	w, o, err := f.read(stdin)
	if err != nil {
		return false, err
	}
	p, err := plan.Make(w, o)
	if err != nil {
		return false, err
	}
	if f.check {
		if err := plan.Check(w, p, o); err != nil {
			return false, err
		}
	}
	out := bufio.NewWriter(stdout)
	if err := worldfile.Write(out, p, o, f.format, f.moves); err != nil {
		return false, err
	}
	return len(p.Moves) > 0, out.Flush()
}

func (f planFlags) read(stdin io.Reader) (*plan.World, plan.Options, error) {
	in, folder := stdin, "."
	if f.file != "-" {
		file, err := os.Open(f.file)
		if err != nil {
			return nil, plan.Options{}, fmt.Errorf("read world: %w", err)
		}
		defer file.Close()
		in, folder = file, filepath.Dir(f.file)
	}
	return worldfile.Read(in, func(name string) (io.ReadCloser, error) {
		switch {
		case name == "-" && f.file == "-":
			return nil, fmt.Errorf("standard input is the world itself")
		case name == "-":
			return io.NopCloser(stdin), nil
		case filepath.IsAbs(name):
			return os.Open(name)
		}
		return os.Open(filepath.Join(folder, name))
	})
}
