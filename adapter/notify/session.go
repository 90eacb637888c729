package notify

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
	"golang.org/x/net/proxy"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/clienttls"
	"github.com/shardscaler/shardscaler/internal/fault"
	"github.com/shardscaler/shardscaler/internal/guard"
)

const (
	connectTimeout = 5 * time.Second
	// answerTimeout is more than a connect with its handshake takes.
	answerTimeout = 2 * connectTimeout
	keepAlive     = 10 * time.Second
	pingTimeout   = 5 * time.Second
	// subscribeEvery is the time between two attempts at a subscription that a broker refuses.
	subscribeEvery = 3 * time.Second
	// quiesce is how long a disconnect may take, in milliseconds.
	quiesce = 250
)

var errClosed = errors.New("connection lost")

// session is one connection. What it received and did not acknowledge, the broker sends again on
// the next one; so a session keeps nothing, and the library's own reconnect is not used.
type session struct {
	*Source
	kinds  []string
	queues map[string]*queue
	clean  bool // the broker forgets it when it ends
	sink   func(observed.Signal)
	burst  burst
	// ended gets the reason for which the session must end; only the first is looked at.
	ended   chan error
	frames  *frames // what the library reads from, once it is connected
	decoder func(payload []byte, padded func(kind string) bool) (Message, error)
}

func (s *Source) newSession(kinds []string, sink func(observed.Signal)) *session {
	c := &session{Source: s, kinds: kinds, sink: sink, queues: map[string]*queue{}, ended: make(chan error, 1), decoder: Decode}
	for _, kind := range kinds {
		c.queues[kind] = newQueue(c, kind)
	}
	return c
}

func (s *session) end(why error) {
	select {
	case s.ended <- why:
	default:
	}
}

// run connects, subscribes and serves until ctx ends (nil), kinds change (nil) or the connection is
// lost.
func (s *session) run(ctx context.Context) error {
	client, kept, err := s.connect(ctx)
	if client != nil {
		defer client.Disconnect(quiesce)
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer cancel()
	for _, q := range s.queues {
		workers.Go(func() { q.run(ctx) })
	}
	subscribed, err := s.subscribe(ctx, client)
	if err != nil || !subscribed && !kept {
		return cmp.Or(err, fmt.Errorf("subscribe to %s with QoS 1: the broker refuses", s.cfg.Topic))
	}
	for _, kind := range s.kinds {
		// Some may be missing: brokers bound what they keep, and forget it at a restart.
		s.handler.Reconcile(kind)
	}
	s.metrics.sessions.Inc()
	s.metrics.connected.Set(1)
	defer s.metrics.connected.Set(0)
	again, look := time.NewTicker(subscribeEvery), time.NewTicker(burstLook)
	defer again.Stop()
	defer look.Stop()
	for {
		s.report(time.Now())
		select {
		case <-look.C:
			s.afterBurst(time.Now())
		case <-ctx.Done():
			return nil
		case <-s.changed:
			return nil
		case err := <-s.ended:
			return err
		case <-again.C:
			if !subscribed {
				if subscribed, err = s.subscribe(ctx, client); err != nil {
					return err
				}
			}
		}
	}
}

// afterBurst asks for a read of each kind when a burst of messages, or a part of a long one, is
// over: the broker may have dropped some of them.
func (s *session) afterBurst(now time.Time) {
	waiting := slices.ContainsFunc(s.kinds, func(kind string) bool { return s.queues[kind].pending() })
	if !s.burst.over(now, waiting) {
		return
	}
	s.log.Info("many notifications came at once; the catalogue is asked what the broker may have dropped", "more than", burstSize, "within", burstSpan)
	for _, kind := range s.kinds {
		s.handler.Reconcile(kind)
	}
}

// connect opens the connection; the client is to be disconnected even where there is an error.
// kept: the broker kept our session, with its subscription and what was not acknowledged.
func (s *session) connect(ctx context.Context) (client mqtt.Client, kept bool, err error) {
	o := mqtt.NewClientOptions().AddBroker(s.cfg.Broker).SetClientID(s.cfg.ClientID).SetUsername(s.cfg.Username).
		SetProtocolVersion(4).SetCleanSession(s.clean).SetAutoAckDisabled(true).SetOrderMatters(true).
		SetAutoReconnect(false).SetConnectRetry(false).SetConnectTimeout(connectTimeout).SetWriteTimeout(connectTimeout).
		SetKeepAlive(keepAlive).SetPingTimeout(pingTimeout).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) { s.end(fmt.Errorf("%w: %w", errClosed, err)) }).
		// The broker may send what it kept before the subscription is made again.
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { s.receive(m) }).
		SetStore(noStore{}).SetCustomOpenConnectionFn(s.open)
	if s.cfg.PasswordFile != "" {
		password, err := os.ReadFile(s.cfg.PasswordFile)
		if err != nil {
			return nil, false, fmt.Errorf("read MQTT password: %w", err)
		}
		o.SetPassword(strings.TrimSpace(string(password)))
	}
	encrypted, err := s.cfg.TLS.Load()
	if err != nil {
		return nil, false, fmt.Errorf("connect to %s: %w", s.cfg.Broker, err)
	}
	client = mqtt.NewClient(o.SetTLSConfig(encrypted))
	token := client.Connect()
	if err := wait(ctx, token); err != nil {
		return client, false, fmt.Errorf("connect to %s: %w", s.cfg.Broker, err)
	}
	return client, token.(*mqtt.ConnectToken).SessionPresent(), nil
}

