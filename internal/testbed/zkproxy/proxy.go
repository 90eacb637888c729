// Package zkproxy stands between a client and ZooKeeper, knows the frames, and harms what passes.
//
// In: connections, and what is to happen to the transactions on them. Out: the same bytes, or not.
// Invariant: what it does not harm it passes on unchanged and in order, and it counts what it
// harmed: a test that harmed nothing can tell.
package zkproxy

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"maps"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/shardscaler/shardscaler/internal/testbed/gate"
)

// Numbers of the wire protocol.
const (
	opGet   = 4
	opCheck = 13
	opMulti = 14
)

// Harm is what happens to the next transaction.
type Harm int

// The harms.
const (
	None Harm = iota
	// DropAnswer lets the server do it, and cuts the connection instead of answering.
	DropAnswer
	// DropRequest cuts the connection before the server hears of it.
	DropRequest
	// Remember does no harm, but keeps the transaction for Late.
	Remember
)

// Proxy is one listener before several servers: each connection goes to the next that answers.
type Proxy struct {
	listener net.Listener
	servers  []string
	wg       sync.WaitGroup

	mu   sync.Mutex
	next int // of servers
	harm Harm
	// choose says what happens to a transaction of which Set says nothing; it may be nil.
	choose func(frame []byte) Harm
	// held is the transaction that was harmed last, fired how many were.
	held  []byte
	fired int
	conns map[net.Conn]bool
	// reading is told of the znodes that clients are about to read.
	reading func(path string)
	session Session
	// requests counts what clients asked for, by its type.
	requests map[int32]int

	partition gate.Gate
}

// Session is what a server granted to a client.
type Session struct {
	ID       int64
	Password []byte
	server   string
}

// New starts a proxy that ends with the test.
func New(t testing.TB, servers ...string) *Proxy {
	t.Helper()
	p, err := Start(servers...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// Start starts a proxy that ends with Close.
func Start(servers ...string) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: listener, servers: servers, conns: map[net.Conn]bool{}, requests: map[int32]int{}}
	p.wg.Go(p.accept)
	return p, nil
}

// Close ends the proxy and every connection.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.Heal()
	p.Cut()
	p.wg.Wait()
}

// Addr is where clients connect.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Set says what happens to the next transaction.
func (p *Proxy) Set(h Harm) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.harm = h
}

// Count is how many transactions were harmed.
func (p *Proxy) Count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fired
}

// SetEach lets choose say what happens to each transaction, by its frame, if Set said nothing.
func (p *Proxy) SetEach(choose func(frame []byte) Harm) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.choose = choose
}

// OnRead calls f with the path of each znode that a client asks to read, before the server hears of
// it; nil: no call. The client's connection waits for f, which acts between two reads.
func (p *Proxy) OnRead(f func(path string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reading = f
}

// Requests says how often clients asked for what since the start, by the type that ZooKeeper's
// ZooDefs.OpCode gives it.
func (p *Proxy) Requests() map[int32]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.requests)
}

// Partition lets nothing pass either way until Heal: connections stay, new ones are accepted.
func (p *Proxy) Partition() { p.partition.Shut() }

// Heal ends a Partition: what was held up passes.
func (p *Proxy) Heal() { p.partition.Open() }

// Cut ends every connection.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		_ = conn.Close()
	}
	clear(p.conns)
}

// Session is the one that was granted through the proxy last; its ID is 0 if none was.
func (p *Proxy) Session() Session {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.session
}

func (p *Proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		out, server := p.dial()
		if out == nil {
			_ = in.Close()
			continue
		}
		p.mu.Lock()
		p.conns[in], p.conns[out] = true, true
		p.mu.Unlock()
		c := &connection{Proxy: p, in: in, out: out, server: server}
		p.wg.Go(func() { c.relay(in, out, c.request) })
		p.wg.Go(func() { c.relay(out, in, c.answer) })
	}
}

// dial connects to the next server that accepts.
func (p *Proxy) dial() (net.Conn, string) {
	for range p.servers {
		p.mu.Lock()
		server := p.servers[p.next%len(p.servers)]
		p.next++
		p.mu.Unlock()
		if conn, err := net.DialTimeout("tcp", server, time.Second); err == nil {
			return conn, server
		}
	}
	return nil, ""
}

// connection is one client's.
type connection struct {
	*Proxy
	in, out net.Conn
	server  string
	// lost is the number of the request that is not to be answered; nil: there is none.
	lost []byte
}

// relay passes on frames until one is not to pass. The first is the handshake's.
func (c *connection) relay(from, to net.Conn, passes func(f []byte, first bool) bool) {
	defer c.end()
	for first := true; ; first = false {
		f, err := frame(from)
		if err != nil {
			return
		}
		_ = c.partition.Pass(context.Background()) // the end of the test heals
		if !passes(f, first) {
			return
		}
		if _, err := to.Write(f); err != nil {
			return
		}
	}
}

func (c *connection) end() {
	_ = c.in.Close()
	_ = c.out.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.conns, c.in)
	delete(c.conns, c.out)
}

func (c *connection) request(f []byte, first bool) bool {
	if first || len(f) < 12 {
		return true
	}
	kind := int32(binary.BigEndian.Uint32(f[8:]))
	c.count(kind)
	switch kind {
	case opGet:
		c.tell(f)
	case opMulti:
		return c.transaction(f)
	}
	return true
}

func (c *connection) count(kind int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests[kind]++
}

// tell tells of a read.
func (c *connection) tell(f []byte) {
	c.mu.Lock()
	reading := c.reading
	c.mu.Unlock()
	if reading != nil && len(f) >= 16 {
		path := f[16:] // after length, xid, type and the path's length
		reading(string(path[:min(len(path), int(binary.BigEndian.Uint32(f[12:])))]))
	}
}

// transaction says whether a transaction goes on to the server.
func (c *connection) transaction(f []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.harm
	c.harm = None
	if h == None && c.choose != nil {
		h = c.choose(f)
	}
	if h == None {
		return true
	}
	c.fired++
	c.held = f
	if h == DropAnswer {
		c.lost = f[4:8]
	}
	return h != DropRequest
}

func (c *connection) answer(f []byte, first bool) bool {
	if first {
		c.granted(f)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost == nil || !bytes.HasPrefix(f[4:], c.lost)
}

// granted notes the session: protocol, timeout, id, password.
func (c *connection) granted(f []byte) {
	const head = 4 + 4 + 4
	if len(f) < head+8+4 {
		return
	}
	s := Session{ID: int64(binary.BigEndian.Uint64(f[head:])), server: c.server}
	if n := int(binary.BigEndian.Uint32(f[head+8:])); len(f) >= head+12+n {
		s.Password = bytes.Clone(f[head+12 : head+12+n])
	}
	if s.ID != 0 {
		c.mu.Lock()
		c.session = s
		c.mu.Unlock()
	}
}

// frame reads one frame, its length included.
func frame(r io.Reader) ([]byte, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(head))
	_, err := io.ReadFull(r, body)
	return append(head, body...), err
}
