package heartbeat

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

const (
	clientID = "shardscaler"
	// maxListing is the most bytes of a listing of one topic's partitions.
	maxListing = 4 << 20
	// fetchBytes is the most one answer holds, save that a broker always sends a whole batch.
	fetchBytes = 1 << 20
	// maxAnswer is the most of an answer that is kept: all that is not one batch of more than
	// maxBatch.
	maxAnswer = maxBatch + fetchBytes
)

// broker is a connection to a broker, which kafka-go opens. What the broker answers is read here,
// or given to kafka-go only when it is known to be an answer and how large: a server of another
// kind at the address must not have us make room for what it seems to announce.
type broker struct {
	*kafka.Conn
	raw      net.Conn
	in       *bufio.Reader
	versions []kafka.ApiVersion
	asked    int32
	answered time.Time // when the last answer began to come
}

// connect opens a connection to the broker at addr, host:port, within the patience.
func (s *Source) connect(ctx context.Context, addr string) (*broker, error) {
	mechanism, err := s.cfg.SASL.mechanism()
	if err != nil {
		return nil, err
	}
	b := &broker{}
	dialer := kafka.Dialer{
		ClientID: clientID, Timeout: s.patience, SASLMechanism: mechanism,
		DialFunc: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := s.cfg.open(ctx, network, addr)
			b.raw = conn
			return conn, err
		},
	}
	if b.Conn, err = dialer.DialContext(ctx, "tcp", addr); err != nil {
		return nil, err
	}
	b.in = bufio.NewReader(b.raw)
	err = b.within(s.patience)
	if err == nil {
		b.versions, err = b.ApiVersions()
	}
	if err == nil {
		err = b.within(s.patience) // kafka-go has taken it back
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("ask %s for its versions: %w", addr, err), b.Close())
	}
	return b, nil
}

// Mechanisms are what SASL can do, by Kafka's names.
var Mechanisms = []string{"PLAIN", scram.SHA256.Name(), scram.SHA512.Name()}

// mechanism is how to say who we are; nil: it is not said.
func (s *SASL) mechanism() (sasl.Mechanism, error) {
	if s == nil {
		return nil, nil
	}
	raw, err := os.ReadFile(s.PasswordFile)
	if err != nil {
		return nil, fmt.Errorf("read Kafka password: %w", err)
	}
	password := strings.TrimRight(string(raw), "\r\n")
	switch s.Mechanism {
	case "PLAIN":
		return plain.Mechanism{Username: s.Username, Password: password}, nil
	case scram.SHA256.Name():
		return scram.Mechanism(scram.SHA256, s.Username, password)
	case scram.SHA512.Name():
		return scram.Mechanism(scram.SHA512, s.Username, password)
	}
	return nil, fmt.Errorf("SASL mechanism %q: want one of %s", s.Mechanism, strings.Join(Mechanisms, ", "))
}

