// Package zk brings the protocol to ZooKeeper: it reads a kind into a State and commits Multis.
//
// In: Multis of package protocol. Out: what became of each, and the State as ZooKeeper has it.
// Invariant: a Multi is applied to a State only if it is known to be committed; where an answer is
// lost, its outcome is settled by rule 9 before the call returns, or is ErrUnavailable.
package zk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/shardscaler/shardscaler/internal/clienttls"
	"github.com/shardscaler/shardscaler/internal/wake"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Config says which ensemble, and how.
type Config struct {
	// Servers is `host:port,host:port/chroot`; the chroot is created if missing.
	Servers string
	// SessionTimeout is what is asked for; the server may grant another. Default 10s.
	SessionTimeout time.Duration
	// AuthFile holds `user:password` of the digest scheme, read anew on every connection; empty: no
	// name. With it our own znodes can be changed by that user alone, and read by every client.
	AuthFile string
	// TLS, when not nil, is used for every connection.
	TLS *clienttls.Files
}

// Default returns c with what it leaves open filled in.
func (c Config) Default() Config {
	c.SessionTimeout = cmp.Or(c.SessionTimeout, 10*time.Second)
	return c
}

// Validate reports every fault.
func (c Config) Validate() error {
	_, _, err := parseServers(c.Servers)
	if c.SessionTimeout < time.Second || c.SessionTimeout > time.Minute {
		err = errors.Join(err, fmt.Errorf("session timeout: %s, at least 1s and at most 1m", c.SessionTimeout))
	}
	return errors.Join(err, c.TLS.Validate())
}

// parseServers reads `host:port,host:port/chroot`; a missing port is 2181. chroot is "" or "/path".
func parseServers(text string) (servers []string, chroot string, err error) {
	list, chroot, _ := strings.Cut(text, "/")
	if chroot = strings.TrimSuffix(chroot, "/"); chroot != "" {
		chroot = "/" + chroot
	}
	if strings.Contains(chroot, "//") {
		return nil, "", fmt.Errorf("zookeeper servers %q: chroot %q has an empty part", text, chroot)
	}
	// a second server, or options, that would be a part of the path: another tree
	const others = ",;?# \t\n"
	if strings.ContainsAny(chroot, others) {
		return nil, "", fmt.Errorf("zookeeper servers %q: chroot %q: want it once, after the last server, and nothing after it", text, chroot)
	}
	for _, server := range strings.Split(list, ",") {
		if server = strings.TrimSpace(server); server == "" || strings.ContainsAny(server, others) {
			return nil, "", fmt.Errorf("zookeeper servers %q: want host:port,host:port/chroot", text)
		}
		if _, _, err := net.SplitHostPort(server); err != nil {
			server = net.JoinHostPort(strings.Trim(server, "[]"), "2181")
		}
		servers = append(servers, server)
	}
	return servers, chroot, nil
}

// Client reads and writes the kinds over a link to ZooKeeper.
type Client struct {
	link    *link
	metrics *metrics
	stop    context.CancelFunc
	doubts  doubts
	// readings has a token of each reading that is under way.
	readings chan struct{}

	mu        sync.Mutex
	followers map[string][]follower // by kind
	beats     []*Beats
}

// follower is told of changes, of all and of statuses.
type follower struct{ all, statuses wake.Signal }

// Open returns at once and connects in the background, also while the ensemble is away; an error is
// one of the Config. Close ends the client, or the end of ctx.
func Open(ctx context.Context, cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Client, error) {
	cfg = cfg.Default()
	_, authErr := credentials(cfg)
	_, tlsErr := cfg.TLS.Load()
	if err := cmp.Or(cfg.Validate(), authErr, tlsErr); err != nil {
		return nil, fmt.Errorf("open zookeeper: %w", err)
	}
	c := &Client{
		metrics: newMetrics(reg), followers: map[string][]follower{}, doubts: doubts{compared: map[string]time.Time{}},
		readings: make(chan struct{}, readings),
	}
	c.link = newLink(cfg, log, c.metrics, func(path string) {
		c.wake(path)
		c.wakeBeats(path)
	})
	ctx, c.stop = context.WithCancel(ctx)
	go c.link.run(ctx, c.link.serve)
	return c, nil
}

// Close ends the session and returns when no goroutine of the client is left.
func (c *Client) Close() {
	c.stop()
	<-c.link.done
}

// Connected says whether there is a session now, and if not, why.
func (c *Client) Connected() (bool, error) {
	session, _, trouble := c.link.present()
	if session != nil {
		return true, nil
	}
	return false, trouble
}

// Changes returns channels that receive when something of the kind may have changed, and when that
// is an instance's status, which the one that leads does not write itself; and both when the
// session was lost or replaced. Several changes may be one token, and a lost one does no harm to a
// caller that also reads now and then. The channels are never closed.
//
// What is watched is what Read looked at last; before the first Read of a kind nothing is.
func (c *Client) Changes(kind string) (all, statuses <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := follower{wake.New(), wake.New()}
	c.followers[kind] = append(c.followers[kind], one)
	return one.all, one.statuses
}

// wake tells those that follow the kind of that path; an empty path is every kind's.
func (c *Client) wake(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if path == "" {
		for _, followers := range c.followers {
			wakeAll(followers, true)
		}
		return
	}
	wakeAll(c.followers[protocol.KindOf(path)], protocol.IsStatus(path))
}

func wakeAll(followers []follower, statuses bool) {
	for _, one := range followers {
		one.all.Wake()
		if statuses {
			one.statuses.Wake()
		}
	}
}

// callTimeout bounds a call whose context has no deadline.
const callTimeout = 30 * time.Second

// bounded gives every call a deadline.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, callTimeout)
}

// Lead takes the head of the kind by protocol rule 1 and returns what was read afterwards. holder
// must be `<pod>/<nonce>` with a nonce that no other call uses. ErrFenced: another took it.
func (c *Client) Lead(ctx context.Context, kind, holder string) (*protocol.State, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	s, _, err := c.readOnce(ctx, protocol.NewState(kind))
	if err != nil {
		return nil, fmt.Errorf("lead %s: %w", kind, err)
	}
	m, err := protocol.Lead(s, holder)
	if err != nil {
		return nil, err
	}
	if err := c.CommitAll(ctx, s, []protocol.Multi{m})[0]; err != nil {
		return nil, err
	}
	s, _, err = c.Read(ctx, kind, s)
	return s, err
}
