package heartbeat

import (
	"bytes"
	"context"
	"crypto/pbkdf2"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/sasl/scram"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/clienttls"
	"github.com/shardscaler/shardscaler/internal/testbed/observedtest"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/internal/testbed/servers/certs"
)

// These tests read from a real broker.

type running struct {
	*Source
	rec *observedtest.Recorder
}

// run starts a source on topic and checks at the end that it leaves no goroutine behind.
func run(t *testing.T, brokers, topic string, names ...string) running {
	before := goleak.IgnoreCurrent()
	r := running{newSource(brokers, names...), &observedtest.Recorder{}}
	r.Configure(kinds(topic, names...))
	stop := start(t.Context(), func(ctx context.Context) { _ = r.Run(ctx, r.rec.Sink) })
	t.Cleanup(func() {
		stop()
		goleak.VerifyNone(t, before)
	})
	return r
}

func beatNow(kind string, ordinal int) []byte {
	return fmt.Appendf(nil, `{"resource":%q,"instanceId":"%d","timestamp":"%d"}`, kind, ordinal, time.Now().Unix())
}

func beats(kind string, ordinal int) func(observed.Beat) bool {
	return func(b observed.Beat) bool { return b.Kind == kind && b.Ordinal == ordinal }
}

func alive(kind string) func(observed.Read) bool {
	return func(r observed.Read) bool { return r.Kind == kind && r.Source == observed.SourceBus }
}

func TestBeatsOfEveryPartitionAreReadFromTheLookBackOn(t *testing.T) {
	broker := servers.Require(t, servers.PartKafka).Kafka
	topic := broker.Topic(t, 3)
	for p := range 3 { // before the start of the source
		require.NoError(t, broker.Produce(t.Context(), topic, p, beatNow("Thing", p), []byte("garbage"), beatNow("Camera", 9)))
	}
	r := run(t, broker.Addr, topic, "Thing")
	_, read := observedtest.Await(t, r.rec, 0, "read", alive("Thing"))
	for p := range 3 {
		_, at := observedtest.Await(t, r.rec, 0, "beat", beats("Thing", p))
		require.Less(t, at, read, "what the broker had comes before the first word that it was read")
	}
	require.EqualValues(t, 3, testutil.ToFloat64(r.metrics.messages.WithLabelValues(topic, "malformed")))
	require.EqualValues(t, 3, testutil.ToFloat64(r.metrics.messages.WithLabelValues(topic, "foreign")))

	mark := r.rec.Mark()
	require.NoError(t, broker.Produce(t.Context(), topic, 1, beatNow("Thing", 42)))
	observedtest.Await(t, r.rec, mark, "beat", beats("Thing", 42))
}

func TestOneBrokerThatAnswersIsEnough(t *testing.T) {
	broker := servers.Require(t, servers.PartKafka).Kafka
	topic := broker.Topic(t, 1)
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, gone.Close())
	r := run(t, gone.Addr().String()+","+broker.Addr, topic, "Thing")
	observedtest.Await(t, r.rec, 0, "read", alive("Thing"))
}

// The broker keeps a batch as it was packed.
func TestBeatsOfEveryCodecAreRead(t *testing.T) {
	broker := servers.Require(t, servers.PartKafka).Kafka
	topic := broker.Topic(t, 1)
	w, err := kafka.DialLeader(t.Context(), "tcp", broker.Addr, topic, 0)
	require.NoError(t, err)
	defer func() { _ = w.Close() }()
	const inBatch = 100
	for codec := range kafka.Compression(len(compress.Codecs)) {
		var messages []kafka.Message
		for n := range inBatch {
			messages = append(messages, kafka.Message{Key: []byte("k"), Value: beatNow("Thing", int(codec)*inBatch+n)})
		}
		_, err := w.WriteCompressedMessages(codec.Codec(), messages...)
		require.NoError(t, err)
	}
	r := run(t, broker.Addr, topic, "Thing")
	observedtest.Await(t, r.rec, 0, "read", alive("Thing"))
	require.EqualValues(t, inBatch*len(compress.Codecs), testutil.ToFloat64(r.metrics.messages.WithLabelValues(topic, "beat")))
	observedtest.Await(t, r.rec, 0, "beat", beats("Thing", inBatch*len(compress.Codecs)-1))
}

