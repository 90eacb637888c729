// Package notify receives the platform's change notifications over MQTT.
//
// In: messages of topic cm/notify, QoS 1, on a persistent session with one fixed client id. Out:
// batches of creates, deletes, claims and shown rows by kind to a Handler, a reconcile where a
// message cannot be read exactly or where many came at once, and observed.Read or Failed for the
// connection. Invariant: a message is acknowledged only after what it asks for is committed, or the
// read that it asks for is ordered; what is not acknowledged comes again.
//
// decode.go, batch.go and burst.go are pure: a message to what it says, many messages to one
// commit, many at once to a read. session.go opens a connection and uses it, frames.go bounds what
// comes, queue.go the commits of one kind, this file the sequence of connections.
package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/clienttls"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/wake"
)

// Config is where the broker is and who we are to it.
type Config struct {
	// Broker is an URL: tcp://host:port, or ssl://host:port.
	Broker string
	// TLS says how connections to ssl:// or wss:// are encrypted; nil: with the system's
	// authorities and without a certificate of ours.
	TLS *clienttls.Files
	// ClientID is fixed over restarts and leaders: the broker keeps what is unacknowledged by it.
	ClientID string
	// Topic is what is subscribed to; CheckTopic finds nothing against it.
	Topic string
	// Username and PasswordFile are optional; the file is read at each connect.
	Username, PasswordFile string
}

// Handler commits what notifications say. Each call returns nil only when the change is durable;
// the calls are idempotent. For one kind there is one call at a time.
type Handler interface {
	// Create makes resources known; those already known stay as they are.
	Create(ctx context.Context, kind string, rs []observed.ResourceKnown) error
	// Delete removes resources by explicit id; unknown ids are no error.
	Delete(ctx context.Context, kind string, ids []string) error
	// Claim says that resources are deleted if the condition which named them was complete: a
	// complete read of the catalogue that begins later decides, and is asked for. nil: the claims
	// outlive this process, or that read is ordered.
	Claim(ctx context.Context, kind string, ids []string) error
	// Shown tells of rows that an update has shown, after what was said of them before is
	// committed: where one is not known, or is being deleted, a read of the catalogue is asked for,
	// since no message may have told of it. It must not block. nil: that read, if any, is ordered.
	Shown(kind string, ids []string) error
	// Padded says whether blanks at the end of the kind's ids mean nothing. It must not block.
	Padded(kind string) bool
	// Heard tells that a message of the kind has come, whatever it says. It must not block.
	Heard(kind string)
	// Reconcile asks for a comparison with the catalogue soon. It must not block.
	Reconcile(kind string)
}

// Source is the subscription.
type Source struct {
	cfg     Config
	handler Handler
	log     *slog.Logger
	metrics *metrics
	// sampled limits what one bad producer can write into our log, failing what a store that is
	// away can: the one must not take the other's place.
	sampled, failing *rate.Sometimes

	mu      sync.Mutex
	kinds   []string
	changed wake.Signal // after the kinds changed
}

// New returns a Source without kinds, which does not connect.
func New(cfg Config, h Handler, log *slog.Logger, reg prometheus.Registerer) *Source {
	return &Source{
		cfg: cfg, handler: h, log: log, metrics: newMetrics(reg),
		sampled: &rate.Sometimes{First: 5, Interval: 10 * time.Second},
		failing: &rate.Sometimes{First: 5, Interval: 10 * time.Second},
		changed: wake.New(),
	}
}

// Configure sets the kinds whose messages are ours. A change of them connects anew.
func (s *Source) Configure(kinds []config.Kind) {
	var names []string
	for _, k := range kinds {
		names = append(names, k.Name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Equal(names, s.kinds) {
		return
	}
	s.kinds = names
	s.changed.Wake()
}

// Run subscribes until ctx ends, then disconnects and leaves the session to the next leader. Only
// the leader calls it, once per term.
func (s *Source) Run(ctx context.Context, sink func(observed.Signal)) error {
	const least, most = 200 * time.Millisecond, 10 * time.Second
	wait := least
	var lost losses
	for ctx.Err() == nil {
		kinds := s.current()
		if len(kinds) == 0 {
			// What the broker has kept for us would be acknowledged unread. So it must wait.
			select {
			case <-ctx.Done():
			case <-s.changed:
			}
			continue
		}
		began := time.Now()
		err := s.newSession(kinds, sink).run(ctx)
		if err == nil {
			wait = least
			continue
		}
		err = lost.explain(err, time.Now(), s.cfg.ClientID)
		s.log.Warn("notifications are not received", "error", err)
		for _, kind := range kinds {
			sink(observed.Failed{Kind: kind, Source: observed.SourceNotify, At: time.Now(), Err: err})
		}
		if time.Since(began) > most {
			wait = least
		}
		wake.Sleep(ctx, wait)
		wait = min(2*wait, most)
	}
	return nil
}

// losses are when connections were lost that had been established, the latest ones.
type losses []time.Time

// explain says of a loss that follows others soon what that usually means.
func (l *losses) explain(err error, now time.Time, clientID string) error {
	const soon, many = 2 * time.Minute, 3
	if !errors.Is(err, errClosed) {
		return err
	}
	*l = append(*l, now)
	*l = (*l)[max(0, len(*l)-many):]
	if len(*l) < many || now.Sub((*l)[0]) > soon {
		return err
	}
	return fmt.Errorf("%w; %d connections were lost within %s: another client may have the id %q, since a broker keeps only the newer of two clients with one id; "+
		"each installation needs an id of its own", err, many, config.Duration(now.Sub((*l)[0])), clientID)
}

// current takes the kinds, and the token that told of them.
func (s *Source) current() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.changed:
	default:
	}
	return s.kinds
}
