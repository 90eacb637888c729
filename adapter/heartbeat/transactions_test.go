package heartbeat

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/testbed/observedtest"
)

// Attributes of batches.
const (
	ofTransaction = 1 << 4
	ofControl     = 1<<5 | ofTransaction
)

// told is a producer's beat within a transaction.
func told(base, producer int64, ordinal int) kept {
	b := beatAt(base, ordinal, ofTransaction)
	b.producer = producer
	return b
}

// marker is what the broker writes at the end of a producer's transaction.
func marker(base, producer int64, commit byte) kept {
	return kept{
		base: base, last: base, attributes: ofControl, producer: producer,
		keys: [][]byte{{0, 0, 0, commit}}, records: []record{{offset: base, value: []byte{0, 0, 0, 0, 0, 0}}},
	}
}

func newPartition(sink *observedtest.Recorder) *partition {
	return newSource("localhost:1", "Thing").newTopic("HeartBeat", []string{"Thing"}, sink.Sink).newPartition(kafka.Partition{})
}

func TestBeatsOfATransactionCountWhenItIsCommitted(t *testing.T) {
	var rec observedtest.Recorder
	p := newPartition(&rec)
	const aborted, committed = 0, 1
	step := func(b kept, want ...int) {
		t.Helper()
		require.NoError(t, p.drain(answering(b)))
		require.Equal(t, want, beatenBy(&rec))
	}
	var none []int
	step(told(0, 7, 70), none...)
	step(told(1, 8, 80), none...)
	step(beatAt(2, 1, 0), 1) // of no transaction: no other one's end is waited for
	step(told(3, 7, 71), 1)
	step(told(4, 7, 70), 1)
	step(marker(5, 7, committed), 1, 70, 71, 70)
	step(marker(6, 8, aborted), 1, 70, 71, 70)
	// that of a transaction from before, of which nothing was read
	step(marker(7, 8, committed), 1, 70, 71, 70)
	step(told(8, 8, 81), 1, 70, 71, 70)
	step(marker(9, 8, committed), 1, 70, 71, 70, 81)
	for result, n := range map[string]int{"beat": 5, "aborted": 1, "malformed": 0, "unreadable": 0} {
		require.EqualValues(t, n, testutil.ToFloat64(p.metrics.messages.WithLabelValues("HeartBeat", result)), result)
	}
	require.Empty(t, p.undecided.of)
	require.Zero(t, p.undecided.total)
}

// Transactions that never end cannot fill the memory, and the longest is what is given up.
func TestBeatsOfTransactionsThatDoNotEndAreBounded(t *testing.T) {
	var rec observedtest.Recorder
	p := newPartition(&rec)
	feed := func(b kept) { require.NoError(t, p.drain(answering(b))) }
	next := int64(0)
	tell := func(producer int64, ordinal int) {
		feed(told(next, producer, ordinal))
		next++
	}
	tell(1, 1_000_000)
	for n := range 3 * maxUndecided {
		tell(2, n)
	}
	require.LessOrEqual(t, p.undecided.total, maxUndecided)
	feed(marker(next, 1, 1))
	require.Equal(t, []int{1_000_000}, beatenBy(&rec))
	require.NotZero(t, testutil.ToFloat64(p.metrics.messages.WithLabelValues("HeartBeat", "undecided")))
}
