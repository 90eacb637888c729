// Package zk brings the protocol to ZooKeeper: it reads a kind into a State and commits Multis.
//
// In: Multis of package protocol. Out: what became of each, and the State as ZooKeeper has it.
// Invariant: a Multi is applied to a State only if it is known to be committed; where an answer is
// lost, its outcome is settled by rule 9 before the call returns, or is ErrUnavailable.
//
// client.go keeps a session, session.go and frames.go are one; read.go reads, commit.go writes.
package zk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/shardscaler/shardscaler/internal/clienttls"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Config says which ensemble, and how.
type Config struct {
	// Servers is `host:port,host:port/chroot`; the chroot is created if missing.
	Servers string
	// SessionTimeout is what is asked of the server; Client.SessionTimeout is what it granted. Default 10s.
	SessionTimeout time.Duration
	// Auth is `user:password` of the digest scheme, or empty; AuthFile a file that holds it, read anew on every connection. With
	// either, our own znodes can be changed by that user alone, and read by everybody.
	Auth, AuthFile string
	// TLS, when not nil, is used for every connection.
	TLS *clienttls.Files
}

// Default returns c with what it leaves open filled in.
func (c Config) Default() Config {
	if c.SessionTimeout == 0 {
		c.SessionTimeout = 10 * time.Second
	}
	return c
}

// Validate reports every fault.
func (c Config) Validate() error {
	_, err := parseServers(c.Servers)
	if c.SessionTimeout < time.Second || c.SessionTimeout > time.Minute {
		err = errors.Join(err, fmt.Errorf("session timeout: %s, at least 1s and at most 1m", c.SessionTimeout))
	}
	if c.Auth != "" && c.AuthFile != "" {
		err = errors.Join(err, errors.New("auth: given both as text and as a file"))
	}
	if c.Auth != "" && !strings.Contains(c.Auth, ":") {
		err = errors.Join(err, errors.New("auth: want user:password"))
	}
	return errors.Join(err, c.TLS.Validate())
}

// target is a parsed Config.Servers.
type target struct {
	servers []string
	chroot  string // "" or "/path"
}

// parseServers reads `host:port,host:port/chroot`; a missing port is 2181.
func parseServers(text string) (target, error) {
	list, chroot, _ := strings.Cut(text, "/")
	if chroot = strings.TrimSuffix(chroot, "/"); chroot != "" {
		chroot = "/" + chroot
	}
	if strings.Contains(chroot, "//") {
		return target{}, fmt.Errorf("zookeeper servers %q: chroot %q has an empty part", text, chroot)
	}
	const others = ",;?# \t\n" // a second server, or options, that would be a part of the path: another tree
	if strings.ContainsAny(chroot, others) {
		return target{}, fmt.Errorf("zookeeper servers %q: chroot %q: want it once, after the last server, and nothing after it", text, chroot)
	}
	var servers []string
	for _, server := range strings.Split(list, ",") {
		if server = strings.TrimSpace(server); server == "" || strings.ContainsAny(server, others) {
			return target{}, fmt.Errorf("zookeeper servers %q: want host:port,host:port/chroot", text)
		}
		if _, _, err := net.SplitHostPort(server); err != nil {
			server = net.JoinHostPort(strings.Trim(server, "[]"), "2181")
		}
		servers = append(servers, server)
	}
	return target{servers, chroot}, nil
}

// Client is a connection to ZooKeeper that replaces itself.
type Client struct {
	cfg     Config
	target  target
	log     *slog.Logger
	metrics *metrics
	stop    context.CancelFunc
	done    chan struct{}
	ending  sync.WaitGroup // sessions that are being closed, which takes a second where nobody answers

	mu      sync.Mutex
	session *session // nil: none now
	changed chan struct{}
	trouble error // why there is no session
	warned  time.Time
	subs    map[string][]subscriber
}

// Open returns at once and connects in the background, also while the ensemble is away; an error is one of the Config.
// Close ends the client, or the end of ctx.
func Open(ctx context.Context, cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Client, error) {
	cfg = cfg.Default()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("open zookeeper: %w", err)
	}
	target, _ := parseServers(cfg.Servers) // Validate has parsed it
	if _, err := credentials(cfg); err != nil {
		return nil, fmt.Errorf("open zookeeper: %w", err)
	}
	if _, err := cfg.TLS.Load(); err != nil {
		return nil, fmt.Errorf("open zookeeper: %w", err)
	}
	c := &Client{
		cfg: cfg, target: target, log: log, metrics: newMetrics(reg),
		done: make(chan struct{}), changed: make(chan struct{}),
		trouble: errors.New("not connected yet"), subs: map[string][]subscriber{},
	}
	ctx, c.stop = context.WithCancel(ctx)
	go c.run(ctx, c.serve)
	return c, nil
}

