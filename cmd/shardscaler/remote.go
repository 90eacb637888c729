package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"

	"github.com/shardscaler/shardscaler/internal/kubectl/client"
	"github.com/shardscaler/shardscaler/internal/kubectl/show"
)

// tokenVariable is the environment variable that holds the caller's bearer token when no file does.
const tokenVariable = "SHARDSCALER_TOKEN"

// What the commands that ask a server end with, beside 0 and 2.
const (
	// exitRefused: the server understood and there was nothing to do.
	exitRefused = 1
	// exitUnknown: the server may have carried out what was asked, or not.
	exitUnknown = 3
)

const exitHelp = `Exit status: 0 done, 2 errors, 3 the outcome is unknown: what was asked may have been carried out or not.`

// remote is how a command reaches a server. Its calls are those of the kubectl plugin, which has
// more of them.
type remote struct{ server, tokenFile, caFile, serverName string }

func (r *remote) flags(c *cobra.Command, required bool) {
	c.Flags().StringVar(&r.server, "server", "", "URL of the server's API, such as https://shardscaler-metrics.shardscaler.svc, or http://shardscaler.shardscaler where no token is needed")
	c.Flags().StringVar(&r.caFile, "ca-file", "", "authorities of the server's certificate (default the system's)")
	c.Flags().StringVar(&r.serverName, "tls-server-name", "", "name that the server's certificate must have, where that is not the one in the URL")
	if required {
		c.Flags().StringVar(&r.tokenFile, "token-file", "", "file with the bearer token; default: the environment variable "+tokenVariable)
		_ = c.MarkFlagRequired("server")
	}
}

// connect returns the way to the server; with that of the caller's token, if it is to have one.
func (r *remote) connect(token bool) (*client.Client, error) {
	cfg := &rest.Config{Host: r.server, TLSClientConfig: rest.TLSClientConfig{CAFile: r.caFile, ServerName: r.serverName}}
	switch {
	case token && r.tokenFile != "":
		if _, err := os.Stat(r.tokenFile); err != nil {
			return nil, fmt.Errorf("read token: %w", err)
		}
		cfg.BearerTokenFile = r.tokenFile
	case token:
		cfg.BearerToken = os.Getenv(tokenVariable)
	}
	return client.Direct(cfg)
}

func newRollbackCommand() *cobra.Command {
	var r remote
	c := &cobra.Command{
		Use:   "rollback KIND --server URL",
		Short: "Take back the running wave of moves",
		Long: `Takes back the wave of moves that a kind's rebalancer carries out now, and pauses voluntary moves: what is not revoked yet stays where
it runs, what is in flight returns to its instance, and what has arrived is moved back. What comes from an instance that is leaving
is not moved back. Earlier waves are not changed. Afterwards: shardscaler resume KIND. It is "kubectl shardscaler rollback" at a
server's own address.

The caller needs the verb create on kinds/rollback.ops.shardscaler.io. Exit status 1: there was nothing to roll back.
` + exitHelp,
		Example: "  SHARDSCALER_TOKEN=$(kubectl create token operator --audience shardscaler) shardscaler rollback Thing --server https://shardscaler-metrics.shardscaler.svc --ca-file ca.crt",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			server, err := r.connect(true)
			if err != nil {
				return err
			}
			done, err := server.Of(args[0]).Rollback(cmd.Context())
			if err != nil {
				var no *client.Refusal
				if err = fmt.Errorf("roll back %s: %w", args[0], err); errors.As(err, &no) && no.Status == http.StatusConflict && no.Ours {
					return exitError{exitRefused, err}
				}
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), show.RolledBack(args[0], done.Value))
			return nil
		},
	}
	r.flags(c, true)
	return c
}

func newPauseCommand(paused bool) *cobra.Command {
	var r remote
	verb, short, long, state := "resume", "Let voluntary moves go on", "Lets a kind's voluntary moves go on after a pause.", "go on"
	if paused {
		verb, short, state = "pause", "Stop voluntary moves", "are paused"
		long = "Pauses a kind's voluntary moves at once: what is in flight is granted, and instances that leave are still drained."
	}
	c := &cobra.Command{
		Use: verb + " KIND --server URL", Short: short,
		Long: long + `
It is stored in ZooKeeper, and overrides the ConfigMap's rebalance.paused until the value there is changed. It is
"kubectl shardscaler ` + verb + `" at a server's own address.

The caller needs the verb create (to resume: delete) on kinds/pause.ops.shardscaler.io. ` + exitHelp,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			server, err := r.connect(true)
			if err != nil {
				return err
			}
			kind := server.Of(args[0])
			if paused {
				_, err = kind.Pause(cmd.Context(), "")
			} else {
				_, err = kind.Resume(cmd.Context())
			}
			if err != nil {
				return fmt.Errorf("%s %s: %w", verb, args[0], err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: voluntary moves %s\n", args[0], state)
			return nil
		},
	}
	r.flags(c, true)
	return c
}