func TestBeatsOlderThanTheLookBackAreLeft(t *testing.T) {
	broker := servers.Require(t, servers.PartKafka).Kafka
	topic := broker.Topic(t, 1)
	w, err := kafka.DialLeader(t.Context(), "tcp", broker.Addr, topic, 0)
	require.NoError(t, err)
	defer func() { _ = w.Close() }()
	_, err = w.WriteMessages(
		kafka.Message{Time: time.Now().Add(-10 * time.Minute), Value: beatNow("Thing", 1)},
		kafka.Message{Time: time.Now().Add(-time.Minute), Value: beatNow("Thing", 2)})
	require.NoError(t, err)
	r := run(t, broker.Addr, topic, "Thing")
	observedtest.Await(t, r.rec, 0, "read", alive("Thing"))
	for _, sig := range r.rec.All() {
		if b, ok := sig.(observed.Beat); ok {
			require.Equal(t, 2, b.Ordinal)
		}
	}
	observedtest.Await(t, r.rec, 0, "beat", beats("Thing", 2))
}

func TestSilenceOfInstancesIsNotSilenceOfTheBroker(t *testing.T) {
	broker := servers.Require(t, servers.PartKafka).Kafka
	r := run(t, broker.Addr, broker.Topic(t, 2), "Thing", "Camera")
	first, at := observedtest.Await(t, r.rec, 0, "read", alive("Camera"))
	observedtest.Await(t, r.rec, at, "later read", func(read observed.Read) bool {
		return alive("Camera")(read) && read.At.After(first.At)
	})
	for _, sig := range r.rec.All() {
		if read, ok := sig.(observed.Read); ok {
			require.NotEqual(t, "Rule", read.Kind, "a kind without heartbeat is not spoken of")
		}
	}
}

func TestATopicMayComeGoAndGrow(t *testing.T) {
	env := servers.Require(t, servers.PartKafka)
	broker := env.Kafka
	topic := broker.Topic(t, 1)
	admin := &kafka.Client{Addr: kafka.TCP(broker.Addr), Timeout: 20 * time.Second}
	transport := &kafka.Transport{}
	admin.Transport = transport
	remove := func() {
		_, err := admin.DeleteTopics(t.Context(), &kafka.DeleteTopicsRequest{Topics: []string{topic}})
		require.NoError(t, err)
	}
	remove()

	r := run(t, broker.Addr, topic, "Thing")
	t.Cleanup(transport.CloseIdleConnections) // before it looks for goroutines
	observedtest.Await(t, r.rec, 0, "failure", func(f observed.Failed) bool { return f.Source == observed.SourceBus })
	mark := r.rec.Mark()
	require.NoError(t, broker.CreateTopic(t.Context(), topic, 1))
	for n := range 5 {
		require.NoError(t, broker.Produce(t.Context(), topic, 0, beatNow("Thing", n)))
	}
	_, mark = observedtest.Await(t, r.rec, mark, "beat of the new topic", beats("Thing", 4))
	observedtest.Await(t, r.rec, mark, "read of the new topic", alive("Thing"))

	// A partition is added.
	_, err := admin.CreatePartitions(t.Context(), &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: 2}}})
	require.NoError(t, err)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		require.NoError(c, broker.Produce(t.Context(), topic, 1, beatNow("Thing", 11)))
	}, observedtest.Patience, 100*time.Millisecond)
	_, mark = observedtest.Await(t, r.rec, mark, "beat of the new partition", beats("Thing", 11))

	// The topic is made anew, shorter than the offset that was reached.
	remove()
	observedtest.Await(t, r.rec, mark, "failure", func(f observed.Failed) bool { return f.Source == observed.SourceBus })
	require.NoError(t, broker.CreateTopic(t.Context(), topic, 1))
	require.NoError(t, broker.Produce(t.Context(), topic, 0, beatNow("Thing", 12)))
	_, mark = observedtest.Await(t, r.rec, mark, "beat of the topic made anew", beats("Thing", 12))
	observedtest.Await(t, r.rec, mark, "read of the topic made anew", alive("Thing"))
}

