package heartbeat

import (
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/testbed/observedtest"
)

// These tests talk to a server that answers what the test says.

// serving returns the address of a server that answers each request of a connection, given without
// its size, until it has no answer.
func serving(t *testing.T, answer func(n int, request []byte) []byte) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			for n := 0; ; n++ {
				var size [4]byte
				if _, err := io.ReadFull(conn, size[:]); err != nil {
					break
				}
				request := make([]byte, binary.BigEndian.Uint32(size[:]))
				if _, err := io.ReadFull(conn, request); err != nil {
					break
				}
				said := answer(n, request)
				if _, err := conn.Write(said); err != nil || said == nil {
					break
				}
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	return listener.Addr().String()
}

// A wrong port is a common mistake, and what answers there may seem to announce gigabytes.
func TestAServerOfAnotherKindIsAnError(t *testing.T) {
	addr := serving(t, func(int, []byte) []byte {
		return []byte("HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request")
	})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r := run(t, addr, "HeartBeat", "Thing")
	f, _ := observedtest.Await(t, r.rec, 0, "failure", func(observed.Failed) bool { return true })
	runtime.ReadMemStats(&after)
	require.ErrorContains(t, f.Err, "list partitions of topic HeartBeat")
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(32<<20), "bytes allocated in all")
}

// versions is the answer to the question for the versions: each request in the least to the most
// that there is.
func versions(request []byte) []byte {
	body := append([]byte{}, request[4:8]...) // the request's number
	body = append(body, 0, 0)                 // no error
	keys := []int16{1, 2, 3}                  // fetch, list offsets, metadata
	body = binary.BigEndian.AppendUint32(body, uint32(len(keys)))
	for _, key := range keys {
		body = binary.BigEndian.AppendUint16(body, uint16(key))
		body = append(body, 0, 0, 0, 20)
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

// A broker that is broken, or malicious, costs a connection and no more.
func TestAnAnswerThatIsNoneEndsTheConnection(t *testing.T) {
	for name, c := range map[string]struct {
		said []byte
		want string
	}{
		"to another request": {[]byte{0, 0, 0, 4, 0, 0, 0, 99}, "not an answer to"},
		"shorter than any":   {[]byte{0, 0, 0, 3, 0, 0, 0, 1}, "not an answer to"},
		"too long":           {[]byte{0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1}, "at most 4194304"},
	} {
		s := newSource(serving(t, func(n int, request []byte) []byte {
			if n == 0 {
				return versions(request)
			}
			return c.said
		}), "Thing")
		conn, err := s.connect(t.Context(), s.cfg.Brokers[0])
		require.NoError(t, err, name)
		_, err = conn.partitions("HeartBeat")
		require.ErrorContains(t, err, c.want, name)
		require.NoError(t, conn.Close())
	}
}
