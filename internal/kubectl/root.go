// Package kubectl is the plugin of kubectl: `kubectl shardscaler`.
//
// In: a command line, the caller's kubeconfig or a server's address. Out: documents of internal/ops
// as tables, text, JSON or YAML; an exit status. Invariant: JSON and YAML are the documents as the
// server sent them; what is dangerous is asked for on a terminal, and otherwise needs --yes.
package kubectl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // ways in that a kubeconfig may name

	"github.com/shardscaler/shardscaler/internal/kubectl/client"
)

// What the command ends with, beside 0.
const (
	// ExitFound: plan would move something; rollback, find and confirm found nothing; doctor found
	// something that is wrong.
	ExitFound = 1
	// ExitError: the command failed, and nothing was changed.
	ExitError = 2
	// ExitUnknown: what was asked may have been carried out or not.
	ExitUnknown = 3
)

const exitHelp = `Exit status: 0 done; 1 plan: there are moves, rollback: nothing to roll back, find and confirm: there is nothing,
doctor: something is wrong; 2 an error, and nothing was changed; 3 what was asked may have been carried out or not.`

// exit ends the command with a status; err may be nil: then there is nothing more to say.
type exit struct {
	code int
	err  error
}

// Error implements error.
func (e exit) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

// Unwrap is for errors.Is and errors.As.
func (e exit) Unwrap() error { return e.err }

// Run runs the command line and returns the exit status.
func Run(ctx context.Context, version string, streams genericiooptions.IOStreams, args []string) int {
	return runWith(ctx, version, streams, time.Now, args)
}

func runWith(ctx context.Context, version string, streams genericiooptions.IOStreams, now func() time.Time, args []string) int {
	root := newRoot(version, streams, now)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	Explain(streams.ErrOut, err)
	return ExitCode(err)
}

// Explain writes an error in one line, and the next step if one is known.
func Explain(w io.Writer, err error) {
	if err == nil || err.Error() == "" {
		return
	}
	fmt.Fprintln(w, "error:", strings.TrimSpace(err.Error()))
	if next := client.Next(err); next != "" {
		fmt.Fprintln(w, "next: ", next)
	}
}

// ExitCode is the exit status for an error.
func ExitCode(err error) int {
	var coded exit
	var unknown *client.Unknown
	switch {
	case err == nil:
		return 0
	case errors.As(err, &unknown):
		return ExitUnknown
	case errors.As(err, &coded):
		return coded.code
	}
	return ExitError
}

func newRoot(version string, streams genericiooptions.IOStreams, now func() time.Time) *cobra.Command {
	o := newOptions(version, streams)
	o.now = now
	root := &cobra.Command{
		Use:   "kubectl-shardscaler",
		Short: "See and steer shardscaler",
		Long: `See and steer shardscaler, which sizes sharded, stateful workloads and moves their resources between instances.

The server is asked through the API server of Kubernetes, as the user of the kubeconfig; with --server it is asked itself.

` + exitHelp,
		Annotations:                map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl shardscaler"},
		Version:                    version,
		SilenceUsage:               true,
		SilenceErrors:              true,
		SuggestionsMinimumDistance: 2,
		Args:                       cobra.ArbitraryArgs, // so that RunE explains words that are no command
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			next := "kubectl shardscaler --help lists the commands"
			if close := c.SuggestionsFor(args[0]); len(close) > 0 {
				next = "did you mean " + strings.Join(close, " or ") + "?"
			}
			return client.Advise(fmt.Errorf("%q is no command of kubectl shardscaler", args[0]), next)
		},
	}
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return client.Advise(err, c.CommandPath()+" --help lists the flags")
	})
	o.flags(root.PersistentFlags())
	addCommands(root, o)
	root.SetUsageTemplate(usage(root.UsageTemplate()))
	root.CompletionOptions.DisableDefaultCmd = true
	return root
}

func addCommands(root *cobra.Command, o *options) {
	for _, g := range []struct {
		id, title string
		commands  []*cobra.Command
	}{
		{"see", "See:", []*cobra.Command{newStatus(o), newTop(o), newWhy(o), newFind(o), newHistory(o), newConfig(o), newUI(o), newDoctor(o)}},
		{"change", "Change:", []*cobra.Command{
			newPlan(o), newApply(o), newSize(o), newDrain(o), newUndrain(o), newMove(o), newPin(o), newUnpin(o), newPause(o), newResume(o),
		}},
		{"grave", "Change with care:", []*cobra.Command{newRollback(o), newConfirm(o), newReassign(o)}},
	} {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, c := range g.commands {
			c.GroupID = g.id
			root.AddCommand(c)
		}
	}
	root.AddCommand(newCompletion(o), optionsCommand())
}

// usage leaves the global flags to a command of their own, as kubectl does.
func usage(template string) string {
	template = strings.Replace(template, "{{if .HasAvailableLocalFlags}}", "{{if and .HasParent .HasAvailableLocalFlags}}", 1)
	before, rest, _ := strings.Cut(template, "{{if .HasAvailableInheritedFlags}}")
	_, after, _ := strings.Cut(rest, "{{end}}")
	return before + `{{if or .HasAvailableInheritedFlags (not .HasParent)}}

Use "kubectl shardscaler options" for the flags that all commands have.{{end}}` + after
}

// words bounds the number of words after a command.
func words(least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return client.Advise(fmt.Errorf("%s: something is missing after it", strings.Join(append([]string{c.CommandPath()}, args...), " ")), c.UseLine())
		case len(args) > most:
			return client.Advise(fmt.Errorf("%s does not take %q", c.CommandPath(), strings.Join(args[most:], " ")), c.UseLine())
		}
		return nil
	}
}

func optionsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "options",
		Short: "List the flags that all commands have",
		Args:  words(0, 0),
		Run: func(c *cobra.Command, _ []string) {
			fmt.Fprintf(c.OutOrStdout(), "All commands have these flags:\n\n%s", c.InheritedFlags().FlagUsages())
		},
	}
}
