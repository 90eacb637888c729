package heartbeat

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/observedtest"
)

func kinds(topic string, names ...string) []config.Kind {
	var all []config.Kind
	for _, name := range names {
		all = append(all, config.Kind{Name: name, Heartbeat: &config.Heartbeat{Topic: topic}})
	}
	return append(all, config.Kind{Name: "Rule"})
}

func newSource(brokers string, names ...string) *Source {
	s := New(Config{Brokers: strings.Split(brokers, ",")}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	s.refresh, s.poll, s.patience = time.Second, 200*time.Millisecond, time.Second
	s.Configure(kinds("HeartBeat", names...))
	return s
}

func sec(n int) time.Time { return time.Unix(1_760_000_000+int64(n), 0) }

func TestAProofIsTheTimeUpToWhichAllWasRead(t *testing.T) {
	p := newSource("localhost:1", "Thing").newTopic("HeartBeat", nil, nil).newPartition(kafka.Partition{})
	answer := func(next int64, at int, end int64) time.Time {
		p.next = next
		p.prove(sec(at), end)
		return p.proof.Load().at
	}
	require.Zero(t, answer(10, 1, 100), "far behind")
	require.Zero(t, answer(50, 2, 120), "nearer")
	require.Equal(t, sec(1), answer(100, 3, 140), "what the first answer promised was read")
	require.Equal(t, sec(1), answer(130, 4, 150), "the third answer's end was not reached")
	require.Equal(t, sec(3), answer(145, 5, 160), "now it is, though the end ran away all the time")
	require.Equal(t, sec(6), answer(160, 6, 160), "caught up")
	require.Equal(t, sec(7), answer(160, 7, 160), "silence is proof too")
}

func TestWhatCannotBeReadIsPassedOverAfterAWhile(t *testing.T) {
	p := newSource("localhost:1", "Thing").newTopic("HeartBeat", nil, nil).newPartition(kafka.Partition{})
	p.next = 10
	broken := errors.New("broken batch")
	for range maxStuck - 1 {
		require.Equal(t, broken, p.passOver(t.Context(), 10, 20, broken))
		require.EqualValues(t, 10, p.next)
	}
	require.Equal(t, broken, p.passOver(t.Context(), 10, 20, broken))
	require.EqualValues(t, 20, p.next)
	require.EqualValues(t, 1, testutil.ToFloat64(p.metrics.messages.WithLabelValues("HeartBeat", "unreadable")))

	p.next = 25
	require.NoError(t, p.passOver(t.Context(), 20, 30, nil))
	require.Zero(t, p.stuck, "an answer that brings something is no trouble")
	require.NoError(t, p.passOver(t.Context(), 25, 25, nil))
	require.Zero(t, p.stuck, "nor is one that has nothing to bring")
}

func TestMessagesAreToldApart(t *testing.T) {
	var rec observedtest.Recorder
	p := newSource("localhost:1", "Thing").newTopic("HeartBeat", []string{"Thing"}, rec.Sink).newPartition(kafka.Partition{})
	for _, m := range []string{
		`{"resource":"Thing","instanceId":"3","timestamp":"1760000000"}`,
		`{"resource":"Rule","instanceId":"3","timestamp":"1760000000"}`,
		`{"resource":"Thing"`, string(make([]byte, maxBytes+1)),
	} {
		p.message(batch{}, record{value: []byte(m)})
	}
	require.Len(t, rec.All(), 1)
	beat := rec.All()[0].(observed.Beat)
	require.Equal(t, 3, beat.Ordinal)
	require.Equal(t, sec(0), beat.At)
	for _, result := range []string{"beat", "foreign", "malformed", "oversized"} {
		require.EqualValues(t, 1, testutil.ToFloat64(p.metrics.messages.WithLabelValues("HeartBeat", result)), result)
	}
}

// One bad producer cannot fill our log.
func TestWhatIsPassedOverIsSampledInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		source := New(Config{}, slog.New(slog.NewTextHandler(&log, nil)), prometheus.NewRegistry())
		p := source.newTopic("HeartBeat", nil, nil).newPartition(kafka.Partition{})
		lines := func() int { return bytes.Count(log.Bytes(), []byte("heartbeat passed over")) }
		for range 1000 {
			p.message(batch{}, record{value: bytes.Repeat([]byte("x"), maxBytes)})
		}
		require.Equal(t, 5, lines(), "some of the first are shown")
		require.Less(t, log.Len(), maxBytes, "and of each only the beginning")
		time.Sleep(10 * time.Second)
		p.message(batch{}, record{value: []byte("x")})
		p.message(batch{}, record{value: []byte("x")})
		require.Equal(t, 6, lines(), "then one now and then")
		require.EqualValues(t, 1002, testutil.ToFloat64(p.metrics.messages.WithLabelValues("HeartBeat", "malformed")), "all are counted")
	})
}

// answering is an answer with these batches.
func answering(batches ...kept) *fields {
	var sent []byte
	for _, b := range batches {
		sent = append(sent, b.bytes()...)
	}
	return &fields{rest: sent}
}

func beatAt(base int64, ordinal int, attributes int16) kept {
	value := fmt.Appendf(nil, `{"resource":"Thing","instanceId":%d,"timestamp":1760000000}`, ordinal)
	return kept{base: base, last: base, attributes: attributes, records: []record{{offset: base, value: value}}}
}

