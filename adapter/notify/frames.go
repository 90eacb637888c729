package notify

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

const (
	// maxHanded is how many bytes of payloads the library may hold that receive has not seen yet.
	// One message alone may have more.
	maxHanded = 2 * maxBytes
	// skipStep is how much of a payload is skipped between two signs of life for the library. It
	// gives a connection up that shows none for pingTimeout.
	skipStep = 64 << 10
	// maxLength is the most bytes of a packet: MQTT sends the length in four bytes of seven bits.
	maxLength = 1<<(4*7) - 1
)

// frames is a connection to a broker. It follows the packets that the broker sends (MQTT 3.1.1) and
// keeps from the library, which reads every packet whole, what could harm the process there: a
// payload above the bound is skipped as it comes, and the library gets a stub in its place, so that
// the message is received, counted and acknowledged; a packet that no broker may send ends the
// connection.
type frames struct {
	net.Conn
	in *bufio.Reader
	// Bounds: maxBytes and maxHanded, except in tests.
	bound, handedBound int

	given  []byte // is given to the library next
	passed int    // after that, so many bytes pass as they come
	// skipped bytes of a payload are left to skip; then comes stub.
	skipped int
	stub    []byte

	mu     sync.Mutex
	room   sync.Cond
	handed int
	closed bool
}

func newFrames(conn net.Conn) *frames {
	f := &frames{Conn: conn, in: bufio.NewReader(conn), bound: maxBytes, handedBound: maxHanded}
	f.room.L = &f.mu
	return f
}

// Read gives the library the next bytes of a packet.
func (f *frames) Read(b []byte) (int, error) {
	for {
		var err error
		switch {
		case len(f.given) > 0:
			n := copy(b, f.given)
			f.given = f.given[n:]
			return n, nil
		case f.passed > 0:
			n, err := f.in.Read(b[:min(len(b), f.passed)])
			f.passed -= n
			return n, err
		case f.skipped > 0:
			err = f.skip()
		case len(f.stub) > 0:
			f.given, f.stub = f.stub, nil
		default:
			err = f.next()
		}
		if err != nil {
			return 0, err
		}
	}
}

// Close ends the connection, and the wait of a Read for room.
func (f *frames) Close() error {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.room.Broadcast()
	return f.Conn.Close()
}

// answerLengths are the lengths of what a broker may send beside messages, to a client that
// subscribes to one topic at a time. The library, which cannot be guarded from here, checks none.
var answerLengths = map[byte]int{
	packets.Connack: 2, packets.Suback: 3, packets.Unsuback: 2, packets.Pingresp: 0,
	packets.Puback: 2, packets.Pubrec: 2, packets.Pubrel: 2, packets.Pubcomp: 2,
}

func (f *frames) next() error {
	first, err := f.in.ReadByte()
	if err != nil {
		return err
	}
	long, err := binary.ReadUvarint(f.in)
	switch {
	case err != nil:
		return fmt.Errorf("read packet length: %w", inside(err))
	case long > maxLength:
		return errors.New("read packet length: more than four bytes")
	}
	length := int(long) //nolint:gosec // it has 28 bits
	kind := first >> 4
	if kind == packets.Publish {
		if err := f.message(first, length); err != nil {
			return fmt.Errorf("read message: %w", err)
		}
		return nil
	}
	if kind == packets.Disconnect { // in MQTT 3.1.1 no broker sends it; some do
		return errors.New("the broker ended it")
	}
	if want, ok := answerLengths[kind]; !ok || length != want {
		return fmt.Errorf("read packet: type %d with %d bytes is none that a broker may send", kind, length)
	}
	f.given, f.passed = []byte{first, byte(length)}, length
	return nil
}

// message begins a message, whose packet has that length.
func (f *frames) message(first byte, length int) error {
	qos := first >> 1 & 3
	prefix, err := f.in.Peek(2)
	if err != nil {
		return inside(err)
	}
	head := 2 + int(binary.BigEndian.Uint16(prefix)) // the topic
	if qos > 0 {
		head += 2 // the packet's id
	}
	if qos > 2 || head > length {
		return fmt.Errorf("QoS %d and a header of %d bytes in a packet of %d", qos, head, length)
	}
	payload, stub := length-head, []byte(nil)
	if payload > f.bound {
		f.skipped, stub = payload, newStub(payload)
		payload = len(stub)
	} else {
		f.passed = payload
	}
	packet := binary.AppendUvarint([]byte{first}, uint64(head+payload)) //nolint:gosec // not negative
	packet = append(packet, make([]byte, head)...)
	if _, err := io.ReadFull(f.in, packet[len(packet)-head:]); err != nil {
		return inside(err)
	}
	if stub != nil {
		f.stub = slices.Concat(packet, stub)
	} else {
		f.given = packet
	}
	return f.hand(payload)
}

// skip drops a step of a payload. The library takes what it is given for the answer to a ping: the
// broker cannot answer one before the end of the packet.
func (f *frames) skip() error {
	n, err := f.in.Discard(min(f.skipped, skipStep))
	f.skipped -= n
	f.given = []byte{packets.Pingresp << 4, 0}
	return inside(err)
}

// hand waits until the library may have a payload of n bytes.
func (f *frames) hand(n int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.handed > 0 && f.handed+n > f.handedBound && !f.closed {
		f.room.Wait()
	}
	if f.closed {
		return net.ErrClosed
	}
	f.handed += n
	return nil
}

// took says that the library has given away a payload of n bytes.
func (f *frames) took(n int) {
	f.mu.Lock()
	f.handed -= n
	f.mu.Unlock()
	f.room.Broadcast()
}

// inside is an error within a packet, where an end is not expected.
func inside(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// newStub stands for a payload of that many bytes. It begins with a byte that no JSON text has: a
// producer that sends a stub itself is told that the message is oversized and not that it is
// malformed, and the kinds are compared with the catalogue either way.
func newStub(size int) []byte { return strconv.AppendInt([]byte{0}, int64(size), 10) }

func stubSize(payload []byte) (size int, ok bool) {
	digits, ok := bytes.CutPrefix(payload, []byte{0})
	if !ok {
		return 0, false
	}
	size, err := strconv.Atoi(string(digits))
	return size, err == nil
}
