package servers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"os/signal"
	"syscall"
	"testing"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
)

// MQTT is a broker (mochi-mqtt in a process of its own). Its sessions live as long as its process,
// so a restart is also the loss of every persistent session.
type MQTT struct {
	*Server
	URL      string `json:"url"`                // tcp://host:port
	User     string `json:"user,omitempty"`     // empty: any client may connect
	Password string `json:"password,omitempty"` //
}

// What the broker's process is told in its environment.
const (
	mqttAddrVar     = "SHARDSCALER_MQTT_ADDR"
	mqttUserVar     = "SHARDSCALER_MQTT_USER"
	mqttPasswordVar = "SHARDSCALER_MQTT_PASSWORD" //nolint:gosec // the name of a variable
)

// startMQTT starts a broker; with a user, only that user may connect.
func (e *Env) startMQTT(ctx context.Context, name, user, password string) (*MQTT, error) {
	server, _, err := e.newServer(name, speaksMQTT, 1)
	if err != nil {
		return nil, err
	}
	server.Argv = []string{e.Tools.Self}
	server.Env = []string{
		roleVar + "=" + roleMQTT, mqttAddrVar + "=" + server.Addr,
		mqttUserVar + "=" + user, mqttPasswordVar + "=" + password,
	}
	broker := &MQTT{Server: server, URL: "tcp://" + server.Addr, User: user, Password: password}
	return broker, server.startFirst(ctx)
}

// Topic is a topic of this test's own.
func (m *MQTT) Topic(t testing.TB) string { return "test/" + uniqueName(t) }

// serveMQTT is the broker's process.
func serveMQTT() error {
	capabilities := mqtt.NewDefaultServerCapabilities()
	// Room for an import of tens of thousands of messages that a subscriber acknowledges only after
	// its commit; 65,535 is the limit of the protocol (packet ids).
	capabilities.MaximumInflight = math.MaxUint16
	capabilities.ReceiveMaximum = math.MaxUint16
	capabilities.MaximumClientWritesPending = math.MaxUint16
	broker := mqtt.New(&mqtt.Options{
		Capabilities: capabilities,
		Logger:       slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	rules := auth.AuthRules{{Allow: true}}
	if user := os.Getenv(mqttUserVar); user != "" {
		rules = auth.AuthRules{{Username: auth.RString(user), Password: auth.RString(os.Getenv(mqttPasswordVar)), Allow: true}}
	}
	listener := listeners.NewTCP(listeners.Config{ID: "tcp", Address: os.Getenv(mqttAddrVar)})
	err := broker.AddHook(new(auth.Hook), &auth.Options{Ledger: &auth.Ledger{Auth: rules}})
	err = errors.Join(err, broker.AddHook(&oneByOne{taking: map[string]*mqtt.Client{}}, nil), broker.AddListener(listener))
	if err == nil {
		err = broker.Serve()
	}
	if err != nil {
		return fmt.Errorf("serve mqtt: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	<-ctx.Done()
	return broker.Close()
}
