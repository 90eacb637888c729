package notify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/testbed/observedtest"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// startMosquitto starts a mosquitto out of Debian's package with its own defaults: at most 20
// messages of a session are unacknowledged, at most 1,000 wait, and what does not fit is dropped.
func startMosquitto(t *testing.T) *servers.MQTT {
	t.Helper()
	env := servers.Require(t)
	tree, libraries := servers.Debian(t, "mosquitto")
	server := env.NewServer(t, func(s *servers.Server) error {
		_, port, err := net.SplitHostPort(s.Addr)
		if err != nil {
			return err
		}
		settings, file := "listener "+port+" 127.0.0.1\nallow_anonymous true\nlog_dest stdout\n", filepath.Join(s.WorkDir, "mosquitto.conf")
		if os.Geteuid() == 0 {
			settings += "user root\n" // it would become a user that cannot read the folders of root
		}
		s.Env, s.Argv = []string{libraries}, []string{filepath.Join(tree, "usr", "sbin", "mosquitto"), "-c", file}
		s.Answers = func(_ context.Context, addr string) error {
			client := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID("probe"))
			defer client.Disconnect(0)
			token := client.Connect()
			token.Wait()
			return token.Error()
		}
		return os.WriteFile(file, []byte(settings), 0o600)
	})
	return &servers.MQTT{Server: server, URL: "tcp://" + server.Addr}
}

func TestMosquittoKeepsItsDefaultLimits(t *testing.T) {
	broker := startMosquitto(t)
	topic := broker.Topic(t)
	received := make(chan string, 2000)
	connect := func(id string, clean bool) mqtt.Client {
		client := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(broker.URL).SetClientID(id).SetCleanSession(clean).SetProtocolVersion(4).
			SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { received <- string(m.Payload()) }))
		token := client.Connect()
		require.True(t, token.WaitTimeout(10*time.Second))
		require.NoError(t, token.Error())
		t.Cleanup(func() { client.Disconnect(100) })
		return client
	}
	subscriber := connect("subscriber", false)
	token := subscriber.Subscribe(topic, 1, nil)
	require.True(t, token.WaitTimeout(10*time.Second))
	require.NoError(t, token.Error())
	subscriber.Disconnect(100)
	publisher := connect("publisher", true)
	for n := range 1100 {
		require.True(t, publisher.Publish(topic, 1, false, fmt.Sprint(n)).WaitTimeout(10*time.Second))
	}
	connect("subscriber", false)
	publisher.Publish(topic, 1, false, "last").Wait()
	next := func() string {
		select {
		case payload := <-received:
			return payload
		case <-time.After(30 * time.Second):
			return "nothing more came"
		}
	}
	for n := range 1000 {
		require.Equal(t, fmt.Sprint(n), next())
	}
	require.Equal(t, "last", next(), "it kept 1,000 for us and dropped what came then")
}

// A mosquitto with its default limits hands out 20 messages, keeps 1,000 more while these are not
// acknowledged, and drops the rest: it tells neither the publisher nor us. The commit is held, so
// that it must drop.
func TestMosquittoDropsABurstWhileWeAreConnected(t *testing.T) {
	broker := startMosquitto(t)
	cfg, s := configFor(t, broker), newStore()
	s.setFault(func(string) error { return errors.New("ZooKeeper is away") })
	publish := publisher(t, broker, cfg.Topic)
	r := run(t, cfg, s)
	const burst = 1500
	var messages, ids []string
	for n := range burst {
		ids = append(ids, fmt.Sprintf("%06d", n))
		messages = append(messages, create("Thing", ids[n]))
	}
	publish(messages...) // it acknowledges those that it drops, too
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.GreaterOrEqual(c, testutil.ToFloat64(r.metrics.messages.WithLabelValues("create")), 20.0)
	}, observedtest.Patience, 5*time.Millisecond)
	require.EqualValues(t, 20, testutil.ToFloat64(r.metrics.messages.WithLabelValues("create")))
	s.setFault(func(string) error { return nil })

	const kept = 1020
	s.await(t, "Thing", ids[:kept]...)
	publish(create("Thing", "later"))
	s.await(t, "Thing", append(ids[:kept:kept], "later")...)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.Zero(c, testutil.ToFloat64(r.metrics.waiting.WithLabelValues("Thing")))
	}, observedtest.Patience, time.Millisecond)
	require.EqualValues(t, 1, testutil.ToFloat64(r.metrics.sessions), "nothing looks wrong")
	const asked = 2 // at the beginning of the session, and after the burst
	require.EventuallyWithT(t, func(c *assert.CollectT) { assert.GreaterOrEqual(c, s.reconciled("Thing"), asked) },
		observedtest.Patience, 5*time.Millisecond, "a read finds what was dropped")
}
