package zk

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/shardscaler/shardscaler/internal/clienttls"
)

// This file is what go-zookeeper v1.0.4 needs around it. Its connection lives for one session of
// ours and never reconnects: that avoids its lost watches, its stale addresses and its data race,
// and costs nothing, for we hold no ephemeral znodes.

// errLost is what a call gets whose session has gone; whether the server did it is unknown.
var errLost = errors.New("the session was lost")

// session is a connection with one ZooKeeper session, from handshake to first disconnection.
type session struct {
	conn   *zk.Conn
	events <-chan zk.Event
	hosts  *hosts
	// lost is closed at the first disconnection, up when the session exists.
	lost, up         chan struct{}
	onceLost, onceUp sync.Once
	chroot           string
	calls            sync.WaitGroup
	mu               sync.Mutex
	armed            map[string]bool // watches that the server holds, by kind of watch and path
	granted          time.Duration
	fired            int64 // watches that have
	onEvent          func(path string)
}

// newSession starts connecting; wait on up.
func newSession(cfg Config, target target, onEvent func(path string), onTrouble func(error)) (*session, error) {
	s := &session{
		lost: make(chan struct{}), up: make(chan struct{}),
		chroot: target.chroot, armed: map[string]bool{}, onEvent: onEvent,
	}
	s.hosts = newHosts(target.servers)
	dial := &dialer{session: s, requested: cfg.SessionTimeout, tls: cfg.TLS, onTrouble: onTrouble}
	conn, events, err := zk.Connect(target.servers, cfg.SessionTimeout,
		zk.WithDialer(dial.dial),
		zk.WithHostProvider(s.hosts),
		zk.WithMaxConnBufferSize(1<<20), // the server's limit; its default is above that
		zk.WithMaxBufferSize(maxAnswer), // else a bad length allocates gigabytes; see frames
		zk.WithEventCallback(s.event),   // its channel drops events when it is full
		zk.WithLogger(quiet{}),
		zk.WithLogInfo(false))
	if err != nil {
		return nil, err
	}
	s.conn, s.events = conn, events
	return s, nil
}

// maxAnswer bounds an answer of the server: a znode, or a list of children.
const maxAnswer = 4 << 20

// quiet: the client's own messages say nothing that our events and errors do not.
type quiet struct{}

func (quiet) Printf(string, ...any) {}

// event runs on the client's goroutines and must not block.
func (s *session) event(e zk.Event) {
	switch {
	case e.Type == zk.EventSession && e.State == zk.StateHasSession:
		s.onceUp.Do(func() { close(s.up) })
	case e.Type == zk.EventSession && (e.State == zk.StateDisconnected || e.State == zk.StateExpired):
		if s.isUp() {
			s.lose()
		}
	case e.Path != "" && e.Type != zk.EventNotWatching:
		s.disarm(e)
		s.onEvent(s.visible(e.Path))
	}
}

func (s *session) isUp() bool {
	select {
	case <-s.up:
		return true
	default:
		return false
	}
}

// enter counts a call, unless the session is over.
func (s *session) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.lost:
		return false
	default:
		s.calls.Add(1)
		return true
	}
}

// lose ends all calls, now and later.
func (s *session) lose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onceLost.Do(func() { close(s.lost) })
}

// end closes the session and returns when none of its goroutines is left.
func (s *session) end() {
	s.lose()
	s.conn.Close()
	for range s.events { // closed when the connection's loop has ended
	}
	s.calls.Wait()
}

// path is how the server knows a path of ours, visible the reverse.
func (s *session) path(p string) string { return s.chroot + p }

func (s *session) visible(p string) string {
	if s.chroot != "" && len(p) > len(s.chroot) {
		return p[len(s.chroot):]
	}
	return p
}

// arm says whether a watch must be set; the client would add one more to its table each time.
func (s *session) arm(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.armed[key] {
		return false
	}
	s.armed[key] = true
	return true
}

func (s *session) forget(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.armed, key)
}

// The two kinds of watches that we set; their keys in session.armed.
func dataWatch(path string) string { return "d" + path }

func childrenWatch(path string) string { return "c" + path }

func (s *session) hasFired() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fired
}

// disarm: an event ends the watch that raised it; the deletion of a znode ends both.
func (s *session) disarm(e zk.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fired++
	if e.Type != zk.EventNodeChildrenChanged {
		delete(s.armed, dataWatch(e.Path))
	}
	if e.Type == zk.EventNodeChildrenChanged || e.Type == zk.EventNodeDeleted {
		delete(s.armed, childrenWatch(e.Path))
	}
}

