// Command sandbox starts the real servers that shardscaler lives among on this machine, as plain
// processes on loopback ports, without a container engine. See internal/testbed/servers for how.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/shardscaler/shardscaler/internal/testbed/gocmd"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

func main() {
	if servers.RunRole() {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newCommand().ExecuteContext(gocmd.EndWithGoRun(ctx))
	stop()
	var code exitCode
	switch {
	case errors.As(err, &code):
		os.Exit(int(code))
	case err != nil:
		fmt.Fprintln(os.Stderr, "sandbox:", err)
		os.Exit(1)
	}
}

const help = `Start the real servers that shardscaler lives among, on this machine, and stay up until Ctrl-C:
a Kubernetes control plane (etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kwok for nodes
and pods, metrics-server), ZooKeeper, Kafka, an MQTT broker and PostgreSQL. No container engine is needed.

What has to be built or fetched is, once, into the user's cache folder (about 8 minutes on 2 cores); it
needs Go, the package registries, a JDK 17 and Maven. All ports are free ones on loopback. Everything that
was started ends with this program, also after kill -9. Several sandboxes can run beside each other.

Addresses, credentials and the kubeconfig are in sandbox.json, whose path is printed.`

func newCommand() *cobra.Command {
	root := newSandboxCommand("sandbox", "Start real servers on this machine for shardscaler to run against", cobra.NoArgs, up)
	root.Long, root.SilenceUsage, root.SilenceErrors = help, true, true
	root.AddCommand(
		newSandboxCommand("up", "Start the servers and stay up until Ctrl-C (the default)", cobra.NoArgs, up),
		newSandboxCommand("exec [flags] -- COMMAND [ARG…]",
			"Start the servers, run a command with "+servers.FileVar+" set, end the servers, and exit as the command did",
			cobra.MinimumNArgs(1), run),
		newDemoCommand(), newFetchCommand(), newDownCommand())
	return root
}

// newSandboxCommand is a command that starts the servers, does something with them, and ends them.
func newSandboxCommand(use, short string, args cobra.PositionalArgs, do func(*cobra.Command, *servers.Env, []string) error) *cobra.Command {
	var only []string
	options := servers.Options{Progress: os.Stderr}
	cmd := &cobra.Command{
		Use: use, Short: short, Args: args,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if options.Only, err = servers.ParseParts(only); err != nil {
				return err
			}
			err = errors.Join(inRange("--zookeepers", options.ZooKeepers, 1, 7), inRange("--nodes", options.Nodes, 1, 1000))
			if err != nil {
				return err
			}
			began := time.Now()
			env, err := servers.Start(cmd.Context(), options)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "sandbox: up after %s; %s\n", time.Since(began).Round(100*time.Millisecond), env.File())
			return errors.Join(do(cmd, env, args), env.Close())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&options.StateDir, "state", "", "folder for all state, which must be empty or not exist (default: one in the temporary folder)")
	flags.StringSliceVar(&only, "only", nil, "start these alone: kubernetes, zookeeper, kafka, mqtt, postgres")
	flags.IntVar(&options.ZooKeepers, "zookeepers", 1, "servers in the ZooKeeper ensemble, 1 to 7")
	flags.IntVar(&options.Nodes, "nodes", 3, "nodes of the cluster, 1 to 1000")
	return cmd
}

func inRange(flag string, value, least, most int) error {
	if value < least || value > most {
		return fmt.Errorf("%s is %d, must be from %d to %d", flag, value, least, most)
	}
	return nil
}