// open opens the connection that the library reads from.
func (s *session) open(broker *url.URL, o mqtt.ClientOptions) (net.Conn, error) {
	conn, err := dial(broker, o)
	if err != nil {
		return nil, err
	}
	s.frames = newFrames(conn)
	return s.frames, nil
}

// dial opens a connection to the broker, as the library would by itself.
func dial(broker *url.URL, o mqtt.ClientOptions) (net.Conn, error) {
	encrypted := false
	switch broker.Scheme {
	case "mqtt", "tcp":
	case "ssl", "tls", "mqtts", "mqtt+ssl", "tcps":
		encrypted = true
	case "unix":
		return o.Dialer.Dial("unix", broker.Host+broker.Path)
	case "ws", "wss":
		plain := *broker
		plain.User = nil // the WebSocket library refuses it
		return mqtt.NewWebsocket(plain.String(), o.TLSConfig, o.ConnectTimeout, o.HTTPHeaders, o.WebsocketOptions)
	default:
		return nil, fmt.Errorf("scheme %q: want tcp, ssl, ws, wss or unix", broker.Scheme)
	}
	conn, err := proxy.FromEnvironmentUsing(o.Dialer).Dial("tcp", broker.Host)
	if err != nil || !encrypted {
		return conn, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), o.ConnectTimeout)
	defer cancel()
	return clienttls.Secure(ctx, conn, cmp.Or(o.TLSConfig, &tls.Config{MinVersion: tls.VersionTLS12}), broker.Hostname())
}

// noStore keeps nothing of what is not acknowledged yet: the broker does, and sends it again on the
// next connection. The library's own store would hold every message until its commit, those for
// which the queues had no room too.
type noStore struct{}

func (noStore) Open()                             {}
func (noStore) Put(string, packets.ControlPacket) {}
func (noStore) Get(string) packets.ControlPacket  { return nil }
func (noStore) All() []string                     { return nil }
func (noStore) Del(string)                        {}
func (noStore) Close()                            {}
func (noStore) Reset()                            {}

