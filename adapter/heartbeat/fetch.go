package heartbeat

import (
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/fetch"
)

// fetchBytes is the most one answer holds, save that a broker always sends a whole batch.
const fetchBytes = 1 << 20

// answer is what a broker says to a fetch: where the partition ends, and batches.
type answer struct {
	fields
	end int64
}

// fetch asks for what is at offset of a partition and behind it; the broker waits if there is
// nothing. kafka-go's own readers are not used: they do not tell where a batch ends, so that one
// that cannot be read could not be passed over, and unpack whatever a batch unpacks to.
func (b *broker) fetch(topic string, partition int, offset int64, wait time.Duration) (*answer, error) {
	const least, most = 4, 10 // of Kafka 0.11, and the first that zstd is sent to
	version, f, err := b.ask(&fetch.Request{
		ReplicaID: -1, MaxWaitTime: int32(wait.Milliseconds()), MinBytes: 1, MaxBytes: fetchBytes, SessionEpoch: -1, //nolint:gosec // small
		Topics: []fetch.RequestTopic{{Topic: topic, Partitions: []fetch.RequestPartition{{
			Partition: int32(partition), CurrentLeaderEpoch: -1, FetchOffset: offset, LogStartOffset: -1, PartitionMaxBytes: fetchBytes, //nolint:gosec // its number
		}}}},
	}, least, most)
	if err != nil {
		return nil, err
	}
	a := &answer{fields: f}
	if err := a.begin(version); err != nil {
		return nil, fmt.Errorf("read answer to Fetch: %w", err)
	}
	return a, nil
}

// begin reads an answer up to its batches.
func (a *answer) begin(version int16) error {
	a.skip(4) // throttle
	whole := int16(0)
	if version >= 7 {
		whole = a.int16()
		a.skip(4) // session
	}
	topics := a.int32()
	a.skip(int(a.int16())) // the topic's name
	partitions := a.int32()
	a.skip(4) // the partition's number
	code := a.int16()
	a.end = a.int64()
	a.skip(8) // last stable offset
	if version >= 5 {
		a.skip(8) // start of the log
	}
	a.skip(16 * max(0, int(a.int32()))) // aborted transactions
	size := max(0, int(a.int32()))
	switch {
	case whole != 0:
		return kafka.Error(whole)
	case a.err != nil:
		return a.err
	case topics != 1 || partitions != 1 || size != a.left:
		return fmt.Errorf("%d topics, %d partitions and %d bytes in %d", topics, partitions, size, a.left)
	case code != 0:
		return errors.Join(kafka.Error(code), a.close())
	}
	return nil
}

// next is the next batch; io.EOF behind the last whole one.
func (a *answer) next() (batch, error) {
	b, taken, err := readBatch(a.in, a.left)
	a.left -= taken
	if err == nil && b.body == nil {
		a.skip(b.size - taken)
		err = a.err
	}
	return b, err
}

// close reads what is left, so that the connection can be used again.
func (a *answer) close() error {
	a.skip(a.left)
	return a.err
}
