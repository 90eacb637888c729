package zk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// frames is a connection to a server of ZooKeeper. It reads each answer whole and looks at it
// before go-zookeeper does: that makes room for whatever a length or a count seems to announce, and
// ends the process where an answer is cut off at some places. An answer that the server cannot have
// meant ends the connection.
//
// No read waits longer than half the session timeout. The client would wait 6.7 times the session
// for the answer to its handshake, and without any limit between frames. Pings go out every third
// of a session, so one without requests is never cut off.
//
// Reads and read deadlines come from one goroutine at a time, and so do writes; each write is one
// request.
type frames struct {
	net.Conn
	session *session
	limit   time.Duration // of a read
	// given is what is left of the present answer; greeted says that the first one has come.
	given   []byte
	greeted bool
	asked   bool // the session, by the first request
	// operations are what is asked and not answered, by the request's number.
	operations sync.Map
}

func (f *frames) SetReadDeadline(t time.Time) error {
	latest := time.Now().Add(f.limit)
	if t.IsZero() || t.After(latest) {
		t = latest
	}
	return f.Conn.SetReadDeadline(t)
}

const (
	lengthBytes = 4
	// answerHeader is the request's number, a transaction's and an error.
	answerHeader = 4 + 8 + 4
	// greeting is version, session timeout, session and the length of its password.
	greeting, longestGreeting = 4 + 4 + 8 + 4, 1 << 10 // more than any server sends
)

// The operations that are looked at, by the protocol's numbers.
const (
	askedCreate, askedExists, askedData, askedSet, askedChildren = 1, 3, 4, 5, 8
	askedSync, askedChildrenAndStat, askedMulti, answeredError   = 9, 12, 14, -1
)

// statBytes is the length of a znode's stat.
const statBytes = 68

// Write notes and counts what is asked; a ping, of a number below 0, is passed over.
func (f *frames) Write(request []byte) (int, error) {
	const operation = lengthBytes + 4
	if f.asked && len(request) >= operation+4 && int32At(request[lengthBytes:]) >= 0 {
		f.operations.Store(int32At(request[lengthBytes:]), int32At(request[operation:]))
		f.session.link.metrics.sent(int32At(request[operation:]))
	}
	f.asked = true
	return f.Conn.Write(request)
}

// Read gives the next bytes of an answer that was read whole.
func (f *frames) Read(b []byte) (int, error) {
	if len(f.given) == 0 {
		if err := f.next(); err != nil {
			switch {
			case errors.Is(err, errNoAnswer):
				f.session.link.setTrouble(fmt.Errorf("talk to %s: %w", f.RemoteAddr(), err))
			case !isClosed(f.session.up):
				f.session.link.setTrouble(fmt.Errorf("handshake with %s: %w", f.RemoteAddr(), cause(err)))
			}
			return 0, err
		}
	}
	n := copy(b, f.given)
	f.given = f.given[n:]
	return n, nil
}

func (f *frames) next() error {
	var length [lengthBytes]byte
	if _, err := io.ReadFull(f.Conn, length[:]); err != nil {
		return err
	}
	least, most := answerHeader, maxAnswer
	if !f.greeted {
		least, most = greeting, longestGreeting
	}
	size := int(binary.BigEndian.Uint32(length[:]))
	if size < least || size > most {
		return fmt.Errorf("%w: %d bytes, want %d to %d", errNoAnswer, size, least, most)
	}
	// grows with what really comes
	answer := bytes.NewBuffer(append(make([]byte, 0, lengthBytes+min(size, 1<<16)), length[:]...))
	if _, err := io.CopyN(answer, f.Conn, int64(size)); err != nil {
		return err
	}
	if err := f.check(answer.Bytes()[lengthBytes:]); err != nil {
		return err
	}
	f.given = answer.Bytes()
	return nil
}

var errNoAnswer = errors.New("this is no answer of a ZooKeeper server")

func (f *frames) check(answer []byte) error {
	if !f.greeted {
		f.greeted = true
		if err := checkGreeting(answer); err != nil {
			return err
		}
		if granted := time.Duration(int32At(answer[4:])) * time.Millisecond; granted > 0 {
			// a server that refuses grants 0
			f.limit = granted / 2
			f.session.granted.Store(int64(granted)) // the client keeps it to itself
		}
		return nil
	}
	number, failed := int32At(answer), int32At(answer[answerHeader-4:]) != 0
	if number < 0 { // a ping's, or an event
		return nil
	}
	asked, _ := f.operations.LoadAndDelete(number)
	if operation, _ := asked.(int32); !failed && !hasShape(operation, answer[answerHeader:]) {
		return fmt.Errorf("%w: it is cut off, to a request of type %d", errNoAnswer, operation)
	}
	return nil
}

// checkGreeting looks at the answer that opens a session, or says that it has ended: number 0.
func checkGreeting(answer []byte) error {
	timeout, session := int32At(answer[4:]), binary.BigEndian.Uint64(answer[8:])
	password, ok := skipBytes(answer[greeting-4:])
	switch {
	case !ok:
		return fmt.Errorf("%w: it is cut off", errNoAnswer)
	case session != 0 && timeout <= 0:
		return fmt.Errorf("%w: it grants a session of %d ms", errNoAnswer, timeout)
	case len(password) > 1: // whether the server is read-only
		return fmt.Errorf("%w: %d bytes too many", errNoAnswer, len(password))
	}
	return nil
}

// hasShape says whether the lengths and counts in the answer to an operation fit into it.
func hasShape(operation int32, body []byte) bool {
	switch operation {
	case askedData:
		rest, ok := skipBytes(body)
		return ok && len(rest) >= statBytes
	case askedChildren, askedChildrenAndStat:
		return hasStrings(body)
	case askedMulti:
		return hasResults(body)
	}
	return true
}

// skipBytes passes over bytes, or a text, behind their length; -1 stands for none.
func skipBytes(b []byte) (rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, false
	}
	n := max(0, int(int32At(b)))
	if rest = b[4:]; n > len(rest) {
		return nil, false
	}
	return rest[n:], true
}

func hasStrings(b []byte) bool {
	if len(b) < 4 || int32At(b) < 0 {
		return false
	}
	count, ok := int32At(b), true
	for b = b[4:]; count > 0 && ok; count-- {
		b, ok = skipBytes(b)
	}
	return ok
}

// hasResults looks at a transaction's results, each behind its type, an end mark and an error.
func hasResults(b []byte) bool {
	const header = 4 + 1 + 4
	for len(b) >= header {
		kind, last := int32At(b), b[4] != 0
		if b = b[header:]; last {
			return true
		}
		size, ok := 0, true
		switch kind {
		case askedCreate:
			b, ok = skipBytes(b)
		case askedSet:
			size = statBytes
		case answeredError:
			size = 4
		}
		if !ok || size > len(b) {
			return false
		}
		b = b[size:]
	}
	return false
}

func int32At(b []byte) int32 { return int32(binary.BigEndian.Uint32(b)) } //nolint:gosec // as it was written
