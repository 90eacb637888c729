package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/clienttls"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/observedtest"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/internal/testbed/servers/certs"
)

// These tests receive from a real broker.

// store is a Handler that can be told to fail.
type store struct {
	mu         sync.Mutex
	ids        map[string]map[string]bool // by kind
	claims     map[string][]string
	shown      map[string][]string // those that were not known
	reconciles map[string]int
	heard      map[string]int
	calls      int
	fault      func(kind string) error
}

func newStore() *store {
	return &store{ids: map[string]map[string]bool{}, claims: map[string][]string{}, shown: map[string][]string{}, reconciles: map[string]int{}, heard: map[string]int{}, fault: func(string) error { return nil }}
}

func (s *store) change(ctx context.Context, kind string, f func(ids map[string]bool)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if err := errors.Join(ctx.Err(), s.fault(kind)); err != nil {
		return err
	}
	if s.ids[kind] == nil {
		s.ids[kind] = map[string]bool{}
	}
	f(s.ids[kind])
	return nil
}

func (s *store) Create(ctx context.Context, kind string, rs []observed.ResourceKnown) error {
	return s.change(ctx, kind, func(ids map[string]bool) {
		for _, r := range rs {
			ids[r.ID] = true
		}
	})
}

func (s *store) Delete(ctx context.Context, kind string, gone []string) error {
	return s.change(ctx, kind, func(ids map[string]bool) {
		for _, id := range gone {
			delete(ids, id)
		}
	})
}

func (s *store) Claim(ctx context.Context, kind string, ids []string) error {
	return s.change(ctx, kind, func(map[string]bool) { s.claims[kind] = append(s.claims[kind], ids...) })
}

func (s *store) Shown(kind string, ids []string) error {
	return s.change(context.Background(), kind, func(known map[string]bool) {
		for _, id := range ids {
			if !known[id] {
				s.shown[kind] = append(s.shown[kind], id)
			}
		}
	})
}

func (s *store) Padded(kind string) bool { return kind == "Rule" }

func (s *store) Heard(kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard[kind]++
}

func (s *store) Reconcile(kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reconciles[kind]++
}

func (s *store) setFault(f func(kind string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

func (s *store) reconciled(kind string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reconciles[kind]
}

func (s *store) has(kind string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for id := range s.ids[kind] {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func (s *store) await(t *testing.T, kind string, want ...string) {
	t.Helper()
	slices.Sort(want)
	require.EventuallyWithT(t, func(c *assert.CollectT) { assert.Equal(c, len(want), len(s.has(kind))) }, observedtest.Patience, 5*time.Millisecond)
	require.Equal(t, want, s.has(kind))
}

// awaitClaims waits until claims have come.
func (s *store) awaitClaims(t *testing.T, kind string, want ...string) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		s.mu.Lock()
		defer s.mu.Unlock()
		assert.ElementsMatch(c, want, s.claims[kind])
	}, observedtest.Patience, 5*time.Millisecond)
}

// awaitShown waits until rows that are not known were shown.
func (s *store) awaitShown(t *testing.T, kind string, want ...string) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		s.mu.Lock()
		defer s.mu.Unlock()
		assert.ElementsMatch(c, want, s.shown[kind])
	}, observedtest.Patience, 5*time.Millisecond)
}

type running struct {
	*Source
	rec  *observedtest.Recorder
	stop func()
}

func kinds(names ...string) []config.Kind {
	var all []config.Kind
	for _, name := range names {
		all = append(all, config.Kind{Name: name})
	}
	return all
}

func configFor(t *testing.T, broker *servers.MQTT) Config {
	topic := broker.Topic(t)
	return Config{Broker: broker.URL, ClientID: strings.ReplaceAll(topic, "/", "-"), Topic: topic, Username: broker.User}
}

// run starts a source and returns when it is subscribed.
func run(t *testing.T, cfg Config, s *store) *running {
	r := launch(t, cfg, s)
	observedtest.Await(t, r.rec, 0, "read", func(observed.Read) bool { return true })
	return r
}

func launch(t *testing.T, cfg Config, s *store) *running {
	return launchFor(t, cfg, s, kinds("Thing", "Rule"))
}