func TestKindsChangeWhileRunning(t *testing.T) {
	broker := servers.Require(t, servers.PartKafka).Kafka
	topic := broker.Topic(t, 1)
	require.NoError(t, broker.Produce(t.Context(), topic, 0, beatNow("Camera", 1), beatNow("Thing", 2)))
	r := run(t, broker.Addr, topic, "Thing")
	_, mark := observedtest.Await(t, r.rec, 0, "read", alive("Thing"))
	r.Configure(kinds(topic, "Thing", "Camera"))
	_, beat := observedtest.Await(t, r.rec, mark, "beat from before", beats("Camera", 1))
	_, read := observedtest.Await(t, r.rec, mark, "read", alive("Camera"))
	require.Less(t, beat, read)
	r.Configure(nil)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		require.Zero(c, testutil.CollectAndCount(r.metrics.messages))
	}, observedtest.Patience, 10*time.Millisecond)
}

func TestABrokerThatStopsOrFreezesIsTold(t *testing.T) {
	broker := servers.Require(t, servers.PartKafka).NewKafka(t, "", "")
	require.NoError(t, broker.CreateTopic(t.Context(), "HeartBeat", 1))
	r := run(t, broker.Addr, "HeartBeat", "Thing")
	_, mark := observedtest.Await(t, r.rec, 0, "read", alive("Thing"))
	for _, fault := range []struct {
		name           string
		cause, restore func() error
	}{
		{"killed", broker.Kill, func() error { return broker.Start(t.Context()) }},
		{"frozen", broker.Freeze, broker.Continue},
	} {
		require.NoError(t, fault.cause())
		failed, after := observedtest.Await(t, r.rec, mark, "failure", func(f observed.Failed) bool { return f.Kind == "Thing" })
		require.Error(t, failed.Err)
		require.NoError(t, fault.restore())
		read, after := observedtest.Await(t, r.rec, after, "read", alive("Thing"))
		require.True(t, read.At.After(failed.At), fault.name)
		require.NoError(t, broker.Produce(t.Context(), "HeartBeat", 0, beatNow("Thing", 7)))
		_, mark = observedtest.Await(t, r.rec, after, "beat", beats("Thing", 7))
	}
}

// secureKafka is a broker that also has listeners for TLS.
type secureKafka struct {
	*servers.Kafka
	*certs.Files
	tls  string // host:port at which clients are known by their certificates
	sasl string // host:port at which clients are known by user and password: by each of Mechanisms
}

const kafkaUser, kafkaPassword = "shardscaler", "secret"

// secureConfig is what the listeners need.
const secureConfig = `listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL
ssl.keystore.type=PEM
ssl.keystore.location=%[1]s
ssl.truststore.type=PEM
ssl.truststore.location=%[2]s
listener.name.ssl.ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_%[3]s="%[4]s";
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
`

func startSecureKafka(t *testing.T) *secureKafka {
	t.Helper()
	env := servers.Require(t, servers.PartKafka)
	files, err := certs.Write(t.TempDir(), "kafka")
	require.NoError(t, err)
	ports, err := servers.FreePorts(2)
	require.NoError(t, err)
	k := &secureKafka{Files: files, tls: fmt.Sprintf("localhost:%d", ports[0]), sasl: fmt.Sprintf("localhost:%d", ports[1])}
	k.Kafka = env.NewKafka(t, ",SSL://"+k.tls+",SASL_SSL://"+k.sasl,
		fmt.Sprintf(secureConfig, files.Server, files.CAFile, kafkaUser, kafkaPassword))
	k.addUser(t)
	return k
}

