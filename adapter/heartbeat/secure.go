package heartbeat

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

// Mechanisms are what SASL can do, by Kafka's names.
var Mechanisms = []string{"PLAIN", scram.SHA256.Name(), scram.SHA512.Name()}

// mechanism is how to say who we are; nil: it is not said.
func (s *SASL) mechanism() (sasl.Mechanism, error) {
	if s == nil {
		return nil, nil
	}
	raw, err := os.ReadFile(s.PasswordFile)
	if err != nil {
		return nil, fmt.Errorf("read Kafka password: %w", err)
	}
	password := strings.TrimRight(string(raw), "\r\n")
	switch s.Mechanism {
	case "PLAIN":
		return plain.Mechanism{Username: s.Username, Password: password}, nil
	case scram.SHA256.Name():
		return scram.Mechanism(scram.SHA256, s.Username, password)
	case scram.SHA512.Name():
		return scram.Mechanism(scram.SHA512, s.Username, password)
	}
	return nil, fmt.Errorf("SASL mechanism %q: want one of %s", s.Mechanism, strings.Join(Mechanisms, ", "))
}

// open opens the connection beneath one to the broker at addr.
func (c *Config) open(ctx context.Context, network, addr string) (net.Conn, error) {
	encrypted, err := c.TLS.Load()
	if err != nil {
		return nil, err
	}
	if encrypted == nil {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	return (&tls.Dialer{Config: encrypted}).DialContext(ctx, network, addr)
}