// open opens the connection beneath one to the broker at addr.
func (c *Config) open(ctx context.Context, network, addr string) (net.Conn, error) {
	encrypted, err := c.TLS.Load()
	if err != nil {
		return nil, err
	}
	if encrypted == nil {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	return (&tls.Dialer{Config: encrypted}).DialContext(ctx, network, addr)
}

// within gives the broker time for its next answers.
func (b *broker) within(d time.Duration) error {
	until := time.Now().Add(d)
	return errors.Join(b.SetDeadline(until), b.raw.SetDeadline(until))
}

// ask sends a request in the greatest version from least to most that the broker knows. It returns
// the version and the size of the answer, which is to be read next.
func (b *broker) ask(request protocol.Message, least, most int16) (version int16, size int, err error) {
	key := request.ApiKey()
	for _, v := range b.versions {
		if protocol.ApiKey(v.ApiKey) == key && v.MinVersion <= most {
			version = min(v.MaxVersion, most)
		}
	}
	if version < least {
		return 0, 0, fmt.Errorf("ask for %s: the broker knows none of the versions %d to %d", key, least, most)
	}
	b.asked++
	if err := protocol.WriteRequest(b.raw, version, b.asked, clientID, request); err != nil {
		return 0, 0, fmt.Errorf("ask for %s: %w", key, err)
	}
	const header = 2 * 4
	head := b.read(header)
	size, asked := int(head.int32()), head.int32()
	switch {
	case head.err != nil:
		return 0, 0, fmt.Errorf("read answer to %s: %w", key, head.err)
	case asked != b.asked || size < 4:
		return 0, 0, fmt.Errorf("not an answer to %s", key)
	}
	b.answered = time.Now()
	return version, size - 4, nil
}

// read reads the next n bytes of an answer, or what comes of them.
func (b *broker) read(n int) fields {
	raw := make([]byte, n)
	n, err := io.ReadFull(b.in, raw)
	return fields{rest: raw[:n], err: err}
}

// offset is that of the first message of a partition from that time on, in milliseconds, or at one
// of kafka-go's marks; -1: there is none.
func (b *broker) offset(topic string, partition int, at int64) (int64, error) {
	const least, most = 1, 1
	_, size, err := b.ask(&listoffsets.Request{
		ReplicaID: -1,
		Topics: []listoffsets.RequestTopic{{Topic: topic, Partitions: []listoffsets.RequestPartition{{
			Partition: int32(partition), CurrentLeaderEpoch: -1, Timestamp: at, //nolint:gosec // its number
		}}}},
	}, least, most)
	if err != nil {
		return 0, err
	}
	f := b.read(min(size, fetchBytes))
	topics := f.int32()
	f.take(int(f.int16())) // the topic's name
	partitions := f.int32()
	f.take(4) // the partition's number
	code := f.int16()
	f.take(8) // the message's time
	offset := f.int64()
	switch {
	case f.err != nil:
		return 0, fmt.Errorf("read answer to ListOffsets: %w", f.err)
	case topics != 1 || partitions != 1 || len(f.rest) != 0:
		return 0, fmt.Errorf("read answer to ListOffsets: topics %d, partitions %d, surplus bytes %d", topics, partitions, len(f.rest))
	case code != 0:
		return 0, kafka.Error(code)
	}
	return offset, nil
}

// partitions lists the partitions of a topic with their leaders. kafka-go would also create it.
func (b *broker) partitions(topic string) ([]kafka.Partition, error) {
	const least, most = 4, 8 // the least that does not create, the most that kafka-go knows
	version, size, err := b.ask(&metadata.Request{TopicNames: []string{topic}}, least, most)
	if err != nil {
		return nil, err
	}
	if size > maxListing {
		return nil, fmt.Errorf("the answer has %d bytes, at most %d", size, maxListing)
	}
	answer := b.read(size)
	if answer.err != nil {
		return nil, answer.err
	}
	header := binary.BigEndian.AppendUint64(nil, uint64(4+size)<<32) // kafka-go reads it again
	_, message, err := protocol.ReadResponse(bytes.NewReader(append(header, answer.rest...)), protocol.Metadata, version)
	if err != nil {
		return nil, err
	}
	return partitionsOf(message.(*metadata.Response), topic)
}

func partitionsOf(listing *metadata.Response, topic string) ([]kafka.Partition, error) {
	brokers := map[int32]kafka.Broker{}
	for _, b := range listing.Brokers {
		brokers[b.NodeID] = kafka.Broker{Host: b.Host, Port: int(b.Port), ID: int(b.NodeID)}
	}
	i := slices.IndexFunc(listing.Topics, func(t metadata.ResponseTopic) bool { return t.Name == topic })
	switch {
	case i >= 0 && listing.Topics[i].ErrorCode != 0:
		return nil, kafka.Error(listing.Topics[i].ErrorCode)
	case i < 0 || len(listing.Topics[i].Partitions) == 0:
		return nil, errors.New("it does not exist")
	}
	var found []kafka.Partition
	for _, p := range listing.Topics[i].Partitions {
		found = append(found, kafka.Partition{Topic: topic, ID: int(p.PartitionIndex), Leader: brokers[p.LeaderID]})
	}
	return found, nil
}

// Versions of the request Fetch: that of Kafka 0.11, and the first that zstd is sent to.
const leastFetch, mostFetch = 4, 10

// fetch asks for what is at offset of a partition and behind it; the broker waits if there is
// nothing. It returns the batches, and where the partition ends; of an answer that is cut off, the
// batches that came, and why it is. kafka-go's own readers are not used: they do not tell where a
// batch ends, so that one that cannot be read could not be passed over, and unpack whatever a batch
// unpacks to.
func (b *broker) fetch(topic string, partition int, offset int64, wait time.Duration) (batches fields, end int64, cut, err error) {
	version, size, err := b.ask(&fetch.Request{
		ReplicaID: -1, MaxWaitTime: int32(wait.Milliseconds()), MinBytes: 1, MaxBytes: fetchBytes, SessionEpoch: -1, //nolint:gosec // small
		Topics: []fetch.RequestTopic{{Topic: topic, Partitions: []fetch.RequestPartition{{
			Partition: int32(partition), CurrentLeaderEpoch: -1, FetchOffset: offset, LogStartOffset: -1, PartitionMaxBytes: fetchBytes, //nolint:gosec // its number
		}}}},
	}, leastFetch, mostFetch)
	if err != nil {
		return fields{}, 0, nil, err
	}
	got := b.read(min(size, maxAnswer))
	batches = fields{rest: got.rest, over: size - len(got.rest)}
	if cut = got.err; cut == nil {
		_, cut = b.in.Discard(batches.over)
	}
	if end, err = batches.fetched(version); err != nil {
		return fields{}, 0, nil, fmt.Errorf("read answer to Fetch: %w", cmp.Or(cut, err))
	}
	return batches, end, cut, nil
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

// fields reads an answer, or a part of one. After an error, numbers are 0 and there are no bytes.
type fields struct {
	rest []byte
	// over is how many bytes of the answer follow that were not kept, or did not come.
	over int
	err  error
}

func (f *fields) take(n int) (taken []byte) {
	if n < 0 || n > len(f.rest) {
		f.rest, f.err = nil, cmp.Or(f.err, errors.New("it is too short"))
		return nil
	}
	taken, f.rest = f.rest[:n], f.rest[n:]
	return taken
}

// block takes bytes whose length has been read; a length of -1 stands for none.
func (f *fields) block(length int64) []byte {
	if length == -1 {
		return nil
	}
	return f.take(int(length))
}

func (f *fields) number(width int) (n uint64) {
	for _, b := range f.take(width) {
		n = n<<8 | uint64(b)
	}
	return n
}

func (f *fields) int8() int8   { return int8(f.number(1)) }  //nolint:gosec // as it was written
func (f *fields) int16() int16 { return int16(f.number(2)) } //nolint:gosec // as it was written
func (f *fields) int32() int32 { return int32(f.number(4)) } //nolint:gosec // as it was written
func (f *fields) int64() int64 { return int64(f.number(8)) } //nolint:gosec // as it was written

func (f *fields) varint() int64 {
	n, width := binary.Varint(f.rest)
	if width <= 0 {
		width = -1
	}
	f.take(width)
	return n
}
