package zk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/shardscaler/shardscaler/internal/clienttls"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// This file is what go-zookeeper v1.0.4 needs around it. Its connection lives for one session of
// ours and never reconnects: that avoids its lost watches, its stale addresses and its data race,
// and costs nothing, for we hold no ephemeral znodes.

// errLost is what a call gets whose session has gone; whether the server did it is unknown.
var errLost = errors.New("the session was lost")

// session is a connection with one ZooKeeper session, from handshake to first disconnection.
type session struct {
	link   *link
	conn   *zk.Conn
	events <-chan zk.Event
	hosts  *hosts
	// up is closed by rise, when the session exists, lost by lose, at the first disconnection.
	up, lost   chan struct{}
	rise, lose func()
	granted    atomic.Int64 // the timeout, in nanoseconds
	watches    watches
	syncs      syncs
	fired      atomic.Int64 // watches that have
	mu         sync.Mutex   // no call is entered once lost is closed
	calls      sync.WaitGroup
}

// newSession starts connecting; wait on up.
func newSession(l *link) (*session, error) {
	s := &session{link: l, hosts: &hosts{servers: l.servers}, up: make(chan struct{}), lost: make(chan struct{})}
	s.watches.armed = map[watched]*watch{}
	s.syncs.Begin = s.syncs.pace
	s.rise = sync.OnceFunc(func() { close(s.up) })
	s.lose = sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		close(s.lost)
	})
	conn, events, err := zk.Connect(l.servers, l.cfg.SessionTimeout,
		zk.WithDialer(s.dial),
		zk.WithHostProvider(s.hosts),
		// the server's limit; its default is above that
		zk.WithMaxConnBufferSize(1<<20),
		// else a bad length allocates gigabytes; see frames
		zk.WithMaxBufferSize(maxAnswer),
		// its channel drops events when it is full
		zk.WithEventCallback(s.event),
		// our events and errors say it all
		zk.WithLogger(slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)),
		zk.WithLogInfo(false))
	if err != nil {
		return nil, err
	}
	s.conn, s.events = conn, events
	return s, nil
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// maxAnswer bounds an answer of the server: a znode, or a list of children.
const maxAnswer = 4 << 20

// event runs on the client's goroutines and must not block.
func (s *session) event(e zk.Event) {
	switch {
	case e.Type == zk.EventSession && e.State == zk.StateHasSession:
		s.rise()
	case e.Type == zk.EventSession && (e.State == zk.StateDisconnected || e.State == zk.StateExpired):
		if isClosed(s.up) {
			s.lose()
		}
	case e.Path != "" && e.Type != zk.EventNotWatching:
		path := strings.TrimPrefix(e.Path, s.link.chroot)
		if !protocol.IsBeat(path) { // of no kind: no reading of one is torn by it
			s.fired.Add(1)
			s.watches.fired(e)
		}
		s.link.onEvent(path)
	}
}

// enter counts a call, unless the session is over.
func (s *session) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if isClosed(s.lost) {
		return false
	}
	s.calls.Add(1)
	return true
}

// end closes the session and returns when none of its goroutines is left.
func (s *session) end() {
	s.lose()
	s.conn.Close()
	for range s.events { // closed when the connection's loop has ended
	}
	s.calls.Wait()
}

// path is how the server knows a path of ours.
func (s *session) path(p string) string { return s.link.chroot + p }

// timeout is what the server has granted.
func (s *session) timeout() time.Duration { return time.Duration(s.granted.Load()) }

// do runs a call of the client, which knows no context, until it answers or ctx or session end.
func do[T any](ctx context.Context, s *session, call func(*zk.Conn) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	answers := make(chan answer, 1)
	if !s.enter() {
		return none, errLost
	}
	go func() {
		defer s.calls.Done()
		value, err := call(s.conn)
		answers <- answer{value, named(err)}
	}()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
		return none, ctx.Err()
	case <-s.lost:
	}
	select {
	case a := <-answers: // it was in time after all
		return a.value, a.err
	default:
		return none, errLost
	}
}

// hosts gives the client one address after the other. After the last one it resolves
// the names anew.
type hosts struct {
	servers []string
	mu      sync.Mutex
	untried []string          // addresses
	names   map[string]string // the name that TLS expects, by address
}

// Init has nothing to do: the servers are known.
func (h *hosts) Init([]string) error { return nil }

// Len is the number of servers as configured.
func (h *hosts) Len() int { return len(h.servers) }

// Connected has nothing to do: a connection is used for one session.
func (h *hosts) Connected() {}

// Next returns the next address; wrapped: all were tried, and the client waits a second.
func (h *hosts) Next() (server string, wrapped bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.untried) == 0 {
		wrapped = h.names != nil
		h.resolve()
	}
	server, h.untried = h.untried[0], h.untried[1:]
	return server, wrapped
}

// lookupTimeout bounds one resolution of all names.
const lookupTimeout = 3 * time.Second

// resolve finds the addresses of all servers, in an order by chance.
func (h *hosts) resolve() {
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	h.untried, h.names = nil, map[string]string{}
	for _, server := range h.servers {
		name, port, _ := net.SplitHostPort(server) // parseServers has split it before
		ips, err := net.DefaultResolver.LookupHost(ctx, name)
		if err != nil {
			ips = []string{name} // dialling it will say what is wrong
		}
		for _, ip := range ips {
			address := net.JoinHostPort(ip, port)
			h.untried, h.names[address] = append(h.untried, address), name
		}
	}
	rand.Shuffle(len(h.untried), func(i, j int) { h.untried[i], h.untried[j] = h.untried[j], h.untried[i] })
}

func (h *hosts) name(address string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.names[address]
}

// dial opens connections until one has a session, and none after that.
func (s *session) dial(network, address string, timeout time.Duration) (net.Conn, error) {
	if isClosed(s.up) || isClosed(s.lost) {
		return nil, errLost
	}
	conn, err := net.DialTimeout(network, address, timeout)
	if err != nil {
		s.link.setTrouble(fmt.Errorf("dial %s: %w", address, cause(err)))
		return nil, err
	}
	limit := s.link.cfg.SessionTimeout / 2
	if s.link.cfg.TLS != nil {
		secure, err := s.secure(conn, address, limit)
		if err != nil {
			_ = conn.Close()
			s.link.setTrouble(fmt.Errorf("handshake with %s: %w", address, cause(err)))
			return nil, err
		}
		conn = secure
	}
	return &frames{Conn: conn, session: s, limit: limit}, nil
}

// secure encrypts a connection. A handshake may take as long as a read.
func (s *session) secure(conn net.Conn, address string, limit time.Duration) (net.Conn, error) {
	config, err := s.link.cfg.TLS.Load()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return clienttls.Secure(ctx, conn, config, s.hosts.name(address))
}

// cause is an error of the network without the addresses, of which ours is another one each time.
func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}
