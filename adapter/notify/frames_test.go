package notify

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// stream is a connection from which sent can be read.
type stream struct {
	net.Conn
	io.Reader
}

func (s stream) Read(b []byte) (int, error) { return s.Reader.Read(b) }
func (s stream) Close() error               { return nil }

func framesOf(sent []byte, bound int) *frames {
	f := newFrames(stream{Reader: bytes.NewReader(sent)})
	f.bound = bound
	return f
}

// received is what the library makes of a connection, without the answers to pings.
func received(t require.TestingT, from io.Reader) (all []packets.ControlPacket, err error) {
	for {
		packet, err := packets.ReadPacket(from)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		if _, alive := packet.(*packets.PingrespPacket); !alive {
			all = append(all, packet)
		}
	}
}

func drawPacket(t *rapid.T) packets.ControlPacket {
	id := rapid.Uint16Range(1, 9).Draw(t, "id")
	switch rapid.IntRange(0, 5).Draw(t, "type") {
	case 0:
		return &packets.ConnackPacket{FixedHeader: packets.FixedHeader{MessageType: packets.Connack}, SessionPresent: true}
	case 1:
		return &packets.SubackPacket{FixedHeader: packets.FixedHeader{MessageType: packets.Suback}, MessageID: id, ReturnCodes: []byte{1}}
	case 2:
		return &packets.PubrelPacket{FixedHeader: packets.FixedHeader{MessageType: packets.Pubrel, Qos: 1}, MessageID: id}
	}
	p := &packets.PublishPacket{FixedHeader: packets.FixedHeader{MessageType: packets.Publish, Dup: rapid.Bool().Draw(t, "dup"), Retain: rapid.Bool().Draw(t, "retain")}}
	if p.Qos = byte(rapid.IntRange(0, 2).Draw(t, "qos")); p.Qos > 0 {
		p.MessageID = id
	}
	p.TopicName = strings.Repeat("t", rapid.IntRange(0, 300).Draw(t, "topic"))
	p.Payload = rapid.SliceOfN(rapid.Byte(), 0, 400).Draw(t, "payload")
	return p
}

// However the bytes come, the library gets the packets that were sent, with a stub in the place of
// each payload above the bound.
func TestPacketsPassAndLongPayloadsDoNot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const bound = 200
		var sent bytes.Buffer
		var want []string
		for range rapid.IntRange(0, 8).Draw(t, "packets") {
			packet := drawPacket(t)
			if err := packet.Write(&sent); err != nil {
				t.Fatal(err)
			}
			if p, ok := packet.(*packets.PublishPacket); ok && len(p.Payload) > bound {
				p.Payload = newStub(len(p.Payload))
				_ = p.Write(io.Discard) // sets the length
			}
			want = append(want, packet.String())
		}
		f := framesOf(sent.Bytes(), bound)
		var from io.Reader = f
		if rapid.Bool().Draw(t, "bytewise") {
			f.in.Reset(iotest.OneByteReader(&sent))
			from = iotest.OneByteReader(f)
		}
		all, err := received(t, from)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, packet := range all {
			got = append(got, packet.String())
			if p, ok := packet.(*packets.PublishPacket); ok {
				f.took(len(p.Payload))
			}
		}
		require.Equal(t, want, got)
		require.Zero(t, f.handed)
	})
}

// An end within a packet is an error, wherever it is.
func TestATruncatedPacketIsAnError(t *testing.T) {
	whole := message(1, strings.Repeat("x", 300))
	for _, bound := range []int{1000, 100} {
		for end := 1; end < len(whole); end++ {
			all, err := received(t, framesOf(whole[:end], bound))
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			require.Empty(t, all)
		}
	}
}

func TestAPacketThatNoBrokerMaySendEndsTheConnection(t *testing.T) {
	_, err := received(t, framesOf([]byte{packets.Disconnect << 4, 0}, maxBytes))
	require.EqualError(t, err, "the broker ended it")
	for kind := range byte(16) {
		if kind == packets.Disconnect {
			continue
		}
		for length := range byte(8) {
			if want, ok := answerLengths[kind]; kind == packets.Publish || ok && int(length) == want {
				continue
			}
			packet := append([]byte{kind << 4, length}, make([]byte, length)...)
			_, err := received(t, framesOf(packet, maxBytes))
			require.ErrorContains(t, err, "none that a broker may send", "type %d, length %d", kind, length)
		}
	}
	endless := []byte{packets.Publish << 4, 0xff, 0xff, 0xff, 0xff, 0x01}
	_, err = received(t, framesOf(endless, maxBytes))
	require.ErrorContains(t, err, "more than four bytes")
	for _, packet := range [][]byte{
		{packets.Publish << 4, 1, 0},                    // no room for a topic
		{packets.Publish << 4, 3, 0, 2, 'a'},            // a topic that is longer than the packet
		{packets.Publish<<4 | 1<<1, 3, 0, 1, 'a'},       // no room for an id
		{packets.Publish<<4 | 3<<1, 5, 0, 1, 'a', 0, 1}, // QoS 3
		{packets.Publish << 4, 3, 0xff, 0xff, 'a', 'b'}, // the same, with what follows
	} {
		_, err := received(t, framesOf(packet, maxBytes))
		require.ErrorContains(t, err, "read message", "%v", packet)
	}
}