// beatenBy are the ordinals whose beats were handed on.
func beatenBy(rec *observedtest.Recorder) (ordinals []int) {
	for _, sig := range rec.All() {
		ordinals = append(ordinals, sig.(observed.Beat).Ordinal)
	}
	return ordinals
}

// cutOff answers a Fetch of the partition with one topic whose log ends at offset 100 and these
// batches, but breaks off when so many bytes of the batches are sent.
func cutOff(t *testing.T, p *partition, batches []byte, sent int) error {
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() {
		defer theirs.Close()
		var size [4]byte
		if _, err := io.ReadFull(theirs, size[:]); err != nil {
			return
		}
		_, _ = io.CopyN(io.Discard, theirs, int64(binary.BigEndian.Uint32(size[:])))
		var b []byte
		for _, n := range []uint32{1, 0, 1} { // the request's number, throttle, topics
			b = binary.BigEndian.AppendUint32(b, n)
		}
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(p.name))), p.name...)
		b = binary.BigEndian.AppendUint64(b, 1<<32) // one partition, number 0
		b = binary.BigEndian.AppendUint16(b, 0)     // no error
		b = binary.BigEndian.AppendUint64(b, 100)   // end
		b = binary.BigEndian.AppendUint64(b, 100)   // last stable offset
		b = binary.BigEndian.AppendUint32(b, 0)     // aborted transactions
		b = binary.BigEndian.AppendUint32(b, uint32(len(batches)))
		_, _ = theirs.Write(binary.BigEndian.AppendUint32(nil, uint32(len(b)+len(batches))))
		_, _ = theirs.Write(append(b, batches[:sent]...))
	}()
	fetches := kafka.ApiVersion{ApiKey: int16(protocol.Fetch), MinVersion: 0, MaxVersion: 4}
	return p.fetch(t.Context(), &broker{raw: ours, in: bufio.NewReader(ours), versions: []kafka.ApiVersion{fetches}})
}

// A connection that is too slow or breaks in every answer gets on by what came, and one that never
// brings a whole batch does not blind us for ever.
func TestAnAnswerThatIsCutOffBringsWhatCame(t *testing.T) {
	var rec observedtest.Recorder
	p := newSource("localhost:1", "Thing").newTopic("HeartBeat", []string{"Thing"}, rec.Sink).newPartition(kafka.Partition{})
	p.next = 10
	first, second := beatAt(10, 1, 0).bytes(), beatAt(11, 2, 0).bytes()
	both := slices.Concat(first, second)
	require.ErrorIs(t, cutOff(t, p, both, len(first)+5), io.ErrUnexpectedEOF)
	require.EqualValues(t, 11, p.next)
	require.Equal(t, []int{1}, beatenBy(&rec))
	require.Zero(t, p.proof.Load().at, "what did not come proves nothing")

	large := kept{base: 11, last: 18}.header(2 * maxBatch)
	require.Error(t, cutOff(t, p, slices.Concat(large, make([]byte, 2*maxBatch)), len(large)))
	require.EqualValues(t, 19, p.next, "where a batch that is too large ends is known from its header")

	for range maxStuck {
		require.EqualValues(t, 19, p.next)
		require.Error(t, cutOff(t, p, second, len(second)-1))
	}
	require.EqualValues(t, 100, p.next, "the end of the log")
}

func TestAPanicAtABatchPassesItOver(t *testing.T) {
	var rec observedtest.Recorder
	p := newSource("localhost:1", "Thing").newTopic("HeartBeat", []string{"Thing"}, rec.Sink).newPartition(kafka.Partition{})
	packed := int16(compress.Gzip)
	p.unpack = func(codec int8, packed []byte) ([]byte, error) {
		plain, err := unpack(codec, packed)
		if bytes.Contains(plain, []byte(`"instanceId":2`)) {
			panic("negative count")
		}
		return plain, err
	}
	p.next = 10
	require.NoError(t, p.drain(answering(beatAt(10, 1, packed), beatAt(11, 2, packed), beatAt(12, 3, packed))))
	require.Equal(t, []int{1, 3}, beatenBy(&rec))
	require.EqualValues(t, 13, p.next)
	require.EqualValues(t, 1, testutil.ToFloat64(p.metrics.panics.WithLabelValues("HeartBeat")))
	require.EqualValues(t, 1, testutil.ToFloat64(p.metrics.messages.WithLabelValues("HeartBeat", "unreadable")))
}

// What compaction leaves of a batch may be nothing, and a fetch from within one brings it whole.
func TestCompactedBatchesAndWhatWasReadBefore(t *testing.T) {
	var rec observedtest.Recorder
	p := newSource("localhost:1", "Thing").newTopic("HeartBeat", []string{"Thing"}, rec.Sink).newPartition(kafka.Partition{})
	two := beatAt(10, 1, 0)
	two.records = append(two.records, record{offset: 11, value: beatAt(11, 2, 0).records[0].value})
	two.last = 14
	p.next = 11
	require.NoError(t, p.drain(answering(two, kept{base: 15, last: 19}, beatAt(25, 3, 0), kept{base: 30, last: 39})))
	require.Equal(t, []int{2, 3}, beatenBy(&rec))
	require.EqualValues(t, 40, p.next)
}