// addUser makes the user known to SCRAM.
func (k *secureKafka) addUser(t *testing.T) {
	t.Helper()
	transport := &kafka.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client := &kafka.Client{Addr: kafka.TCP(k.Addr), Transport: transport, Timeout: observedtest.Patience}
	const salt, iterations = "c2FsdA", 4096
	for mechanism, algorithm := range map[kafka.ScramMechanism]scram.Algorithm{
		kafka.ScramMechanismSha256: scram.SHA256, kafka.ScramMechanismSha512: scram.SHA512,
	} {
		salted, err := pbkdf2.Key(algorithm.Hash, kafkaPassword, []byte(salt), iterations, algorithm.Hash().Size())
		require.NoError(t, err)
		res, err := client.AlterUserScramCredentials(t.Context(), &kafka.AlterUserScramCredentialsRequest{
			Upsertions: []kafka.UserScramCredentialsUpsertion{{
				Name: kafkaUser, Mechanism: mechanism, Iterations: iterations, Salt: []byte(salt), SaltedPassword: salted,
			}},
		})
		require.NoError(t, err)
		for _, result := range res.Results {
			require.NoError(t, result.Error)
		}
	}
}

// Over TLS the broker is known by its certificate, we by ours or by SASL. Files are read for each
// connection.
func TestTLSAndSASL(t *testing.T) {
	broker := startSecureKafka(t)
	require.NoError(t, broker.CreateTopic(t.Context(), "HeartBeat", 1))
	require.NoError(t, broker.Produce(t.Context(), "HeartBeat", 0, beatNow("Thing", 3)))
	password := filepath.Join(t.TempDir(), "password")
	with := func(addr string, files *clienttls.Files, sasl *SASL) *observedtest.Recorder {
		r := running{newSource(addr, "Thing"), &observedtest.Recorder{}}
		r.cfg.TLS, r.cfg.SASL, r.patience = files, sasl, 3*time.Second
		t.Cleanup(start(t.Context(), func(ctx context.Context) { _ = r.Run(ctx, r.rec.Sink) }))
		return r.rec
	}
	fails := func(rec *observedtest.Recorder, why string) {
		t.Helper()
		observedtest.Await(t, rec, 0, "failure", func(f observed.Failed) bool { return strings.Contains(f.Err.Error(), why) })
	}
	authorities := &clienttls.Files{CAFile: broker.CAFile}
	ours := &clienttls.Files{CAFile: broker.CAFile, CertFile: broker.CertFile, KeyFile: broker.KeyFile}
	observedtest.Await(t, with(broker.tls, ours, nil), 0, "beat", beats("Thing", 3))
	fails(with(broker.tls, authorities, nil), "certificate")
	fails(with(broker.tls, &clienttls.Files{}, nil), "certificate")

	var all []*observedtest.Recorder
	for _, mechanism := range Mechanisms {
		sasl := &SASL{Mechanism: mechanism, Username: kafkaUser, PasswordFile: password}
		all = append(all, with(broker.sasl, authorities, sasl))
	}
	for _, rec := range all {
		fails(rec, "read Kafka password")
	}
	require.NoError(t, os.WriteFile(password, []byte("wrong\n"), 0o600))
	for _, rec := range all {
		fails(rec, "SASL")
	}
	require.NoError(t, os.WriteFile(password, []byte(kafkaPassword+"\n"), 0o600))
	for _, rec := range all {
		observedtest.Await(t, rec, 0, "beat", beats("Thing", 3))
	}
}

// producer is a client that beats in transactions.
type producer struct {
	*kafka.Client
	topic, id string
	kafka.ProducerSession
	sequence int
}

func newProducer(t *testing.T, addr, topic, id string) *producer {
	transport := &kafka.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	p := &producer{Client: &kafka.Client{Addr: kafka.TCP(addr), Transport: transport, Timeout: observedtest.Patience}, topic: topic, id: topic + id}
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		// the coordinator is not there before the first who asks for it
		res, err := p.InitProducerID(t.Context(), &kafka.InitProducerIDRequest{TransactionalID: p.id, TransactionTimeoutMs: 60_000, ProducerID: -1, ProducerEpoch: -1})
		require.NoError(c, err)
		require.NoError(c, res.Error)
		p.ProducerSession = *res.Producer
	}, observedtest.Patience, 100*time.Millisecond)
	return p
}