func launchFor(t *testing.T, cfg Config, s *store, kinds []config.Kind) *running {
	before := goleak.IgnoreCurrent()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	r := &running{Source: New(cfg, s, slog.New(slog.NewTextHandler(t.Output(), nil)), prometheus.NewRegistry()), rec: &observedtest.Recorder{}}
	r.Configure(kinds)
	r.stop = sync.OnceFunc(func() {
		cancel()
		<-done
		goleak.VerifyNone(t, before)
	})
	go func() {
		defer close(done)
		assert.NoError(t, r.Run(ctx, r.rec.Sink))
	}()
	t.Cleanup(r.stop)
	return r
}

// publisher returns what publishes to cfg's topic and awaits the broker's answers.
func publisher(t *testing.T, broker *servers.MQTT, topic string) func(payloads ...string) {
	return publisherOf(t, broker, topic, false)
}

// publisherOf is a publisher whose messages the broker retains, or does not.
func publisherOf(t *testing.T, broker *servers.MQTT, topic string, retained bool) func(payloads ...string) {
	o := mqtt.NewClientOptions().AddBroker(broker.URL).SetClientID(fmt.Sprint(topic, "-publisher-", retained)).
		SetUsername(broker.User).SetPassword(broker.Password)
	client := mqtt.NewClient(o)
	token := client.Connect()
	token.Wait()
	require.NoError(t, token.Error())
	t.Cleanup(func() { client.Disconnect(0) })
	return func(payloads ...string) {
		t.Helper()
		var tokens []mqtt.Token
		for _, payload := range payloads {
			tokens = append(tokens, client.Publish(topic, 1, retained, payload))
		}
		for _, token := range tokens {
			require.True(t, token.WaitTimeout(observedtest.Patience))
			require.NoError(t, token.Error())
		}
	}
}

func create(kind, id string) string {
	return fmt.Sprintf(`{"o":"c","t":%q,"k":{"id":%q},"instance":{"id":%q,"name":"n"}}`, kind, id, id)
}

func remove(kind, id string) string { return fmt.Sprintf(`{"o":"d","t":%q,"k":{"id":%q}}`, kind, id) }

func TestWhatMessagesSayIsCommitted(t *testing.T) {
	broker := servers.Require(t, servers.PartMQTT).MQTT
	cfg, s := configFor(t, broker), newStore()
	publish := publisher(t, broker, cfg.Topic)
	r := run(t, cfg, s)
	publish(
		create("Thing", "a"), create("Thing", "b"), create("Thing", "b"), create("Rule", "r"), create("ProtocolMeta", "p"),
		`{"o":"bc","t":"Thing","keys":["c",{"id":"d"},5]}`,
		remove("Thing", "a"), remove("Thing", "unknown"), `{"o":"u","t":"Thing","k":{"id":"u"}}`,
		remove("Thing", "5"), `{"o":"bd","t":"Thing","where":{"id":["b","c"]}}`,
		create("Thing", "last"), create("Rule", "last   "), `{"o":"u","t":"Thing","instance":{"id":"last","deletedAt":null}}`,
	)
	s.await(t, "Thing", "b", "c", "d", "last")
	s.await(t, "Rule", "last", "r")
	s.awaitClaims(t, "Thing", "b", "c")
	s.awaitShown(t, "Thing", "u")
	require.Equal(t, 1, s.reconciled("Thing"), "once, for the first connection")
	require.Empty(t, s.has("ProtocolMeta"))

	publish(`{"o":"bd","t":"Thing","where":{}}`, `{"o":"bc","t":"Thing"}`, create("Thing", "later"))
	s.await(t, "Thing", "b", "c", "d", "last", "later")
	require.Equal(t, 3, s.reconciled("Thing"))
	require.Equal(t, 1, s.reconciled("Rule"))

	publish(`garbage`, strings.Repeat(" ", maxBytes+1), create("Thing", "after"))
	s.await(t, "Thing", "after", "b", "c", "d", "last", "later")
	require.Equal(t, 5, s.reconciled("Thing"))
	require.Equal(t, 3, s.reconciled("Rule"), "it may have been a rule")
	require.EqualValues(t, 1, testutil.ToFloat64(r.metrics.messages.WithLabelValues("foreign")))
	require.EqualValues(t, 1, testutil.ToFloat64(r.metrics.messages.WithLabelValues("oversized")))

	// All was acknowledged: the next leader is sent nothing again.
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.Zero(c, testutil.ToFloat64(r.metrics.waiting.WithLabelValues("Thing")))
	}, observedtest.Patience, time.Millisecond)
	r.stop()
	s2 := newStore()
	r2 := run(t, cfg, s2)
	publish(create("Thing", "z"))
	s2.await(t, "Thing", "z")
	require.EqualValues(t, 1, testutil.ToFloat64(r2.metrics.messages.WithLabelValues("create")))
	require.Equal(t, 1, s2.reconciled("Thing"), "a new term begins with a reconcile")
}

