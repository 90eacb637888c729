package servers

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/go-zookeeper/zk"
	"github.com/jackc/pgx/v5"
	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// start starts a sandbox for one test, beside any other that runs.
func start(t *testing.T, options Options) *Env {
	t.Helper()
	options.Progress = os.Stderr
	env, err := Start(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, env.Close()) })
	return env
}

func TestZooKeeperKeepsItsDataOverARestart(t *testing.T) {
	t.Parallel()
	env := start(t, Options{Only: []Part{PartZooKeeper}})
	path := env.ZooKeeper.Path(t)
	conn := env.ZooKeeper.Dial(t)
	_, err := conn.Create(path, []byte("kept"), 0, zk.WorldACL(zk.PermAll))
	require.NoError(t, err)
	conn.Close()

	server := env.ZooKeeper.Servers[0]
	pid := server.Pid()
	require.NoError(t, server.Kill())
	require.False(t, server.Running())
	require.Error(t, server.answers(t.Context()))
	require.NoError(t, server.Start(t.Context()))
	require.NotEqual(t, pid, server.Pid())

	data, _, err := env.ZooKeeper.Dial(t).Get(path)
	require.NoError(t, err)
	require.Equal(t, "kept", string(data))
}

func TestFrozenServerAcceptsAndStaysSilent(t *testing.T) {
	t.Parallel()
	env := start(t, Options{Only: []Part{PartZooKeeper}})
	server := env.ZooKeeper.Servers[0]
	require.NoError(t, server.Freeze())
	require.True(t, server.Running())
	require.ErrorContains(t, server.answers(t.Context()), "timeout")
	require.NoError(t, server.Continue())
	require.NoError(t, server.AwaitReady(t.Context()))
}

func TestEnsembleOutlivesItsLeader(t *testing.T) {
	t.Parallel()
	env := start(t, Options{Only: []Part{PartZooKeeper}, ZooKeepers: 3})
	leader, err := env.ZooKeeper.Leader(t.Context())
	require.NoError(t, err)
	conn, path := env.ZooKeeper.Dial(t), env.ZooKeeper.Path(t)
	_, err = conn.Create(path, []byte("before"), 0, zk.WorldACL(zk.PermAll))
	require.NoError(t, err)
	require.NoError(t, leader.Kill())

	require.Eventually(t, func() bool {
		next, err := env.ZooKeeper.Leader(t.Context())
		return err == nil && next != leader
	}, 30*time.Second, 100*time.Millisecond)
	data, _, err := env.ZooKeeper.Dial(t).Get(path)
	require.NoError(t, err)
	require.Equal(t, "before", string(data))
	require.NoError(t, env.ZooKeeper.Start(t.Context()), "the killed one joins again")
}

func TestKafkaCarriesMessagesOverARestart(t *testing.T) {
	t.Parallel()
	env := start(t, Options{Only: []Part{PartKafka}})
	topic := env.Kafka.Topic(t, 2)
	require.NoError(t, env.Kafka.Produce(t.Context(), topic, 1, []byte("a"), []byte("b")))
	require.NoError(t, env.Kafka.Stop())
	require.NoError(t, env.Kafka.Start(t.Context()))

	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{env.Kafka.Addr}, Topic: topic, Partition: 1})
	defer reader.Close()
	for _, want := range []string{"a", "b"} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		message, err := reader.ReadMessage(ctx)
		cancel()
		require.NoError(t, err)
		require.Equal(t, want, string(message.Value))
	}
}

// A broker keeps the newer of two clients with one id (MQTT 3.1.1, 3.1.4-2), however close they come.
func TestMQTTKeepsOneOfTwoClientsWithOneID(t *testing.T) {
	t.Parallel()
	env := start(t, Options{Only: []Part{PartMQTT}})
	broker := env.NewMQTT(t, "", "")
	for round := range 10 {
		var pairs sync.WaitGroup
		for i := range 200 {
			pairs.Go(func() { keepsOneOfTwo(t, broker.Addr, fmt.Sprintf("client-%d-%03d", round, i)) })
		}
		pairs.Wait()
	}
}

