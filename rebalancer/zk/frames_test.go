package zk

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/stretchr/testify/require"
)

// greet is the answer that opens a session of 4 s.
func greet() []byte {
	g := make([]byte, 37)
	binary.BigEndian.PutUint32(g[4:], 4000)
	g[15] = 1
	g[19] = 16
	return g
}

// answer is one to the request of that number.
func answer(number int32, body ...byte) []byte {
	head := binary.BigEndian.AppendUint32(nil, uint32(number))
	return append(append(head, make([]byte, 8+4)...), body...)
}

func framed(body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

// pretend serves connections as a server of ZooKeeper would, with these answers; each request gets
// the next one, and their numbers.
func pretend(t *testing.T, greeting []byte, answers ...func(number int32) []byte) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var conns sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		conns.Wait()
	})
	conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer conn.Close()
				next := func() []byte {
					var length [4]byte
					if _, err := io.ReadFull(conn, length[:]); err != nil {
						return nil
					}
					request := make([]byte, binary.BigEndian.Uint32(length[:]))
					if _, err := io.ReadFull(conn, request); err != nil {
						return nil
					}
					return request
				}
				next()
				conn.Write(greeting)
				for _, a := range answers {
					request := next()
					if request == nil {
						return
					}
					conn.Write(a(int32At(request)))
				}
				io.Copy(io.Discard, conn)
			})
		}
	})
	return l.Addr().String()
}

// What a server says that is none, or none that works, ends neither the process nor fills its
// memory.
func TestAServerOfAnotherKindIsRefused(t *testing.T) {
	broken := greet()
	broken[19] = 200
	endless := greet()
	binary.BigEndian.PutUint32(endless[4:], 0)
	for name, c := range map[string]struct {
		greeting []byte
		want     string
	}{
		"HTTP":                 {[]byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"), "this is no answer of a ZooKeeper server: 1213486160 bytes"},
		"SSH":                  {[]byte("SSH-2.0-OpenSSH_9.2\r\n"), "this is no answer of a ZooKeeper server: 1397966893 bytes"},
		"nothing":              {framed(nil), "this is no answer of a ZooKeeper server: 0 bytes"},
		"a password cut off":   {framed(broken), "it is cut off"},
		"a session of no time": {framed(endless), "it grants a session of 0 ms"},
	} {
		t.Run(name, func(t *testing.T) {
			c2 := client(t, Config{Servers: pretend(t, c.greeting)})
			eventually(t, c.want, func() bool {
				connected, trouble := c2.Connected()
				require.False(t, connected)
				return strings.Contains(trouble.Error(), c.want)
			})
		})
	}
}

func TestAnAnswerThatCannotBeMeantEndsTheSessionAndNotTheProcess(t *testing.T) {
	huge := []byte{0x7f, 0xff, 0xff, 0xff}
	for name, answers := range map[string]func(number int32) []byte{
		"an event without content":  func(int32) []byte { return framed([]byte{0xff, 0xff, 0xff, 0xff}) },
		"shorter than its header":   func(n int32) []byte { return framed(answer(n)[:10]) },
		"two billion children":      func(n int32) []byte { return framed(answer(n, huge...)) },
		"less than no children":     func(n int32) []byte { return framed(answer(n, 0xff, 0xff, 0xff, 0xff)) },
		"announced and not sent":    func(int32) []byte { return []byte{0x40, 0, 0, 0} },
		"larger than an answer may": func(int32) []byte { return []byte{0, 0x50, 0, 0} },
	} {
		t.Run(name, func(t *testing.T) {
			c := client(t, Config{Servers: pretend(t, framed(greet()), answers)})
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			sess, err := c.link.await(ctx)
			require.NoError(t, err)
			_, _, err = znodes{ctx: ctx, sess: sess}.Children(protocol.PoolPath(thing), true)
			require.Error(t, err)
		})
	}
}

func TestShapesOfAnswers(t *testing.T) {
	stat := hex.EncodeToString(make([]byte, statBytes))
	for _, c := range []struct {
		operation int32
		body      string
		want      bool
	}{
		{askedData, "00000002" + "6162" + stat, true},
		{askedData, "ffffffff" + stat, true},
		{askedData, "00000003" + "6162", false},
		{askedData, "7fffffff" + stat, false},
		{askedData, "", false},
		{askedChildrenAndStat, "00000000" + stat, true},
		{askedChildrenAndStat, "00000002" + "0000000161" + "0000000162" + stat, true},
		{askedChildren, "00000003" + "0000000161" + "0000000162", false},
		{askedChildren, "00000001" + "7fffffff", false},
		{askedMulti, "ffffffff01ffffffff", true},
		{askedMulti, "00000001" + "00" + "00000000" + "000000022f61" + "ffffffff01ffffffff", true},
		{askedMulti, "00000005" + "00" + "00000000" + stat + "0000000d" + "00" + "00000000" + "ffffffff01ffffffff", true},
		{askedMulti, "ffffffff" + "00" + "ffffffff" + "ffffff99" + "ffffffff01ffffffff", true},
		{askedMulti, "00000005" + "00" + "00000000" + stat, false},
		{askedMulti, "00000001" + "00" + "00000000" + "7fffffff", false},
		{askedMulti, "00000001", false},
		{askedMulti, "", false},
		{3, "", true},
	} {
		body, err := hex.DecodeString(c.body)
		require.NoError(t, err)
		require.Equal(t, c.want, hasShape(c.operation, body), "%d %s", c.operation, c.body)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(int32(askedMulti), []byte{0, 0, 0, 1})
	f.Fuzz(func(_ *testing.T, operation int32, body []byte) {
		hasShape(operation, body)
		if len(body) >= greeting {
			_ = checkGreeting(body)
		}
	})
}