func (s *session) setGranted(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.granted = d
}

func (s *session) timeout() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.granted
}

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

// hosts gives the client one address after the other. Each round resolves the names anew.
type hosts struct {
	mu      sync.Mutex
	servers []string
	round   []address
	next    int
}

// address is where to dial and, for TLS, whom to expect there.
type address struct{ hostPort, name string }

func newHosts(servers []string) *hosts { return &hosts{servers: servers} }

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
	if h.next == len(h.round) {
		wrapped = h.round != nil
		h.round, h.next = h.resolve(), 0
	}
	h.next++
	return h.round[h.next-1].hostPort, wrapped
}

// lookupTimeout bounds the resolution of all names of one round.
const lookupTimeout = 3 * time.Second

func (h *hosts) resolve() []address {
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	var round []address
	for _, server := range h.servers {
		name, port, _ := net.SplitHostPort(server) // parseServers has split it before
		ips, err := net.DefaultResolver.LookupHost(ctx, name)
		if err != nil {
			round = append(round, address{server, name}) // dialling it will say what is wrong
			continue
		}
		for _, ip := range ips {
			round = append(round, address{net.JoinHostPort(ip, port), name})
		}
	}
	rand.Shuffle(len(round), func(i, j int) { round[i], round[j] = round[j], round[i] })
	return round
}

func (h *hosts) name(hostPort string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range h.round {
		if a.hostPort == hostPort {
			return a.name
		}
	}
	return ""
}

// dialer opens connections until one has a session, and none after that.
type dialer struct {
	session   *session
	requested time.Duration
	tls       *clienttls.Files
	onTrouble func(error)
}

func (d *dialer) dial(network, hostPort string, timeout time.Duration) (net.Conn, error) {
	select {
	case <-d.session.up:
		return nil, errLost
	case <-d.session.lost:
		return nil, errLost
	default:
	}
	raw, err := net.DialTimeout(network, hostPort, timeout)
	if err != nil {
		d.onTrouble(fmt.Errorf("dial %s: %w", hostPort, cause(err)))
		return nil, err
	}
	conn := &clampedConn{Conn: raw, dialer: d, limit: d.requested / 2}
	if d.tls == nil {
		return newFrames(conn, d.onTrouble), nil
	}
	secure, err := d.secure(raw, hostPort)
	if err != nil {
		_ = raw.Close()
		d.onTrouble(fmt.Errorf("handshake with %s: %w", hostPort, cause(err)))
		return nil, err
	}
	conn.Conn = secure
	return newFrames(conn, d.onTrouble), nil
}

// secure encrypts a connection. A handshake may take as long as a read.
func (d *dialer) secure(raw net.Conn, hostPort string) (net.Conn, error) {
	config, err := d.tls.Load()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), d.requested/2)
	defer cancel()
	return clienttls.Secure(ctx, raw, config, d.session.hosts.name(hostPort))
}

// clampedConn lets no read wait longer than half the session timeout. The client would wait 6.7
// times the session for the answer to its handshake, and without any limit between frames. Pings go
// out every third of a session, so an idle one is never cut off.
//
// Reads and read deadlines come from one goroutine at a time.
type clampedConn struct {
	net.Conn
	dialer *dialer
	limit  time.Duration
	// hello are the first bytes: length (4), protocol version (4), session timeout in ms (4).
	hello []byte
}

const helloBytes = 12

func (c *clampedConn) SetReadDeadline(t time.Time) error {
	latest := time.Now().Add(c.limit)
	if t.IsZero() || t.After(latest) {
		t = latest
	}
	return c.Conn.SetReadDeadline(t)
}

// Read learns the session timeout that the server grants, which the client keeps to itself.
func (c *clampedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if len(c.hello) < helloBytes && n > 0 {
		c.hello = append(c.hello, b[:min(n, helloBytes-len(c.hello))]...)
		if len(c.hello) == helloBytes {
			granted := time.Duration(int32(binary.BigEndian.Uint32(c.hello[8:]))) * time.Millisecond
			if granted > 0 { // 0: refused
				c.limit = granted / 2
				c.dialer.session.setGranted(granted)
			}
		}
	}
	if err != nil && !c.dialer.session.isUp() {
		c.dialer.onTrouble(fmt.Errorf("handshake with %s: %w", c.RemoteAddr(), cause(err)))
	}
	return n, err
}

// cause is an error of the network without the addresses, of which ours is another one each time.
func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}
