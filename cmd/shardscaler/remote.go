package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/shardscaler/shardscaler/internal/api"
	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/rebalancer"
)

// tokenVariable is the environment variable that holds the caller's bearer token when no file does.
const tokenVariable = "SHARDSCALER_TOKEN"

// remoteTimeout bounds one call; a rollback waits for several transactions.
const remoteTimeout = time.Minute

// What the commands that ask a server end with, beside 0 and 2.
const (
	// exitRefused: the server understood and there was nothing to do.
	exitRefused = 1
	// exitUnknown: the server may have carried out what was asked, or not.
	exitUnknown = 3
)

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

// refused is what the server answers when it refuses.
type refused struct {
	Type   string `json:"type"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	See    string `json:"see"`
	// foreign says that this is not an answer of our server, but of something between here and it.
	foreign bool
}

func (p *refused) Error() string { return fmt.Sprintf("%d: %s", p.Status, p.Detail) }

// unknown says whether the answer leaves open what became of the request: the server says so, or
// something in between does that may have got no answer, by 500, 502, 503 or 504 as it pleases.
func (p *refused) unknown() bool {
	return p.Type == api.OutcomeUnknown || p.foreign && p.Status >= http.StatusInternalServerError ||
		p.Status == http.StatusBadGateway || p.Status == http.StatusGatewayTimeout
}

// unanswered is an error of a request of which the server may have heard.
type unanswered struct{ error }

// call sends a request about a kind, or what below it, and decodes the answer. What the server
// refuses is a *refused. A write of unknown outcome ends with exitUnknown, and the URL that tells.
func (r *remote) call(ctx context.Context, method, kind, what string, body, answer any) error {
	base, err := url.Parse(r.server)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return fmt.Errorf("server %q: want a URL such as http://host:8080", r.server)
	}
	see := base.JoinPath("v1/api/orchestrations", url.PathEscape(kind))
	err = r.exchange(ctx, method, see.JoinPath(what), body, answer)
	var p *refused
	switch {
	case method == http.MethodGet:
		return err
	case errors.As(err, &p) && p.unknown():
		if p.See != "" {
			see = base.JoinPath(p.See)
		}
	case !errors.As(err, &unanswered{}):
		return err
	}
	return exitError{exitUnknown, fmt.Errorf("the outcome is unknown, it may have been carried out or not: %w\nbefore you ask again: curl %s", err, see)}
}

func (r *remote) exchange(ctx context.Context, method string, at *url.URL, body, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, remoteTimeout)
	defer cancel()
	connected := false // the server cannot have heard of the request before that
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected = true }})
	req, err := r.request(ctx, method, at, body)
	if err != nil {
		return err
	}
	client, err := r.client()
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		if connected {
			err = unanswered{err}
		}
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return unanswered{fmt.Errorf("read answer of %s: %w", at, err)}
	}
	if resp.StatusCode != http.StatusOK {
		return refusal(resp.StatusCode, text)
	}
	if err := exact.JSON(text, answer); err != nil {
		// it says that it was done, and that is all that is known
		return unanswered{fmt.Errorf("read answer of %s: %w", at, err)}
	}
	return nil
}

// refusal reads a problem document. What is none is said as it came.
func refusal(status int, text []byte) *refused {
	p := &refused{}
	if err := exact.JSON(text, p); err == nil && p.Status == status {
		return p
	}
	return &refused{Status: status, Detail: strings.TrimSpace(string(text)), foreign: true}
}

// client checks the server's certificate as the flags say.
func (r *remote) client() (*http.Client, error) {
	if r.caFile == "" && r.serverName == "" {
		return http.DefaultClient, nil
	}
	checks := &tls.Config{ServerName: r.serverName, MinVersion: tls.VersionTLS12}
	if r.caFile != "" {
		text, err := os.ReadFile(r.caFile)
		if err != nil {
			return nil, fmt.Errorf("read --ca-file: %w", err)
		}
		checks.RootCAs = x509.NewCertPool()
		if !checks.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("read --ca-file: %s holds no certificate", r.caFile)
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = checks
	return &http.Client{Transport: transport}, nil
}

func (r *remote) request(ctx context.Context, method string, at *url.URL, body any) (*http.Request, error) {
	var content bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&content).Encode(body); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, at.String(), &content)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	token, err := r.token()
	if err != nil {
		return nil, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return req, nil
}

func (r *remote) token() (string, error) {
	if r.tokenFile == "" {
		return os.Getenv(tokenVariable), nil
	}
	text, err := os.ReadFile(r.tokenFile)
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

func newRollbackCommand() *cobra.Command {
	var r remote
	c := &cobra.Command{
		Use:   "rollback KIND --server URL",
		Short: "Take back the running wave of moves",
		Long: `Takes back the wave of moves that a kind's rebalancer carries out now, and pauses voluntary moves: what is not revoked yet stays where
it runs, what is in flight returns to its instance, and what has arrived is moved back. What comes from an instance that is leaving
is not moved back. Earlier waves are not changed. GET …/{kind} shows the progress; afterwards: shardscaler resume KIND.

The caller needs the verb create on kinds/rollback.ops.shardscaler.io. Exit status: 0 the rollback is under way, 1 there was nothing to roll
back, 2 errors, 3 the outcome is unknown: what was asked may have been carried out or not, and the error says where to look.`,
		Example: "  SHARDSCALER_TOKEN=$(kubectl create token operator --audience shardscaler) shardscaler rollback Thing --server https://shardscaler-metrics.shardscaler.svc --ca-file ca.crt",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var done rebalancer.RolledBack
			if err := r.call(cmd.Context(), http.MethodPost, args[0], "rollback", nil, &done); err != nil {
				var no *refused
				if err = fmt.Errorf("roll back %s: %w", args[0], err); errors.As(err, &no) && no.Status == http.StatusConflict {
					return exitError{exitRefused, err}
				}
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: plan %s is rolled back: moves cancelled before their start: %d, returned from in flight: %d, moved back: %d, not stopped: %d; voluntary moves are paused\n",
				args[0], cmp.Or(done.PlanID, "of an earlier wave"), done.Stayed, done.Returned, done.Undone, done.Kept)
			return nil
		},
	}
	r.flags(c, true)
	return c
}

func newPauseCommand(paused bool) *cobra.Command {
	var r remote
	verb, short, long := "resume", "Let voluntary moves go on", "Lets a kind's voluntary moves go on after a pause."
	if paused {
		verb, short = "pause", "Stop voluntary moves"
		long = "Pauses a kind's voluntary moves at once: what is in flight is granted, and instances that leave are still drained."
	}
	c := &cobra.Command{
		Use: verb + " KIND --server URL", Short: short,
		Long: long + `
It is stored in ZooKeeper, and overrides the ConfigMap's rebalance.paused until the value there is changed.

The caller needs the verb create (to resume: delete) on kinds/pause.ops.shardscaler.io. Exit status: 0 done, 2 errors, 3 the outcome is
unknown: what was asked may have been carried out or not, and the error says where to look.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var now api.PauseSetting
			if err := r.call(cmd.Context(), http.MethodPost, args[0], verb, nil, &now); err != nil {
				return fmt.Errorf("%s %s: %w", verb, args[0], err)
			}
			state := map[bool]string{true: "paused", false: "not paused"}[now.Value]
			fmt.Fprintf(cmd.OutOrStdout(), "%s: voluntary moves are %s (%s)\n", args[0], state, now.Source)
			return nil
		},
	}
	r.flags(c, true)
	return c
}
