package heartbeat

import (
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/fetch"
)

const (
	// fetchBytes is the most one answer holds, save that a broker always sends a whole batch.
	fetchBytes = 1 << 20
	// maxAnswer is the most of an answer that is kept: all that is not one batch of more than maxBatch.
	maxAnswer = maxBatch + fetchBytes
)

// fetch asks for what is at offset of a partition and behind it; the broker waits if there is
// nothing. It returns the batches, and where the partition ends. kafka-go's own readers are not used:
// they do not tell where a batch ends, so that one that cannot be read could not be passed over, and
// unpack whatever a batch unpacks to.
func (b *broker) fetch(topic string, partition int, offset int64, wait time.Duration) (batches fields, end int64, err error) {
	const least, most = 4, 10 // of Kafka 0.11, and the first that zstd is sent to
	version, size, err := b.ask(&fetch.Request{
		ReplicaID: -1, MaxWaitTime: int32(wait.Milliseconds()), MinBytes: 1, MaxBytes: fetchBytes, SessionEpoch: -1, //nolint:gosec // small
		Topics: []fetch.RequestTopic{{Topic: topic, Partitions: []fetch.RequestPartition{{
			Partition: int32(partition), CurrentLeaderEpoch: -1, FetchOffset: offset, LogStartOffset: -1, PartitionMaxBytes: fetchBytes, //nolint:gosec // its number
		}}}},
	}, least, most)
	if err != nil {
		return fields{}, 0, err
	}
	batches = b.read(min(size, maxAnswer))
	if batches.err == nil {
		batches.over, batches.err = b.in.Discard(size - len(batches.rest))
	}
	if end, err = batches.fetched(version); err != nil {
		return fields{}, 0, fmt.Errorf("read answer to Fetch: %w", err)
	}
	return batches, end, nil
}

// fetched reads an answer up to its batches, and where the partition ends.
func (f *fields) fetched(version int16) (end int64, err error) {
	f.take(4) // throttle
	whole := int16(0)
	if version >= 7 {
		whole = f.int16()
		f.take(4) // session
	}
	topics := f.int32()
	f.take(int(f.int16())) // the topic's name
	partitions := f.int32()
	f.take(4) // the partition's number
	code := f.int16()
	end = f.int64()
	f.take(8) // last stable offset
	if version >= 5 {
		f.take(8) // start of the log
	}
	f.take(16 * max(0, int(f.int32()))) // aborted transactions
	size, sent := max(0, int(f.int32())), len(f.rest)+f.over
	switch {
	case whole != 0:
		return 0, kafka.Error(whole)
	case f.err != nil:
		return 0, f.err
	case topics != 1 || partitions != 1 || size != sent:
		return 0, fmt.Errorf("%d topics, %d partitions and %d bytes in %d", topics, partitions, size, sent)
	case code != 0:
		return 0, kafka.Error(code)
	}
	return end, nil
}