// TestABurstIsFollowedByOneRead, of every kind: what a broker drops is bounded by client, and not
// by kind.
func TestABurstIsFollowedByOneRead(t *testing.T) {
	broker := servers.Require(t, servers.PartMQTT).MQTT
	cfg, s := configFor(t, broker), newStore()
	publish := publisher(t, broker, cfg.Topic)
	run(t, cfg, s)
	messages := []string{create("Thing", "a")}
	for n := range burstSize {
		messages = append(messages, create("ProtocolMeta", fmt.Sprint(n)))
	}
	publish(messages...)
	for _, kind := range []string{"Thing", "Rule"} {
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			assert.Equal(c, 2, s.reconciled(kind), "one for the connection, one after the burst")
		}, observedtest.Patience, 5*time.Millisecond)
	}
	s.await(t, "Thing", "a")
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Equal(t, map[string]int{"Thing": 1}, s.heard)
}

// TestARetainedMessageIsNoNews: the broker hands it out at each subscription.
func TestARetainedMessageIsNoNews(t *testing.T) {
	broker := servers.Require(t, servers.PartMQTT).MQTT
	cfg, s := configFor(t, broker), newStore()
	publish, retain := publisher(t, broker, cfg.Topic), publisherOf(t, broker, cfg.Topic, true)
	t.Cleanup(func() { retain("") }) // the broker forgets it
	r := run(t, cfg, s)
	publish(create("Thing", "a"))
	retain(remove("Thing", "a")) // as it is sent first, it is news
	publish(create("Thing", "a"), create("Thing", "b"))
	s.await(t, "Thing", "a", "b")
	r.stop()
	before := s.reconciled("Thing")
	run(t, cfg, s)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.Equal(c, before+2, s.reconciled("Thing"), "one for the connection, one for the message")
	}, observedtest.Patience, 5*time.Millisecond)
	publish(create("Thing", "c"))
	s.await(t, "Thing", "a", "b", "c")
}

func TestWhatWasNotCommittedComesAgain(t *testing.T) {
	broker := servers.Require(t, servers.PartMQTT).MQTT
	cfg, s := configFor(t, broker), newStore()
	s.setFault(func(string) error {
		if rand.N(3) == 0 {
			return errors.New("no quorum")
		}
		return nil
	})
	publish := publisher(t, broker, cfg.Topic)
	const rounds = 4
	names := []string{"Thing"}
	for round := range rounds {
		names = append(names, fmt.Sprint("Round", round))
	}
	start := func() *running {
		r := launchFor(t, cfg, s, kinds(names...))
		observedtest.Await(t, r.rec, 0, "read", func(observed.Read) bool { return true })
		return r
	}
	r := start()
	var want []string
	for round := range rounds {
		var messages []string
		for n := range 500 {
			id := fmt.Sprintf("%d-%03d", round, n)
			messages = append(messages, create("Thing", id))
			want = append(want, id)
		}
		// This broker loses what it is just handing out when the session changes hands. So the last
		// message of the round is awaited: it asks for a read of a kind that has no other messages.
		// Counting would not do, since some messages come again.
		kind := fmt.Sprint("Round", round)
		asked := s.reconciled(kind)
		publish(append(messages, fmt.Sprintf(`{"o":"bd","t":%q,"where":{}}`, kind))...)
		require.EventuallyWithT(t, func(c *assert.CollectT) { assert.Greater(c, s.reconciled(kind), asked) }, observedtest.Patience, 5*time.Millisecond)
		r.stop() // a leader ends in the middle of its work
		r = start()
	}
	s.await(t, "Thing", want...)
}

