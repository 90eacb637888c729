package servers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"

	"github.com/shardscaler/shardscaler/internal/testbed/servers/certs"
)

// MQTT is a broker (mochi-mqtt in a process of its own). Its sessions live as long as its process, so a
// restart is also the loss of every persistent session.
type MQTT struct {
	*Server
	URL      string `json:"url"`                // tcp://host:port
	User     string `json:"user,omitempty"`     // empty: anyone may connect
	Password string `json:"password,omitempty"` //
}

// What the broker's process is told in its environment.
const (
	mqttAddrVar     = "SHARDSCALER_MQTT_ADDR"
	mqttUserVar     = "SHARDSCALER_MQTT_USER"
	mqttPasswordVar = "SHARDSCALER_MQTT_PASSWORD" //nolint:gosec // the name of a variable
	// Where a second listener speaks TLS and wants a certificate of its clients; its files,
	// separated by commas: key, certificate and the authorities.
	mqttSecureVar = "SHARDSCALER_MQTT_SECURE"
	mqttFilesVar  = "SHARDSCALER_MQTT_FILES"
)

// SecureMQTT is a broker that also listens for TLS, and wants a certificate of its clients there.
type SecureMQTT struct {
	*MQTT
	Secure string // ssl://host:port, by the name that its certificate has
	*certs.Files
}

func (e *place) startSecureMQTT(ctx context.Context, name string) (*SecureMQTT, error) {
	files, ports, err := e.newSecure(name, "mqtt", 1)
	if err != nil {
		return nil, err
	}
	m := &SecureMQTT{Secure: "ssl://" + net.JoinHostPort("localhost", strconv.Itoa(ports[0])), Files: files}
	m.MQTT, err = e.startMQTT(ctx, name, "", "",
		mqttSecureVar+"="+loopback(ports[0]), mqttFilesVar+"="+strings.Join([]string{files.ServerKey, files.ServerCert, files.CAFile}, ","))
	return m, err
}

// startMQTT starts a broker; with a user, only that user may connect. More are further variables of
// its process.
func (e *place) startMQTT(ctx context.Context, name, user, password string, more ...string) (*MQTT, error) {
	dir, ports, err := e.newRoom(name, 1)
	if err != nil {
		return nil, err
	}
	server := e.newServer(name, dir, ports[0], speaksMQTT)
	server.Argv = []string{e.Tools.Self}
	server.Env = append([]string{
		roleVar + "=" + roleMQTT, mqttAddrVar + "=" + server.Addr,
		mqttUserVar + "=" + user, mqttPasswordVar + "=" + password,
	}, more...)
	broker := &MQTT{Server: server, URL: "tcp://" + server.Addr, User: user, Password: password}
	return broker, server.startFirst(ctx)
}

// startMosquitto starts a mosquitto out of tree with its own defaults: at most 20 messages of a
// session are unacknowledged, at most 1,000 wait, and what does not fit is dropped.
func (e *place) startMosquitto(ctx context.Context, name, tree string) (*MQTT, error) {
	dir, ports, err := e.newRoom(name, 1)
	if err != nil {
		return nil, err
	}
	settings := fmt.Sprintf("listener %d 127.0.0.1\nallow_anonymous true\nlog_dest stdout\n", ports[0])
	if os.Geteuid() == 0 {
		settings += "user root\n" // it would become a user that cannot read the folders of root
	}
	if err := writeFiles(dir, map[string]string{"mosquitto.conf": settings}); err != nil {
		return nil, fmt.Errorf("configure mosquitto: %w", err)
	}
	server := e.newServer(name, dir, ports[0], speaksMQTT)
	server.Argv = []string{filepath.Join(tree, "usr", "sbin", "mosquitto"), "-c", filepath.Join(dir, "mosquitto.conf")}
	server.Env = []string{libraryPath(tree)}
	return &MQTT{Server: server, URL: "tcp://" + server.Addr}, server.startFirst(ctx)
}

// Topic is a topic of this test's own.
func (m *MQTT) Topic(t testing.TB) string { return "test/" + uniqueName(t) }

// serveMQTT is the broker's process.
func serveMQTT() error {
	capabilities := mqtt.NewDefaultServerCapabilities()
	// Room for an import of tens of thousands of messages that a subscriber acknowledges only after its
	// commit; 65,535 is the limit of the protocol (packet ids).
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
	if err := broker.AddHook(new(auth.Hook), &auth.Options{Ledger: &auth.Ledger{Auth: rules}}); err != nil {
		return fmt.Errorf("serve mqtt: %w", err)
	}
	listener := listeners.NewTCP(listeners.Config{ID: "tcp", Address: os.Getenv(mqttAddrVar)})
	if err := broker.AddListener(listener); err != nil {
		return fmt.Errorf("serve mqtt: %w", err)
	}
	if err := addSecureListener(broker); err != nil {
		return fmt.Errorf("serve mqtt: %w", err)
	}
	if err := broker.Serve(); err != nil {
		return fmt.Errorf("serve mqtt: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	<-ctx.Done()
	return broker.Close()
}

func addSecureListener(broker *mqtt.Server) error {
	addr := os.Getenv(mqttSecureVar)
	if addr == "" {
		return nil
	}
	files := strings.Split(os.Getenv(mqttFilesVar), ",")
	cert, err := tls.LoadX509KeyPair(files[1], files[0])
	if err != nil {
		return err
	}
	bundle, err := os.ReadFile(files[2])
	if err != nil {
		return err
	}
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(bundle)
	return broker.AddListener(listeners.NewTCP(listeners.Config{ID: "tls", Address: addr, TLSConfig: &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authorities,
	}}))
}