// Close ends the session and returns when no goroutine of the client is left.
func (c *Client) Close() {
	c.stop()
	<-c.done
}

// Connected says whether there is a session now, and if not, why.
func (c *Client) Connected() (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session != nil {
		return true, nil
	}
	return false, c.trouble
}

// SessionTimeout is what the server granted to the present session; 0 without one.
func (c *Client) SessionTimeout() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session == nil {
		return 0
	}
	return c.session.timeout()
}

// subscriber is who follows a kind.
type subscriber struct{ all, statuses chan struct{} }

// Changes returns channels that receive when something of the kind may have changed, and when that is an instance's status, which the
// one that leads does not write itself; and both when the session was lost or replaced. Signals are coalesced; a lost one does no harm
// to who also calls Refresh now and then. The channels are never closed.
//
// What is watched is what Refresh looked at last; before the first Load or Refresh of a kind nothing is.
func (c *Client) Changes(kind string) (all, statuses <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := subscriber{make(chan struct{}, 1), make(chan struct{}, 1)}
	c.subs[kind] = append(c.subs[kind], s)
	return s.all, s.statuses
}

// notify tells those who follow the kind of that path; an empty path is everybody.
func (c *Client) notify(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for kind, subs := range c.subs {
		if path != "" && !protocol.BelongsTo(kind, path) {
			continue
		}
		for _, s := range subs {
			stir(s.all)
			if path == "" || protocol.IsStatus(path) {
				stir(s.statuses)
			}
		}
	}
}

