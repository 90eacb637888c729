package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/shardscaler/shardscaler/internal/samesite"
	"github.com/shardscaler/shardscaler/internal/ui/saved"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// newUICommand is `shardscaler ui`: the page over a file.
func newUICommand() *cobra.Command {
	var file, listen string
	var redact bool
	cmd := &cobra.Command{
		Use:   "ui -f SNAPSHOT",
		Short: "Show a saved snapshot in the page, read only",
		Long: `Serves the page over a snapshot that a server saved (GET /v1/api/snapshot), on this machine alone, until it is ended. The decisions are
made again, as decide does; nothing is contacted and nothing can be changed. The first line that it prints is the page's address.
With --redact names of namespaces, StatefulSets, pods, nodes and topics and all uids are replaced by stand-ins, and labels, pins, queries
and what texts quote are left out: for a page that others may see.`,
		Example: "  curl -s $API/v1/api/snapshot > snapshot.json\n  shardscaler ui -f snapshot.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := readFile(cmd.InOrStdin(), file)
			if err != nil {
				return fmt.Errorf("read snapshot: %w", err)
			}
			s, err := decide.ParseSaved(text)
			if err == nil && redact {
				s, err = saved.Redact(s)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			return servePage(cmd, s, listen)
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "the snapshot; - is standard input")
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "loopback address to listen on")
	cmd.Flags().BoolVar(&redact, "redact", false, "replace names by stand-ins")
	_ = cmd.MarkFlagRequired("file")
	return cmd
}

// servePage serves until the command's context ends.
func servePage(cmd *cobra.Command, s decide.Saved, listen string) error {
	if !samesite.Loopback(listen) {
		return fmt.Errorf("listen %q: want a loopback address: the page asks for no token", listen)
	}
	handler, err := saved.Handler(s, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(cmd.Context(), func() { _ = server.Close() })
	defer stop()
	if _, err := fmt.Fprintf(cmd.OutOrStdout(), "http://%s/ui/\n", listener.Addr()); err != nil {
		return errors.Join(err, listener.Close())
	}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}