// beat begins a transaction if there is none, and beats in it.
func (p *producer) beat(t *testing.T, ordinals ...int) {
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		// the end of the one before may not be written yet
		res, err := p.AddPartitionsToTxn(t.Context(), &kafka.AddPartitionsToTxnRequest{
			TransactionalID: p.id, ProducerID: p.ProducerID, ProducerEpoch: p.ProducerEpoch, Topics: map[string][]kafka.AddPartitionToTxn{p.topic: {{Partition: 0}}},
		})
		require.NoError(c, err)
		require.NoError(c, res.Topics[p.topic][0].Error)
	}, observedtest.Patience, 20*time.Millisecond)
	b := kept{attributes: ofTransaction, producer: int64(p.ProducerID), last: int64(len(ordinals)) - 1}
	for n, ordinal := range ordinals {
		b.records = append(b.records, record{offset: int64(n), value: beatNow("Thing", ordinal)})
	}
	raw := b.bytes()
	binary.BigEndian.PutUint64(raw[27:], uint64(time.Now().UnixMilli()))
	binary.BigEndian.PutUint64(raw[35:], uint64(time.Now().UnixMilli()))
	binary.BigEndian.PutUint16(raw[51:], uint16(p.ProducerEpoch))
	binary.BigEndian.PutUint32(raw[53:], uint32(p.sequence))
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	p.sequence += len(ordinals)
	set := binary.BigEndian.AppendUint32(nil, uint32(len(raw)))
	res, err := p.RawProduce(t.Context(), &kafka.RawProduceRequest{
		Topic: p.topic, RequiredAcks: kafka.RequireAll, TransactionalID: p.id,
		RawRecords: protocol.RawRecordSet{Reader: bytes.NewReader(append(set, raw...))},
	})
	require.NoError(t, err)
	require.NoError(t, res.Error)
}

func (p *producer) end(t *testing.T, commit bool) {
	res, err := p.EndTxn(t.Context(), &kafka.EndTxnRequest{TransactionalID: p.id, ProducerID: p.ProducerID, ProducerEpoch: p.ProducerEpoch, Committed: commit})
	require.NoError(t, err)
	require.NoError(t, res.Error)
}

func TestBeatsInTransactions(t *testing.T) {
	broker := servers.Require(t, servers.PartKafka).Kafka
	topic := broker.Topic(t, 1)
	// first, so that the producers are closed before it looks for goroutines
	r := run(t, broker.Addr, topic, "Thing")
	hanging, committing, aborting := newProducer(t, broker.Addr, topic, "-h"), newProducer(t, broker.Addr, topic, "-c"), newProducer(t, broker.Addr, topic, "-a")
	observedtest.Await(t, r.rec, 0, "read", alive("Thing"))
	hanging.beat(t, 1)
	aborting.beat(t, 2)
	committing.beat(t, 3, 4)
	aborting.end(t, false)
	committing.end(t, true)
	_, mark := observedtest.Await(t, r.rec, 0, "committed beat", beats("Thing", 4))
	_, mark = observedtest.Await(t, r.rec, mark, "read while a transaction hangs", alive("Thing"))
	require.NoError(t, broker.Produce(t.Context(), topic, 0, beatNow("Thing", 5)))
	_, mark = observedtest.Await(t, r.rec, mark, "beat while a transaction hangs", beats("Thing", 5))
	committing.beat(t, 6)
	committing.end(t, true)
	_, mark = observedtest.Await(t, r.rec, mark, "beat of the second transaction", beats("Thing", 6))
	hanging.end(t, true)
	observedtest.Await(t, r.rec, mark, "beat of the transaction that hung", beats("Thing", 1))
	for result, n := range map[string]int{"beat": 5, "aborted": 1, "malformed": 0, "unreadable": 0} {
		require.EqualValues(t, n, testutil.ToFloat64(r.metrics.messages.WithLabelValues(topic, result)), result)
	}
}
