package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/printers"

	"github.com/shardscaler/shardscaler/internal/app"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/kubectl/doctor"
	"github.com/shardscaler/shardscaler/internal/kubectl/show"
	"github.com/shardscaler/shardscaler/internal/preflight"
)

func newPreflightCommand() *cobra.Command {
	c := preflight.Config{Options: app.Options{Mode: config.ModeAct}}
	var format string
	cmd := &cobra.Command{
		Use:   "preflight",
		Short: "Say what a server would miss here, and what cures it",
		Long: `Takes the flags of the server and looks at what they lead to: the API server, the configuration and its StatefulSets,
metrics-server, who provides the custom metrics, each right of the manifests, ZooKeeper, Kafka, the MQTT broker, the database with each
kind's query, and the files of certificates. It changes nothing, and a server that runs notices nothing.

Exit status: 0 nothing is missing (there may be warnings), 1 something is, 2 flags that are wrong.`,
		Example: `  # In the cluster, as the server
  kubectl exec deployment/shardscaler -- shardscaler preflight --zookeeper=zookeeper:2181 --kafka=kafka:9092 --mqtt=tcp://mqtt:1883 \
    --catalogue-dsn-file=/etc/shardscaler/credentials/catalogue-dsn --tls-self-managed

  # As an administrator, with the rights of the server's service account
  shardscaler preflight --kubeconfig ~/.kube/config --namespace iota --service-account shardscaler …`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "text" && format != "json" {
				return fmt.Errorf("--output %q: must be text or json", format)
			}
			if c.Patience < time.Second || c.Patience > time.Minute {
				return fmt.Errorf("--timeout %s: must be between 1s and 1m", c.Patience)
			}
			oneConfiguration(cmd, &c.Options)
			if c.PodName == "" {
				c.PodName = "preflight"
			}
			if err := c.Validate(); err != nil {
				return err
			}
			c.Now = time.Now()
			report := preflight.Run(cmd.Context(), c)
			if err := cmd.Context().Err(); err != nil {
				return err
			}
			if err := printFindings(cmd.OutOrStdout(), format, report); err != nil {
				return err
			}
			if preflight.Missing(report) {
				return exitError{code: exitRefused}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVarP(&format, "output", "o", "text", "text or json")
	f.DurationVar(&c.Patience, "timeout", 10*time.Second, "how long each check may take, 1s to 1m")
	f.StringVar(&c.ServiceAccount, "service-account", "", "look at the rights of this service account of the namespace; empty: at those of who asks")
	inputFlags(f, &c.Options)
	servingFlags(f, &c.Options)
	leaderFlags(f, &c.Options)
	for _, other := range []string{"mode", "log-level", "log-format"} { // of the server, and nothing to look at
		f.String(other, "", "")
		_ = f.MarkHidden(other) // it exists
	}
	f.Bool("dry-run", false, "")
	_ = f.MarkHidden("dry-run")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp)) // it exists
	return cmd
}

// printFindings writes a report: as a table with the next steps below it, or as JSON.
func printFindings(w io.Writer, format string, r *doctor.Report) error {
	if format == "json" {
		text, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s\n", text)
		return err
	}
	if err := printers.NewTablePrinter(printers.PrintOptions{}).PrintObj(show.Findings(r.Items), w); err != nil {
		return err
	}
	return show.Next(w, r.Items)
}
