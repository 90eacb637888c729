package limits

import (
	"net"
	"sync"
)

// Listen bounds the connections that a listener has open, in all and from one source. One too many
// is closed at once, so that those of others are taken.
func Listen(l net.Listener, most, each int) net.Listener {
	return &listener{Listener: l, share: newShare(most, each)}
}

type listener struct {
	net.Listener
	share *Share
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		source := Source(conn.RemoteAddr().String())
		if l.share.Enter(source) {
			return &counted{Conn: conn, leave: sync.OnceFunc(func() { l.share.Leave(source) })}, nil
		}
		_ = conn.Close() // it has sent nothing that is answered
	}
}

// counted gives its place back when it is closed.
type counted struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *counted) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
