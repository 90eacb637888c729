package notify

import (
	"context"
	"crypto/rand"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
)

// Probe connects to the broker under a name of its own and without a session that stays, and
// subscribes to nothing: a server that runs under cfg's name notices nothing.
func Probe(ctx context.Context, cfg Config) error {
	cfg.ClientID = "shardscaler-preflight-" + rand.Text()[:8]
	s := New(cfg, nil, slog.New(slog.DiscardHandler), prometheus.NewRegistry()).newSession(nil, nil)
	s.clean = true
	client, _, err := s.connect(ctx)
	if client != nil {
		client.Disconnect(quiesce)
	}
	return err
}
