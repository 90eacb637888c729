package zkproxy

import (
	"encoding/binary"
	"net"
	"testing"
)

// timeoutMs is what a connection of our own asks for.
const timeoutMs = 4000

// join opens a connection of a session; the zero Session is a new one.
func join(t testing.TB, server string, s Session) net.Conn {
	t.Helper()
	if s.Password == nil {
		s.Password = make([]byte, 16)
	}
	conn, err := net.Dial("tcp", server)
	if err != nil {
		t.Fatal(err)
	}
	hello := binary.BigEndian.AppendUint32(nil, uint32(28+len(s.Password)))
	hello = binary.BigEndian.AppendUint32(hello, 0)
	hello = binary.BigEndian.AppendUint64(hello, 0)
	hello = binary.BigEndian.AppendUint32(hello, timeoutMs)
	hello = binary.BigEndian.AppendUint64(hello, uint64(s.ID))
	hello = binary.BigEndian.AppendUint32(hello, uint32(len(s.Password)))
	if _, err = conn.Write(append(hello, s.Password...)); err == nil {
		_, err = frame(conn)
	}
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// Expire ends the latest session that was granted through the proxy, by joining it from another
// connection and closing it there.
func (p *Proxy) Expire(t testing.TB) {
	t.Helper()
	last := p.Session()
	if last.ID == 0 {
		t.Fatal("expire a session: none was granted")
	}
	ExpireSession(t, last.server, last.ID, last.Password)
}

// ExpireSession ends any session.
func ExpireSession(t testing.TB, server string, id int64, password []byte) {
	t.Helper()
	conn := join(t, server, Session{ID: id, Password: password})
	defer conn.Close()
	// length, xid, type -11: close
	const goodbye = "\x00\x00\x00\x08" + "\x00\x00\x00\x01" + "\xff\xff\xff\xf5"
	if _, err := conn.Write([]byte(goodbye)); err != nil {
		t.Fatal(err)
	}
	_, _ = frame(conn)
}

// Late delivers the transaction that was harmed (or remembered) once more, over a session of its
// own, as a server that had been frozen would, and says whether it was done.
func (p *Proxy) Late(t testing.TB) (done bool) {
	t.Helper()
	conn := join(t, p.servers[0], Session{})
	defer conn.Close()
	p.mu.Lock()
	held := p.held
	p.mu.Unlock()
	if _, err := conn.Write(held); err != nil {
		t.Fatal(err)
	}
	answer, err := frame(conn)
	// Length, xid, zxid, error; then the first answer's type, which is an error if nothing was
	// done.
	const first = 4 + 4 + 8 + 4
	if err != nil || len(answer) < first+4 {
		t.Fatalf("answer of %d bytes, %v", len(answer), err)
	}
	kind := int32(binary.BigEndian.Uint32(answer[first:]))
	if kind != -1 && kind != opCheck {
		t.Fatalf("the first answer is of type %d", kind)
	}
	return kind == opCheck
}
