package servers

import (
	"database/sql"
	"fmt"
	"runtime"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/require"
)

// outcome stands for a test, and notes how it was given up.
type outcome struct {
	testing.TB
	said string
}

func (o *outcome) Skipf(format string, args ...any)  { o.give("skipped: "+format, args...) }
func (o *outcome) Fatalf(format string, args ...any) { o.give("failed: "+format, args...) }
func (o *outcome) give(format string, args ...any) {
	o.said = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestWithoutAptATestIsSkippedUnlessThePackageIsDemanded(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	for demanded, want := range map[string]string{"": "skipped", "1": "failed"} {
		t.Setenv(RequireDebianVar, demanded)
		test, ended := &outcome{TB: t}, make(chan struct{})
		go func() {
			defer close(ended)
			debianTree(test, "mosquitto")
		}()
		<-ended
		require.Contains(t, test.said, want+": needs Debian's package mosquitto")
		require.Contains(t, test.said, `"apt-get": executable file not found`)
	}
}

func TestMosquittoKeepsItsDefaultLimits(t *testing.T) {
	t.Parallel()
	env := start(t, Options{Only: []Part{PartMQTT}})
	broker := env.NewMosquitto(t)
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

func TestMariaDBServesTheCatalogue(t *testing.T) {
	t.Parallel()
	env := start(t, Options{Only: []Part{PartMQTT}})
	server := env.NewMariaDB(t)
	db := server.NewDatabase(t)
	require.NoError(t, server.Exec(t.Context(), db, "INSERT INTO `Thing`(id, labels) VALUES (?, ?)", "a", `{"site":"x"}`))
	require.NoError(t, server.Kill())
	require.NoError(t, server.Start(t.Context()))
	conn, err := sql.Open("mysql", server.driverAddress(db.Name))
	require.NoError(t, err)
	defer conn.Close()
	var id string
	require.NoError(t, conn.QueryRow("SELECT id FROM `Thing`").Scan(&id))
	require.Equal(t, "a", id)
	require.ErrorContains(t, execMySQL(t.Context(), "shardscaler:wrong@tcp("+server.Addr+")/", "SELECT 1"), "Access denied")
}