// subscribe makes the subscription. A kept session has it already, save where we died before it was
// made; so it is asked for in any case, and there a refusal is no failure: mochi-mqtt refuses a
// packet id that it also uses, in the other direction, for a message we have not acknowledged yet.
func (s *session) subscribe(ctx context.Context, client mqtt.Client) (granted bool, err error) {
	token := client.Subscribe(s.cfg.Topic, 1, nil)
	if err := wait(ctx, token); err != nil {
		return false, fmt.Errorf("subscribe to %s: %w", s.cfg.Topic, err)
	}
	return token.(*mqtt.SubscribeToken).Result()[s.cfg.Topic] == 1, nil
}

// wait is for the broker's answer. The library gives up waiting only when the connection breaks.
func wait(ctx context.Context, token mqtt.Token) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-token.Done():
		return token.Error()
	case <-time.After(answerTimeout):
		return fmt.Errorf("no answer within %s", answerTimeout)
	}
}

// receive sorts one message. It never blocks: behind it the library reads the answers to our pings.
func (s *session) receive(m mqtt.Message) {
	fault.Point("message.received")
	s.burst.came(time.Now())
	s.frames.took(len(m.Payload()))
	said, err := s.decode(m.Payload())
	if err != nil {
		s.unreadable(m, err)
		m.Ack()
		return
	}
	if m.Retained() {
		said = said.outdated()
	}
	q, ours := s.queues[said.Kind]
	s.metrics.messages.WithLabelValues(result(said, ours)).Inc()
	if !ours {
		m.Ack()
		return
	}
	s.handler.Heard(said.Kind)
	if said.Reconcile {
		s.handler.Reconcile(said.Kind)
	}
	if said.ids() == 0 {
		m.Ack()
		return
	}
	fault.Point("message.parsed")
	if !q.put(change{Message: said, bytes: held(m, said), ack: m.Ack}) {
		s.metrics.messages.WithLabelValues("deferred").Inc()
	}
}

// decode reads a message. The library calls from its own goroutine: a panic there would end the
// process, again when the broker sends the message again.
func (s *session) decode(payload []byte) (said Message, err error) {
	err = guard.Run(func() error {
		said, err = s.decoder(payload, s.handler.Padded)
		return err
	})
	if p := guard.Caught(err); p != nil {
		s.metrics.panics.Inc()
		s.log.Error("decoding a notification panicked", "panic", p.Value, "stack", string(p.Stack))
		err = fmt.Errorf("decode notification: %w", err)
	}
	return said, err
}

// held is what a waiting message takes: its payload, which its ack refers to, and its ids.
func held(m mqtt.Message, said Message) int {
	const header = 16 // bytes of a string beside its text
	return 2*len(m.Payload()) + header*said.ids()
}

// unreadable is a message whose kind cannot be told: it may have been any of ours.
func (s *session) unreadable(m mqtt.Message, err error) {
	kind := "malformed"
	if errors.Is(err, errOversized) {
		kind = "oversized"
	}
	s.metrics.messages.WithLabelValues(kind).Inc()
	s.sampled.Do(func() {
		payload := m.Payload()
		s.log.Warn("notification cannot be read, the catalogue is asked", "error", err, "message", fmt.Sprintf("%.100q", payload[:min(len(payload), 100)]))
	})
	for _, kind := range s.kinds {
		s.handler.Heard(kind)
		s.handler.Reconcile(kind)
	}
}

func result(m Message, ours bool) string {
	switch {
	case !ours:
		return "foreign"
	case m.Reconcile:
		return "reconcile"
	case len(m.Create) > 0:
		return "create"
	case len(m.Delete) > 0, len(m.Claim) > 0:
		return "delete"
	}
	return "update"
}

// report tells each kind that its notifications arrive, or that they cannot be committed.
func (s *session) report(now time.Time) {
	for _, kind := range s.kinds {
		if err := s.queues[kind].failure.Load(); err != nil && *err != nil {
			s.sink(observed.Failed{Kind: kind, Source: observed.SourceNotify, At: now, Err: fmt.Errorf("commit notifications: %w", *err)})
			continue
		}
		s.sink(observed.Read{Kind: kind, Source: observed.SourceNotify, At: now})
	}
}
