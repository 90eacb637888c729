package servers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
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
	var pairs sync.WaitGroup
	for i := range 1000 {
		pairs.Go(func() {
			id := fmt.Sprintf("client-%04d", i)
			first, second := make(chan bool), make(chan bool)
			begin := make(chan struct{})
			for _, kept := range []chan bool{first, second} {
				go func() { kept <- staysConnected(t, broker.Addr, id, begin) }()
			}
			close(begin)
			a, b := <-first, <-second
			assert.NotEqual(t, a, b, "%s: one of two is kept", id)
		})
	}
	pairs.Wait()
}

// staysConnected opens a connection with the id and a session that is kept when begin is closed,
// and says whether the broker lets it be for 3 s.
func staysConnected(t *testing.T, addr, id string, begin <-chan struct{}) bool {
	conn, err := net.Dial("tcp", addr)
	if !assert.NoError(t, err) {
		return false
	}
	defer conn.Close()
	<-begin
	connect := append([]byte{0x10, byte(12 + len(id)), 0, 4, 'M', 'Q', 'T', 'T', 4, 0, 0, 60, 0, byte(len(id))}, id...)
	_, err = conn.Write(connect)
	assert.NoError(t, err)
	assert.NoError(t, conn.SetReadDeadline(time.Now().Add(3*time.Second)))
	_, err = io.ReadAll(conn)
	return errors.Is(err, os.ErrDeadlineExceeded)
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
