package limits

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// One source that opens connections and keeps them leaves room for another, and gets its own back.
func TestConnectionsOfOneSourceAreBounded(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := Listen(inner, 8, 3)
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = conn.Write([]byte("hello"))
				_, _ = io.Copy(io.Discard, conn)
			}()
		}
	}()
	dial := func(from string) (net.Conn, bool) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		conn, err := d.Dial("tcp", inner.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
		_, err = io.ReadFull(conn, make([]byte, 5))
		return conn, err == nil
	}
	var taken []net.Conn
	for range 3 {
		conn, ok := dial("127.0.0.1")
		require.True(t, ok)
		taken = append(taken, conn)
	}
	_, ok := dial("127.0.0.1")
	require.False(t, ok, "the fourth is closed")
	_, ok = dial("127.0.0.2")
	require.True(t, ok, "another source is not in its way")
	require.NoError(t, taken[0].Close())
	require.Eventually(t, func() bool {
		_, ok := dial("127.0.0.1")
		return ok
	}, time.Minute, time.Millisecond, "a place that is given back is free")
}
