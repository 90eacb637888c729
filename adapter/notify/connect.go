package notify

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
	"golang.org/x/net/proxy"

	"github.com/shardscaler/shardscaler/internal/clienttls"
)

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
