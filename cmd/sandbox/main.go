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

	"github.com/spf13/cobra"

	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

func main() {
	if servers.RunRole() {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newCommand().ExecuteContext(endWithGoRun(ctx))
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
	var flags flags
	root := &cobra.Command{
		Use:           "sandbox",
		Short:         "Start real servers on this machine for shardscaler to run against",
		Long:          help,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return up(cmd, flags) },
	}
	flags.register(root)
	root.AddCommand(newUpCommand(), newExecCommand(), newDemoCommand(), newFetchCommand(), newDownCommand())
	return root
}

// flags choose what is started and where its state lies.
type flags struct {
	state      string
	only       []string
	zooKeepers int
	nodes      int
}

func (f *flags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.state, "state", "", "folder for all state, which must be empty or not exist (default: one in the temporary folder)")
	cmd.Flags().StringSliceVar(&f.only, "only", nil, "start these alone: kubernetes, zookeeper, kafka, mqtt, postgres")
	cmd.Flags().IntVar(&f.zooKeepers, "zookeepers", 1, "servers in the ZooKeeper ensemble, 1 to 7")
	cmd.Flags().IntVar(&f.nodes, "nodes", 3, "nodes of the cluster, 1 to 1000")
}

func (f *flags) options() (servers.Options, error) {
	parts, err := servers.ParseParts(f.only)
	if err == nil {
		err = errors.Join(inRange("--zookeepers", f.zooKeepers, 1, 7), inRange("--nodes", f.nodes, 1, 1000))
	}
	return servers.Options{StateDir: f.state, Only: parts, ZooKeepers: f.zooKeepers, Nodes: f.nodes, Progress: os.Stderr}, err
}

func inRange(flag string, value, least, most int) error {
	if value < least || value > most {
		return fmt.Errorf("%s is %d, must be from %d to %d", flag, value, least, most)
	}
	return nil
}