func TestAKindThatCannotCommitHoldsNoOther(t *testing.T) {
	broker := servers.Require(t, servers.PartMQTT).MQTT
	cfg, s := configFor(t, broker), newStore()
	s.setFault(func(kind string) error {
		if kind == "Thing" {
			return errors.New("paused")
		}
		return nil
	})
	publish := publisher(t, broker, cfg.Topic)
	r := run(t, cfg, s)
	publish(create("Thing", "t"), create("Rule", "r"))
	s.await(t, "Rule", "r")
	f, _ := observedtest.Await(t, r.rec, 0, "failure", func(f observed.Failed) bool { return f.Kind == "Thing" })
	require.ErrorContains(t, f.Err, "paused")
	s.setFault(func(string) error { return nil })
	s.await(t, "Thing", "t")
	observedtest.Await(t, r.rec, r.rec.Mark(), "read", func(read observed.Read) bool { return read.Kind == "Thing" })
}

func TestAFloodIsBoundedAndNothingIsLost(t *testing.T) {
	broker := servers.Require(t, servers.PartMQTT).MQTT
	cfg, s := configFor(t, broker), newStore()
	s.setFault(func(string) error { return errors.New("ZooKeeper is away") })
	publish := publisher(t, broker, cfg.Topic)
	r := run(t, cfg, s)
	var want []string
	var messages []string
	for n := range maxWaiting + 1000 {
		want = append(want, fmt.Sprintf("%06d", n))
		messages = append(messages, create("Thing", want[n]))
	}
	publish(messages...)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.EqualValues(c, 1000, testutil.ToFloat64(r.metrics.messages.WithLabelValues("deferred")))
	}, observedtest.Patience, 5*time.Millisecond)
	require.EqualValues(t, maxWaiting, testutil.ToFloat64(r.metrics.waiting.WithLabelValues("Thing")))
	s.setFault(func(string) error { return nil })
	s.await(t, "Thing", want...)
	// What the broker kept may all come before the new session's subscription is confirmed.
	require.EventuallyWithT(t, func(c *assert.CollectT) { assert.EqualValues(c, 2, testutil.ToFloat64(r.metrics.sessions)) }, observedtest.Patience, 5*time.Millisecond)
	require.Less(t, s.calls, 1000, "commits take what waits together")
}

func TestALostBrokerIsToldAndItsLostSessionReconciled(t *testing.T) {
	broker := servers.Require(t, servers.PartMQTT).NewMQTT(t, "", "")
	cfg, s := configFor(t, broker), newStore()
	r := run(t, cfg, s)
	require.NoError(t, broker.Kill())
	_, mark := observedtest.Await(t, r.rec, 0, "failure", func(f observed.Failed) bool { return f.Source == observed.SourceNotify })
	require.NoError(t, broker.Start(t.Context()))
	observedtest.Await(t, r.rec, mark, "read", func(observed.Read) bool { return true })
	require.Equal(t, 2, s.reconciled("Thing"), "messages may be missing")
	publisher(t, broker, cfg.Topic)(create("Thing", "a"))
	s.await(t, "Thing", "a")
}

func TestKindsChangeWhileRunning(t *testing.T) {
	broker := servers.Require(t, servers.PartMQTT).MQTT
	cfg, s := configFor(t, broker), newStore()
	publish := publisher(t, broker, cfg.Topic)
	r := run(t, cfg, s)
	mark := r.rec.Mark()
	r.Configure(kinds("Rule", "Camera"))
	observedtest.Await(t, r.rec, mark, "read", func(read observed.Read) bool { return read.Kind == "Camera" })
	publish(create("Thing", "t"), create("Camera", "c"), create("Rule", "r"))
	s.await(t, "Camera", "c")
	s.await(t, "Rule", "r")
	require.Empty(t, s.has("Thing"))
	require.Equal(t, 1, s.reconciled("Camera"))
}

// A leader that starts knows its kinds a moment later than its broker: what the broker has kept
// must wait for them.
func TestNothingIsReceivedBeforeTheKindsAreKnown(t *testing.T) {
	broker := servers.Require(t, servers.PartMQTT).MQTT
	cfg, s := configFor(t, broker), newStore()
	run(t, cfg, s).stop() // the session exists
	publisher(t, broker, cfg.Topic)(create("Thing", "a"), create("Rule", "b"))
	r := launchFor(t, cfg, s, nil)
	time.Sleep(200 * time.Millisecond) // time in which it would have been sent them
	require.Zero(t, testutil.ToFloat64(r.metrics.connected))
	r.Configure(kinds("Thing", "Rule"))
	s.await(t, "Thing", "a")
	s.await(t, "Rule", "b")
	require.Zero(t, testutil.ToFloat64(r.metrics.messages.WithLabelValues("foreign")))
}