// stir puts a token into c unless it holds one.
func stir(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// reconnectPause keeps a server that accepts and then drops us from being called in a tight loop. It doubles up to lastReconnectPause while
// sessions come to nothing because of what must be done before one is of use.
const reconnectPause, lastReconnectPause = 200 * time.Millisecond, 5 * time.Second

// run keeps one session until ctx ends. serve opens one, and returns when it is over, whether it was of use, and the reason.
func (c *Client) run(ctx context.Context, serve func(context.Context) (used bool, err error)) {
	defer close(c.done)
	defer c.ending.Wait()
	for pause := reconnectPause; ctx.Err() == nil; pause = min(2*pause, lastReconnectPause) {
		used, err := serve(ctx)
		if err != nil && ctx.Err() == nil {
			c.setSession(nil, err)
			c.log.Warn("no zookeeper session", "servers", c.cfg.Servers, "err", err)
		}
		if used {
			pause = reconnectPause
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// serve opens one session and returns when it is over, whether it was of use, and the reason.
func (c *Client) serve(ctx context.Context) (used bool, err error) {
	s, err := newSession(c.cfg, c.target, c.notify, c.setTrouble)
	if err != nil {
		return false, err
	}
	defer func() { c.ending.Go(s.end) }()
	select {
	case <-ctx.Done():
		return false, nil
	case <-s.up:
	}
	if err := c.prepare(ctx, s); err != nil {
		return false, err
	}
	c.setSession(s, nil)
	c.metrics.sessions.Inc()
	c.log.Info("zookeeper session opened", "server", s.conn.Server(), "timeout", s.timeout())
	c.notify("")
	defer func() {
		c.setSession(nil, errLost)
		c.notify("")
	}()
	select {
	case <-ctx.Done():
		return true, nil
	case <-s.lost:
		return true, errLost
	}
}

// prepare authenticates and makes the chroot.
func (c *Client) prepare(ctx context.Context, s *session) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.SessionTimeout)
	defer cancel()
	auth, err := credentials(c.cfg)
	if err != nil {
		return err
	}
	if auth != "" {
		if _, err := do(ctx, s, func(conn *zk.Conn) (struct{}, error) {
			return struct{}{}, conn.AddAuth("digest", []byte(auth))
		}); err != nil {
			return fmt.Errorf("authenticate: %w", err)
		}
	}
	for i := 1; i < len(s.chroot); i++ {
		if next := strings.IndexByte(s.chroot[i:], '/'); next >= 0 {
			i += next
		} else {
			i = len(s.chroot)
		}
		if err := ensure(ctx, s, s.chroot[:i], openACL); err != nil {
			return fmt.Errorf("create chroot %s: %w", s.chroot[:i], denied(err, rightCreate, parent(s.chroot[:i])))
		}
	}
	return nil
}

// credentials are `user:password`, or empty.
func credentials(cfg Config) (string, error) {
	if cfg.AuthFile == "" {
		return cfg.Auth, nil
	}
	raw, err := os.ReadFile(cfg.AuthFile)
	if err != nil {
		return "", fmt.Errorf("read auth file: %w", err)
	}
	auth := strings.TrimSpace(string(raw))
	if !strings.Contains(auth, ":") {
		return "", fmt.Errorf("read auth file %s: want user:password", cfg.AuthFile)
	}
	return auth, nil
}

func (c *Client) setSession(s *session, trouble error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s == nil && c.session == nil && trouble == nil {
		return
	}
	c.session = s
	if s != nil {
		c.trouble = nil
		c.metrics.connected.Set(1)
		c.metrics.sessionTimeout.Set(s.timeout().Seconds())
	} else {
		if trouble != nil {
			c.trouble = trouble
		}
		c.metrics.connected.Set(0)
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// warnEvery is how often the log repeats that no server answers: one is tried every second.
const warnEvery = 30 * time.Second

// setTrouble notes why connecting fails.
func (c *Client) setTrouble(err error) {
	if c.troubled(err, time.Now()) {
		c.log.Warn("cannot connect to zookeeper", "servers", c.cfg.Servers, "err", err)
	}
}

// troubled says whether the log has not been told for a while.
func (c *Client) troubled(err error, now time.Time) (news bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session != nil {
		return false
	}
	c.trouble = err
	if news = now.Sub(c.warned) >= warnEvery; news {
		c.warned = now
	}
	return news
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

var errClosed = errors.New("the client is closed")

// await returns the session, when there is one.
func (c *Client) await(ctx context.Context) (*session, error) {
	for {
		s, changed, trouble := c.present()
		if s != nil && s.enter() {
			s.calls.Done()
			return s, nil
		}
		select {
		case <-changed:
		case <-c.done:
			return nil, fmt.Errorf("%w: %w", protocol.ErrUnavailable, errClosed)
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w: %w", protocol.ErrUnavailable, ctx.Err(), trouble)
		}
	}
}

// present is the session, nil while there is none, what is closed when that changes, and why there
// is none.
func (c *Client) present() (s *session, changed <-chan struct{}, trouble error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session, c.changed, c.trouble
}

// The access lists: instances write into their own tree, whoever they are, as they always did; our own tree is ours to change.
var (
	openACL  = zk.WorldACL(zk.PermAll)
	ownerACL = append(zk.AuthACL(zk.PermAll), zk.WorldACL(zk.PermRead)...)
)

func (c *Client) acl(path string) []zk.ACL {
	if (c.cfg.Auth != "" || c.cfg.AuthFile != "") && protocol.Within(path, protocol.OwnRoot) {
		return ownerACL
	}
	return openACL
}

// ensure makes a znode without content where there is none. It looks first: the server looks at the right to create before it looks
// whether the znode exists, and where all is there nobody needs that right.
func ensure(ctx context.Context, s *session, fullPath string, acl []zk.ACL) error {
	if there, err := present(ctx, s, fullPath); there || err != nil {
		return err
	}
	_, err := do(ctx, s, func(conn *zk.Conn) (string, error) { return conn.Create(fullPath, nil, 0, acl) })
	switch {
	case errors.Is(err, zk.ErrNodeExists):
		return nil
	case errors.Is(err, zk.ErrNoAuth): // another may have made it since we looked
		if there, lookErr := present(ctx, s, fullPath); there || lookErr != nil {
			return lookErr
		}
	}
	return err
}

// present says whether there is a znode. Who may not read it learns that by the refusal: from 3.8.4 on the server looks at that right,
// but only where there is one.
func present(ctx context.Context, s *session, fullPath string) (bool, error) {
	there, err := do(ctx, s, func(conn *zk.Conn) (bool, error) {
		there, _, err := conn.Exists(fullPath)
		return there, err
	})
	if errors.Is(err, zk.ErrNoAuth) {
		return true, nil
	}
	return there, err
}

// catchUp makes the server we talk to catch up with the leader.
func catchUp(ctx context.Context, s *session) error {
	_, err := do(ctx, s, func(conn *zk.Conn) (string, error) { return conn.Sync(cmp.Or(s.chroot, "/")) })
	return err
}
