package notify

import (
	"bytes"
	"encoding/binary"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/testbed/observedtest"
)

// These tests receive from a broker that sends what the test says, byte by byte.

// serve accepts one connection on loopback, takes the CONNECT and the SUBSCRIBE, and leaves the
// rest to script. It returns the Config that leads there.
func serve(t *testing.T, script func(conn net.Conn)) Config {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		accept(t, conn)
		script(conn)
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	return Config{Broker: "tcp://" + listener.Addr().String(), ClientID: "scripted", Topic: "cm/notify"}
}

func accept(t *testing.T, conn net.Conn) {
	_, err := packets.ReadPacket(conn)
	assert.NoError(t, err)
	_, err = conn.Write([]byte{packets.Connack << 4, 2, 0, 0})
	assert.NoError(t, err)
	id := await[*packets.SubscribePacket](t, conn).MessageID
	_, err = conn.Write([]byte{packets.Suback << 4, 3, byte(id >> 8), byte(id), 1})
	assert.NoError(t, err)
}

// await reads packets until one of type P comes.
func await[P packets.ControlPacket](t *testing.T, conn net.Conn) P {
	for {
		packet, err := packets.ReadPacket(conn)
		if !assert.NoError(t, err) {
			var none P
			return none
		}
		if wanted, ok := packet.(P); ok {
			return wanted
		}
	}
}

// header is what a QoS 1 message of that many bytes begins with.
func header(id uint16, size int) []byte {
	const topic = "cm/notify"
	head := []byte{packets.Publish<<4 | 1<<1}
	head = binary.AppendUvarint(head, uint64(2+len(topic)+2+size))
	head = append(binary.BigEndian.AppendUint16(head, uint16(len(topic))), topic...)
	return binary.BigEndian.AppendUint16(head, id)
}

func message(id uint16, payload string) []byte { return append(header(id, len(payload)), payload...) }

// The size is the greatest that MQTT has. It is the broker that is huge: what passes here, and is
// acknowledged, must not need its memory.
func TestAHugeMessageIsNotRead(t *testing.T) {
	const size = 268_435_455 - 2 - len("cm/notify") - 2
	acknowledged := make(chan uint16, 2)
	cfg := serve(t, func(conn net.Conn) {
		_, err := conn.Write(header(7, size))
		assert.NoError(t, err)
		blank := bytes.Repeat([]byte(" "), 64<<10)
		for left := size; left > 0 && err == nil; left -= min(left, len(blank)) {
			_, err = conn.Write(blank[:min(left, len(blank))])
		}
		assert.NoError(t, err)
		_, err = conn.Write(message(8, create("Thing", "after")))
		assert.NoError(t, err)
		for range 2 {
			acknowledged <- await[*packets.PubackPacket](t, conn).MessageID
		}
	})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	s := newStore()
	r := run(t, cfg, s)
	s.await(t, "Thing", "after")
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(32<<20), "bytes allocated in all")
	require.EqualValues(t, 1, testutil.ToFloat64(r.metrics.messages.WithLabelValues("oversized")))
	require.Equal(t, 2, s.reconciled("Thing"), "for the connection and for the message")
	require.Equal(t, 2, s.reconciled("Rule"))
	require.EqualValues(t, 7, <-acknowledged)
	require.EqualValues(t, 8, <-acknowledged)
}

// The library keeps every message until it is acknowledged, unless it is told not to: those that
// found no room here as well.
func TestWhatIsLeftToTheBrokerIsNotKept(t *testing.T) {
	const messages, size = 24, 3 << 20
	cfg := serve(t, func(conn net.Conn) {
		long := create("Thing", "a") + strings.Repeat(" ", size)
		for id := range uint16(messages) {
			if _, err := conn.Write(message(id+1, long)); !assert.NoError(t, err) {
				return
			}
		}
		_, _ = packets.ReadPacket(conn) // until the end
	})
	s := newStore()
	s.setFault(func(string) error { return assert.AnError })
	held := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc) //nolint:gosec // not that large
	}
	before := held()
	r := run(t, cfg, s)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.EqualValues(c, messages, testutil.ToFloat64(r.metrics.messages.WithLabelValues("create")))
	}, observedtest.Patience, 5*time.Millisecond)
	require.Less(t, held()-before, int64(48<<20), "bytes held of %d received", messages*size)
}
