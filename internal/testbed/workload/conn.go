package workload

import (
	"context"
	"encoding/binary"
	"net"
	"sync/atomic"
	"time"

	"github.com/shardscaler/shardscaler/internal/testbed/gate"
)

// line is the network cable of one instance: every TCP connection of its ZooKeeper client goes
// through it, so that an instance can be frozen (nothing is sent, the server ends the session) or
// cut (the session is not closed, only dropped), and so that the session timeout the server granted
// and the time of its last answer can be read, which the client hides.
type line struct {
	// clamp bounds how long a read or a write may wait: the client's own limit for the handshake is
	// 6.7 session timeouts, so that one frozen server of three would cost the session.
	clamp time.Duration
	// granted is the session timeout in milliseconds, heard the unix nanoseconds of the last
	// answer; 0: none yet.
	granted atomic.Int64
	heard   atomic.Int64

	gate gate.Gate       // shut while it is frozen
	down context.Context // over once the cable is cut, for ever
	cut  context.CancelFunc
}

func newLine(clamp time.Duration) *line {
	down, cut := context.WithCancel(context.Background())
	return &line{clamp: clamp, down: down, cut: cut}
}

// silence is the time since ZooKeeper last answered; 0 when it never did.
func (l *line) silence() time.Duration {
	heard := l.heard.Load()
	if heard == 0 {
		return 0
	}
	return time.Since(time.Unix(0, heard))
}

func (l *line) session() time.Duration { return time.Duration(l.granted.Load()) * time.Millisecond }

// dial is a zk.Dialer.
func (l *line) dial(network, address string, timeout time.Duration) (net.Conn, error) {
	if err := l.gate.Pass(l.down); err != nil {
		return nil, err
	}
	conn, err := net.DialTimeout(network, address, timeout)
	if err != nil {
		return nil, err
	}
	return &lineConn{Conn: conn, line: l}, nil
}

// lineConn is one TCP connection of a line.
type lineConn struct {
	net.Conn
	line *line
	// greeting collects the first bytes read: length, protocol version, granted timeout.
	greeting []byte
}

const (
	greetingBytes   = 12
	greetingTimeout = 8 // offset of the granted timeout
)

func (c *lineConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n == 0 {
		return n, err
	}
	if len(c.greeting) < greetingBytes {
		c.greeting = append(c.greeting, p[:min(n, greetingBytes-len(c.greeting))]...)
		if len(c.greeting) == greetingBytes {
			// A session that has expired is answered with a timeout of 0.
			if ms := int64(binary.BigEndian.Uint32(c.greeting[greetingTimeout:])); ms > 0 {
				c.line.granted.Store(ms)
			}
		}
	}
	c.line.heard.Store(time.Now().UnixNano())
	return n, err
}

func (c *lineConn) Write(p []byte) (int, error) {
	if err := c.line.gate.Pass(c.line.down); err != nil {
		_ = c.Conn.Close()
		return 0, err
	}
	if err := c.Conn.SetWriteDeadline(time.Now().Add(c.line.clamp)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// SetWriteDeadline does nothing: Write sets its own once it may pass, else a thawed write would
// fail for a reason of our making.
func (c *lineConn) SetWriteDeadline(time.Time) error { return nil }

func (c *lineConn) SetReadDeadline(t time.Time) error {
	limit := time.Now().Add(c.line.clamp)
	if t.IsZero() || t.After(limit) {
		t = limit
	}
	return c.Conn.SetReadDeadline(t)
}
