package zk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/shardscaler/shardscaler/internal/wake"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// link is a session with ZooKeeper that replaces itself.
type link struct {
	cfg     Config
	servers []string
	chroot  string
	log     *slog.Logger
	metrics *metrics
	// onEvent is called with the path of what has changed; with "" when the session was lost or
	// replaced, and anything may have.
	onEvent func(path string)
	done    chan struct{}
	ending  sync.WaitGroup // sessions that are being closed, which takes a second where no server answers

	mu      sync.Mutex
	session *session // nil: none now
	changed chan struct{}
	trouble error // why there is no session
	warned  time.Time
}

// newLink does nothing until run is called. The Config is a valid one.
func newLink(cfg Config, log *slog.Logger, m *metrics, onEvent func(path string)) *link {
	servers, chroot, _ := parseServers(cfg.Servers)
	return &link{
		cfg: cfg, servers: servers, chroot: chroot, log: log, metrics: m, onEvent: onEvent,
		done: make(chan struct{}), changed: make(chan struct{}), trouble: errors.New("not connected yet"),
	}
}

// reconnectPause keeps a server that accepts and then drops us from being called in a tight loop.
// It doubles up to lastReconnectPause while sessions come to nothing before they are of use.
const reconnectPause, lastReconnectPause = 200 * time.Millisecond, 5 * time.Second

// run keeps one session until ctx ends, by serve or what a test has in its place.
func (l *link) run(ctx context.Context, serve func(context.Context) (used bool, err error)) {
	defer close(l.done)
	defer l.ending.Wait()
	for pause := reconnectPause; ctx.Err() == nil; pause = min(2*pause, lastReconnectPause) {
		used, err := serve(ctx)
		if err != nil && ctx.Err() == nil {
			l.setSession(nil, err)
			l.log.Warn("no zookeeper session", "servers", l.cfg.Servers, "err", err)
		}
		if used {
			pause = reconnectPause
		}
		wake.Sleep(ctx, pause)
	}
}

// serve opens one session and returns when it is over, whether it was of use, and the reason.
func (l *link) serve(ctx context.Context) (used bool, err error) {
	s, err := newSession(l)
	if err != nil {
		return false, err
	}
	defer func() { l.ending.Go(s.end) }()
	select {
	case <-ctx.Done():
		return false, nil
	case <-s.up:
	}
	if err := l.prepare(ctx, s); err != nil {
		return false, err
	}
	l.setSession(s, nil)
	l.metrics.sessions.Inc()
	l.log.Info("zookeeper session opened", "server", s.conn.Server(), "timeout", s.timeout())
	l.onEvent("")
	defer func() {
		l.setSession(nil, errLost)
		l.onEvent("")
	}()
	select {
	case <-ctx.Done():
		return true, nil
	case <-s.lost:
		return true, errLost
	}
}

// prepare authenticates and makes the chroot.
func (l *link) prepare(ctx context.Context, s *session) error {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.SessionTimeout)
	defer cancel()
	if err := authenticate(ctx, s); err != nil {
		return err
	}
	for i, c := range l.chroot + "/" {
		if c != '/' || i == 0 {
			continue
		}
		path := l.chroot[:i]
		if err := ensure(ctx, s, path, openACL); err != nil {
			return fmt.Errorf("create chroot %s: %w", path, denied(err, rightCreate, parent(path)))
		}
	}
	return nil
}

// authenticate tells the server who we are, where the Config has a name.
func authenticate(ctx context.Context, s *session) error {
	auth, err := credentials(s.link.cfg)
	if err != nil || auth == "" {
		return err
	}
	if _, err := do(ctx, s, func(conn *zk.Conn) (struct{}, error) {
		return struct{}{}, conn.AddAuth("digest", []byte(auth))
	}); err != nil {
		return fmt.Errorf("authenticate: %w", err)
	}
	return nil
}

func credentials(cfg Config) (string, error) {
	if cfg.AuthFile == "" {
		return "", nil
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

// setSession says which session there is, or (nil) why there is none.
func (l *link) setSession(s *session, trouble error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.session, l.trouble = s, trouble
	l.metrics.connected.Set(0)
	if s != nil {
		l.metrics.connected.Set(1)
		l.metrics.sessionTimeout.Set(s.timeout().Seconds())
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

// warnEvery is how often the log repeats that no server answers: one is tried every second.
const warnEvery = 30 * time.Second

// setTrouble notes why connecting fails, and tells the log of it now and then.
func (l *link) setTrouble(err error) {
	if l.isNews(err) {
		l.log.Warn("cannot connect to zookeeper", "servers", l.cfg.Servers, "err", err)
	}
}

// isNews notes a trouble, and says whether the log has not been told of any for a while.
func (l *link) isNews(trouble error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.session != nil {
		return false
	}
	l.trouble = trouble
	if time.Since(l.warned) < warnEvery {
		return false
	}
	l.warned = time.Now()
	return true
}

var errClosed = errors.New("the client is closed")

// await returns the session, when there is one.
func (l *link) await(ctx context.Context) (*session, error) {
	for {
		s, changed, trouble := l.present()
		if s != nil && !isClosed(s.lost) {
			return s, nil
		}
		select {
		case <-changed:
		case <-l.done:
			return nil, fmt.Errorf("%w: %w", protocol.ErrUnavailable, errClosed)
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w: %w", protocol.ErrUnavailable, ctx.Err(), trouble)
		}
	}
}

// missed notes that a znode had changed and no event has told.
func (l *link) missed(fullPath string) {
	l.metrics.missed.Inc()
	l.log.Warn("a znode has changed and zookeeper has sent no event; was an access list changed?", "znode", strings.TrimPrefix(fullPath, l.chroot))
}

// present is the session, nil while there is none, what its change closes, and why there is none.
func (l *link) present() (s *session, changed <-chan struct{}, trouble error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.session, l.changed, l.trouble
}

// The access lists: every instance may write into the tree of the instances; ours is ours to
// change.
var (
	openACL  = zk.WorldACL(zk.PermAll)
	ownerACL = append(zk.AuthACL(zk.PermAll), zk.WorldACL(zk.PermRead)...)
)

func (l *link) acl(path string) []zk.ACL {
	if l.cfg.AuthFile != "" && protocol.IsOwn(path) {
		return ownerACL
	}
	return openACL
}

// ensureAll makes those of our znodes without content that are missing, in that order.
func (l *link) ensureAll(ctx context.Context, s *session, paths []string) error {
	for _, path := range paths {
		if err := ensure(ctx, s, s.path(path), l.acl(path)); err != nil {
			return fmt.Errorf("create %s: %w", path, denied(err, rightCreate, parent(path)))
		}
	}
	return nil
}

// ensure makes a znode without content where there is none. It looks first: the server looks at the
// right to create before it looks whether the znode exists, and not all callers have that right.
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

// present says whether there is a znode. A client that may not read it gets a refusal: from 3.8.4
// on the server checks that right, but only where there is a znode.
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
