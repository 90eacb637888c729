package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/internal/testbed/story"
)

// exitCode is the exit code of the command that exec ran, passed on without a word of our own.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit status %d", int(c)) }

func up(cmd *cobra.Command, env *servers.Env, _ []string) error {
	printAddresses(cmd.OutOrStdout(), env)
	<-cmd.Context().Done()
	fmt.Fprintln(cmd.ErrOrStderr(), "\nsandbox: ending everything")
	return nil
}

func newDemoCommand() *cobra.Command {
	var oneshot bool
	cmd := newSandboxCommand("demo", "Start the servers and the product, and show an import, load, deletion, drain and scale down", cobra.NoArgs,
		func(cmd *cobra.Command, env *servers.Env, _ []string) error {
			return story.Run(cmd.Context(), env, cmd.OutOrStdout(), oneshot)
		})
	cmd.Long = `Starts the servers, two replicas of shardscaler and a simulated workload, and shows what happens when 20,000 Things and 500
Rules are imported, become busy, and are deleted again by two thirds. What it claims it checks against Kubernetes and
ZooKeeper. It then stays up, with commands to paste, until Ctrl-C.`
	cmd.Flags().BoolVar(&oneshot, "oneshot", false, "end after the story with a summary; exit 1 if anything it claims did not happen")
	return cmd
}

// run runs the command to its end. The terminal sends it Ctrl-C by itself; SIGTERM is passed on.
func run(cmd *cobra.Command, env *servers.Env, args []string) error {
	child := env.Command(cmd.Context(), args[0], args[1:]...)
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	child.Cancel = func() error { return child.Process.Signal(syscall.SIGTERM) }
	child.WaitDelay = 30 * time.Second
	err := child.Run()
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		if status, ok := failed.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return exitCode(128 + int(status.Signal())) // as a shell would say it
		}
		return exitCode(failed.ExitCode())
	}
	if err != nil {
		return fmt.Errorf("run %s: %w", args[0], err)
	}
	return nil
}

func newFetchCommand() *cobra.Command {
	var only []string
	cmd := &cobra.Command{
		Use:   "fetch",
		Short: "Build and download what the servers need, and start nothing",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			parts, err := servers.ParseParts(only)
			if err != nil {
				return err
			}
			_, err = servers.Fetch(cmd.Context(), parts, os.Stderr)
			return err
		},
	}
	cmd.Flags().StringSliceVar(&only, "only", nil, "for these alone: kubernetes, zookeeper, kafka, mqtt, postgres")
	return cmd
}

func newDownCommand() *cobra.Command {
	var (
		state string
		all   bool
	)
	cmd := &cobra.Command{
		Use:   "down",
		Short: "End a sandbox that another terminal started, and clean up after any that was killed",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dirs, err := downDirs(state, all)
			if err != nil {
				return err
			}
			for _, dir := range dirs {
				fmt.Fprintln(cmd.ErrOrStderr(), "sandbox: ending", dir)
				if err := servers.Down(dir); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "the one with this state folder")
	cmd.Flags().BoolVar(&all, "all", false, "all of this user's")
	return cmd
}

// downDirs chooses what to end: without a flag there must be no doubt.
func downDirs(state string, all bool) ([]string, error) {
	if state != "" {
		return []string{state}, nil
	}
	if err := servers.RemoveAbandoned(); err != nil {
		return nil, err
	}
	dirs, err := servers.Sandboxes()
	if err != nil {
		return nil, err
	}
	if len(dirs) > 1 && !all {
		return nil, fmt.Errorf("%d sandboxes run; say --all, or --state with one of\n%s", len(dirs), strings.Join(dirs, "\n"))
	}
	return dirs, nil
}

// printAddresses prints where everything answers, and what to paste to ask it.
func printAddresses(w io.Writer, env *servers.Env) {
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, address, command string) { fmt.Fprintf(table, "%s\t%s\t%s\n", name, address, command) }
	if k := env.Kubernetes; k != nil {
		row("Kubernetes", k.URL, fmt.Sprintf("%s --kubeconfig %s get nodes", k.Kubectl, k.Kubeconfig))
	}
	if z := env.ZooKeeper; z != nil {
		row("ZooKeeper", z.Connect, fmt.Sprintf("echo srvr | nc -q1 %s", strings.ReplaceAll(z.Servers[0].Addr, ":", " ")))
	}
	if k := env.Kafka; k != nil {
		row("Kafka", k.Addr, fmt.Sprintf("kcat -b %s -L", k.Addr))
	}
	if m := env.MQTT; m != nil {
		row("MQTT", m.URL, fmt.Sprintf("mosquitto_sub -L mqtt://%s/cm/notify -q 1", m.Addr))
	}
	if p := env.Postgres; p != nil {
		row("PostgreSQL", p.Addr, fmt.Sprintf("psql '%s' -c 'SELECT count(*) FROM \"Thing\"'", p.Catalogue.URL))
	}
	_ = table.Flush()
	fmt.Fprintf(w, `
All addresses, credentials, logs and pids:  %[1]s
Tests against these servers:                %[2]s=%[1]s go test ./...
Ctrl-C ends everything.
`, env.File(), servers.FileVar)
}
