package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

// Kafka is one broker that is its own KRaft controller.
type Kafka struct {
	*Server
}

// kafkaJVM: the quick compiler alone, because no test measures Kafka and all else waits for its
// start (3 s of CPU time instead of 8).
var kafkaJVM = []string{"-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"}

// kafkaClusterID is any base64 of 16 bytes. All our brokers have the same, and the same formatted
// storage to begin with: no two of them ever talk to each other.
const kafkaClusterID = "c2hhcmRzY2FsZXJ0ZXN0cw"

const kafkaConfig = `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@%[2]s
listeners=PLAINTEXT://%[1]s,CONTROLLER://%[2]s%[4]s
advertised.listeners=PLAINTEXT://%[1]s%[4]s
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=%[3]s
num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
log.segment.bytes=16777216
log.index.size.max.bytes=1048576
`

// startKafka starts a broker that has beside the usual more listeners, each after a comma, and more
// lines of configuration.
func (e *Env) startKafka(ctx context.Context, name, listeners, config string) (*Kafka, error) {
	server, ports, err := e.newServer(name, speaksKafka, 2)
	if err != nil {
		return nil, err
	}
	data, file := filepath.Join(server.WorkDir, "data"), filepath.Join(server.WorkDir, "kafka.properties")
	config = fmt.Sprintf(kafkaConfig, server.Addr, loopback(ports[1]), data, listeners) + config
	if err := errors.Join(os.WriteFile(file, []byte(config), 0o600), os.CopyFS(data, os.DirFS(filepath.Join(e.Tools.Servers, "kafka")))); err != nil {
		return nil, fmt.Errorf("start kafka: %w", err)
	}
	server.Argv = e.Tools.java(kafkaJVM, "kafka.Kafka", file)
	return &Kafka{server}, server.startFirst(ctx)
}

// formatKafka makes storage that a broker can begin with. It costs a second of a Java start-up, and
// so is kept beside the jars.
func formatKafka(ctx context.Context, tools Tools, dir string) error {
	file, err := os.CreateTemp("", "kafka-*.properties")
	if err != nil {
		return fmt.Errorf("format kafka's storage: %w", err)
	}
	defer os.Remove(file.Name())
	// the storage does not hold the addresses
	_, err = fmt.Fprintf(file, kafkaConfig, loopback(firstPort), loopback(firstPort+1), dir, "")
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("format kafka's storage: %w", err)
	}
	line := tools.java(kafkaJVM, "kafka.tools.StorageTool", "format", "-t", kafkaClusterID, "-c", file.Name())
	if out, err := exec.CommandContext(ctx, line[0], line[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("format kafka's storage: %w\n%s", err, out)
	}
	return nil
}

// Topic creates a topic of this test's own and deletes it afterwards.
func (k *Kafka) Topic(t testing.TB, partitions int) string {
	t.Helper()
	topic := uniqueName(t)
	if err := k.CreateTopic(t.Context(), topic, partitions); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = k.DeleteTopic(context.Background(), topic) // the sandbox ends anyway
	})
	return topic
}

// DeleteTopic deletes a topic; one that is not there is no error.
func (k *Kafka) DeleteTopic(ctx context.Context, topic string) error {
	return k.admin(func(client *kafka.Client) error {
		_, err := client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
		return err
	})
}

// CreateTopic creates a topic and returns when it can be written to.
func (k *Kafka) CreateTopic(ctx context.Context, topic string, partitions int) error {
	err := k.admin(func(client *kafka.Client) error {
		response, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{
			Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: partitions, ReplicationFactor: 1}},
		})
		if err != nil {
			return err
		}
		return response.Errors[topic]
	})
	if err == nil {
		err = until(ctx, 20*time.Millisecond, func(ctx context.Context) error { return k.writable(ctx, topic, partitions) })
	}
	if err != nil {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	return nil
}

// writable says whether every partition is led: a broker lists a new one a little before that.
func (k *Kafka) writable(ctx context.Context, topic string, partitions int) error {
	found, err := kafka.LookupPartitions(ctx, "tcp", k.Addr, topic)
	if err == nil && len(found) != partitions {
		err = fmt.Errorf("%d partitions, want %d", len(found), partitions)
	}
	for i := 0; err == nil && i < partitions; i++ {
		var conn *kafka.Conn
		if conn, err = kafka.DialPartition(ctx, "tcp", k.Addr, found[i]); err == nil {
			_, err = conn.ReadLastOffset()
			_ = conn.Close()
		}
	}
	return err
}

// Produce appends messages to a partition and returns when the broker has them.
func (k *Kafka) Produce(ctx context.Context, topic string, partition int, values ...[]byte) error {
	conn, err := kafka.DialLeader(ctx, "tcp", k.Addr, topic, partition)
	if err != nil {
		return fmt.Errorf("produce to %s: %w", topic, err)
	}
	defer conn.Close()
	messages := make([]kafka.Message, len(values))
	for i, value := range values {
		messages[i].Value = value
	}
	if _, err := conn.WriteMessages(messages...); err != nil {
		return fmt.Errorf("produce to %s: %w", topic, err)
	}
	return nil
}

// admin gives do a client that leaves no connection and no goroutine behind.
func (k *Kafka) admin(do func(*kafka.Client) error) error {
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	return do(&kafka.Client{Addr: kafka.TCP(k.Addr), Transport: transport, Timeout: startTimeout})
}