// keepsOneOfTwo has two clients connect with one id at once, and asserts that the broker accepts
// both, ends one, and answers the other.
func keepsOneOfTwo(t *testing.T, addr, id string) {
	type end struct {
		client int
		heard  []byte
	}
	ended, begin := make(chan end, 2), make(chan struct{})
	var conns [2]net.Conn
	connect := append([]byte{0x10, byte(12 + len(id)), 0, 4, 'M', 'Q', 'T', 'T', 4, 0, 0, 60, 0, byte(len(id))}, id...)
	for i := range conns {
		conn, err := net.Dial("tcp", addr)
		if !assert.NoError(t, err) {
			return
		}
		defer conn.Close()
		conns[i] = conn
		go func() {
			<-begin
			_, err := conn.Write(connect)
			assert.NoError(t, err)
			heard, _ := io.ReadAll(conn)
			ended <- end{i, heard}
		}()
	}
	close(begin)
	accepted := []byte{0x20, 2, 0, 0}
	var one, other end
	select {
	case one = <-ended:
	case <-time.After(30 * time.Second):
		t.Errorf("%s: both are kept", id)
		return
	}
	assert.Equal(t, accepted, one.heard[:min(len(accepted), len(one.heard))], id) // mochi takes leave after it
	ping, disconnect, answer := []byte{0xc0, 0}, []byte{0xe0, 0}, []byte{0xd0, 0}
	_, err := conns[1-one.client].Write(slices.Concat(ping, disconnect))
	assert.NoError(t, err)
	other = <-ended
	assert.Equal(t, slices.Concat([]byte{0x20, 2, 1, 0}, answer), other.heard, "%s: the session of the one before, and an answer", id)
}

func TestMQTTDeliversToAPersistentSession(t *testing.T) {
	t.Parallel()
	env := start(t, Options{Only: []Part{PartMQTT}})
	broker := env.NewMQTT(t, "someone", "secret")
	topic := broker.Topic(t)
	received := make(chan string, 1)
	connect := func(id, password string, clean bool) (mqtt.Client, error) {
		options := mqtt.NewClientOptions().AddBroker(broker.URL).SetClientID(id).SetCleanSession(clean).
			SetUsername("someone").SetPassword(password).SetProtocolVersion(4).
			SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { received <- string(m.Payload()) })
		client := mqtt.NewClient(options)
		token := client.Connect()
		token.Wait()
		return client, token.Error()
	}
	_, err := connect("intruder", "wrong", true)
	require.Error(t, err)

	subscriber, err := connect("subscriber", "secret", false)
	require.NoError(t, err)
	token := subscriber.Subscribe(topic, 1, nil)
	require.True(t, token.WaitTimeout(10*time.Second))
	require.NoError(t, token.Error())
	subscriber.Disconnect(100)

	publisher, err := connect("publisher", "secret", true)
	require.NoError(t, err)
	defer publisher.Disconnect(100)
	token = publisher.Publish(topic, 1, false, "while it was away")
	require.True(t, token.WaitTimeout(10*time.Second))
	require.NoError(t, token.Error())

	subscriber, err = connect("subscriber", "secret", false)
	require.NoError(t, err)
	defer subscriber.Disconnect(100)
	select {
	case got := <-received:
		require.Equal(t, "while it was away", got)
	case <-time.After(30 * time.Second):
		t.Fatal("the persistent session got no message")
	}
}

func TestPostgresLetsTheProductReadOnly(t *testing.T) {
	t.Parallel()
	env := start(t, Options{Only: []Part{PartPostgres}})
	db := env.Postgres.NewDatabase(t)
	require.NoError(t, db.Exec(t.Context(), `INSERT INTO "Thing" VALUES ($1, 2.5, '{"zone":"a"}')`, "one"))
	require.NoError(t, env.Postgres.Stop())
	require.NoError(t, env.Postgres.Start(t.Context()))

	reader, err := pgx.Connect(t.Context(), db.ReaderURL)
	require.NoError(t, err)
	defer reader.Close(context.Background())
	var (
		id     string
		weight float64
	)
	require.NoError(t, reader.QueryRow(t.Context(), `SELECT id, weight FROM "Thing"`).Scan(&id, &weight))
	require.Equal(t, "one", id)
	require.InDelta(t, 2.5, weight, 0)
	_, err = reader.Exec(t.Context(), `DELETE FROM "Thing"`)
	require.ErrorContains(t, err, "permission denied")
	require.NoError(t, reader.QueryRow(t.Context(), `SELECT count(*)::text FROM "Rule"`).Scan(&id))
	require.Equal(t, "0", id)
}