// The broker cannot answer a ping before the end of a packet, and the library gives up a connection
// on which no answer comes.
func TestALongPayloadShowsThatTheBrokerLives(t *testing.T) {
	const steps = 10
	f := framesOf(append(header(1, steps*skipStep), make([]byte, steps*skipStep)...), 100)
	for range steps {
		packet, err := packets.ReadPacket(f)
		require.NoError(t, err)
		require.IsType(t, &packets.PingrespPacket{}, packet)
	}
	packet, err := packets.ReadPacket(f)
	require.NoError(t, err)
	size, ok := stubSize(packet.(*packets.PublishPacket).Payload)
	require.True(t, ok)
	require.Equal(t, steps*skipStep, size)
}

func TestTheLibraryHoldsSoMuchAndNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent []byte
		for id := range uint16(4) {
			sent = append(sent, message(id, strings.Repeat("x", 40))...)
		}
		sent = append(sent, message(5, strings.Repeat("x", 90))...)
		f := framesOf(sent, 100)
		f.handedBound = 80
		given := make(chan int, 5)
		ended := make(chan error, 1)
		go func() {
			for {
				packet, err := packets.ReadPacket(f)
				if err != nil {
					ended <- err
					return
				}
				given <- len(packet.(*packets.PublishPacket).Payload)
			}
		}()
		expect := func(n int) {
			synctest.Wait()
			require.Len(t, given, n)
		}
		expect(2)
		f.took(<-given)
		expect(2)
		f.took(<-given + <-given)
		expect(1)
		f.took(<-given)
		expect(1) // the last is longer than the bound, and so comes alone
		require.ErrorIs(t, <-ended, io.EOF)
	})
}

func TestAWaitForRoomEndsWithTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := framesOf(append(message(1, "a"), message(2, "b")...), 100)
		f.handedBound = 1
		ended := make(chan error, 1)
		go func() {
			_, err := received(t, f)
			ended <- err
		}()
		synctest.Wait()
		require.Empty(t, ended)
		require.NoError(t, f.Close())
		require.ErrorIs(t, <-ended, net.ErrClosed)
	})
}

// A list of the shortest elements has few bytes and would fill the memory.
func TestTooManyElementsAreNotDecoded(t *testing.T) {
	few := []byte(`{"o":"bc","t":"Thing","keys":[1` + strings.Repeat(",1", maxElements/2) + `]}`)
	said, err := Decode(few, unpadded)
	require.NoError(t, err)
	require.Len(t, said.Create, maxElements/2+1)
	many := []byte(`{"o":"bc","t":"Thing","keys":[1` + strings.Repeat(",1", maxBytes/2-20) + `]}`)
	_, err = Decode(many, unpadded)
	require.ErrorIs(t, err, errOversized)
	require.ErrorContains(t, err, "at most 262144")
	_, err = Decode(newStub(1<<28), unpadded)
	require.ErrorIs(t, err, errOversized)
	require.ErrorContains(t, err, "268435456 bytes, at most 8388608")
	require.Less(t, testing.AllocsPerRun(1, func() { _, _ = Decode(many, unpadded) }), 20.0)
}

// Whatever a broker sends, the library does not panic, and holds no more than the bounds say.
func FuzzFrames(f *testing.F) {
	f.Add(message(1, `{"o":"c"}`))
	f.Add(append([]byte{packets.Connack << 4, 2, 0, 0, packets.Suback << 4, 3, 0, 1, 1}, header(2, 300)...))
	f.Fuzz(func(t *testing.T, sent []byte) {
		const bound = 100
		frames := framesOf(sent, bound)
		for {
			packet, err := packets.ReadPacket(frames)
			if err != nil {
				return
			}
			if p, ok := packet.(*packets.PublishPacket); ok {
				require.LessOrEqual(t, len(p.Payload), bound)
				frames.took(len(p.Payload))
			}
		}
	})
}