func TestThePasswordIsReadAtEachConnect(t *testing.T) {
	broker := servers.Require(t, servers.PartMQTT).NewMQTT(t, "shardscaler", "secret")
	cfg, s := configFor(t, broker), newStore()
	cfg.PasswordFile = filepath.Join(t.TempDir(), "password")
	r := launch(t, cfg, s)
	f, _ := observedtest.Await(t, r.rec, 0, "failure", func(observed.Failed) bool { return true })
	require.ErrorContains(t, f.Err, "read MQTT password")
	require.NoError(t, os.WriteFile(cfg.PasswordFile, []byte("wrong"), 0o600))
	observedtest.Await(t, r.rec, 0, "failure", func(f observed.Failed) bool { return strings.Contains(f.Err.Error(), "connect to "+broker.URL) })
	require.NoError(t, os.WriteFile(cfg.PasswordFile, []byte(broker.Password+"\n"), 0o600))
	observedtest.Await(t, r.rec, 0, "read", func(observed.Read) bool { return true })
}

// A broker throws the older of two clients with one id out, so two installations with one id lose
// their sessions in turn, and each receives a part of the messages.
func TestTwoClientsWithOneIDAreTold(t *testing.T) {
	broker := servers.Require(t, servers.PartMQTT).MQTT
	cfg := configFor(t, broker)
	one := launch(t, cfg, newStore())
	other := launch(t, cfg, newStore())
	for _, r := range []*running{one, other} {
		f, _ := observedtest.Await(t, r.rec, 0, "failure", func(f observed.Failed) bool { return strings.Contains(f.Err.Error(), "another client") })
		require.ErrorIs(t, f.Err, errClosed)
		require.ErrorContains(t, f.Err, cfg.ClientID)
	}
}

// The broker is known by its certificate, we by ours. Files are read for each connection.
func TestTLS(t *testing.T) {
	broker := servers.Require(t, servers.PartMQTT).MQTT
	cfg, s := configFor(t, broker), newStore()
	files, err := certs.Write(t.TempDir(), "mqtt")
	require.NoError(t, err)
	cfg.Broker = "ssl://localhost:" + secureFront(t, broker, files)
	publish := publisher(t, broker, cfg.Topic)
	refused := func(what string, with *clienttls.Files) {
		cfg := cfg
		cfg.ClientID += "-" + what
		cfg.TLS = with
		f, _ := observedtest.Await(t, launch(t, cfg, newStore()).rec, 0, "failure", func(observed.Failed) bool { return true })
		require.ErrorContains(t, f.Err, "certificate", what)
	}
	refused("no authorities", nil)
	refused("no certificate", &clienttls.Files{CAFile: files.CAFile})
	cfg.TLS = &clienttls.Files{CAFile: filepath.Join(t.TempDir(), "ca"), CertFile: files.CertFile, KeyFile: files.KeyFile}
	r := launch(t, cfg, s)
	f, _ := observedtest.Await(t, r.rec, 0, "failure", func(observed.Failed) bool { return true })
	require.ErrorContains(t, f.Err, "read tls authorities")
	require.NoError(t, os.WriteFile(cfg.TLS.CAFile, files.CA, 0o600))
	observedtest.Await(t, r.rec, 0, "read", func(observed.Read) bool { return true })
	publish(create("Thing", "a"))
	s.await(t, "Thing", "a")
}

// secureFront is a port at which the broker speaks TLS and wants a certificate of its clients.
func secureFront(t *testing.T, broker *servers.MQTT, files *certs.Files) (port string) {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(files.ServerCert, files.ServerKey)
	require.NoError(t, err)
	authorities := x509.NewCertPool()
	require.True(t, authorities.AppendCertsFromPEM(files.CA))
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authorities,
	})
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go forward(conn.(*tls.Conn), broker.Addr)
		}
	}()
	_, port, err = net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	return port
}

// forward carries a connection on to addr, until either side ends it.
func forward(conn *tls.Conn, addr string) {
	defer conn.Close()
	if conn.Handshake() != nil {
		return
	}
	back, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer back.Close()
	go func() {
		_, _ = io.Copy(back, conn)
		back.Close()
	}()
	_, _ = io.Copy(conn, back)
}
