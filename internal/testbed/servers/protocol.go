package servers

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/segmentio/kafka-go"

	"github.com/shardscaler/shardscaler/internal/testbed/httpcall"
)

// protocol says what a server speaks, and so how to ask it whether it serves. Anything else than
// these is a URL that answers 200 when it does.
type protocol string

const (
	speaksZooKeeper protocol = "zookeeper"
	speaksKafka     protocol = "kafka"
	speaksMQTT      protocol = "mqtt"
	speaksPostgres  protocol = "postgres"
)

// answerTimeout bounds one question, so that a frozen server does not hold the asker.
const answerTimeout = 2 * time.Second

// answers is nil when the server does its own work, not merely accepts connections.
func (s *Server) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	switch {
	case s.Answers != nil:
		return s.Answers(ctx, s.Addr)
	case s.Speaks == speaksZooKeeper:
		_, err := zooKeeperMode(ctx, s.Addr)
		return err
	case s.Speaks == speaksKafka:
		return kafkaAnswers(ctx, s.Addr)
	case s.Speaks == speaksMQTT:
		return mqttAnswers(ctx, s.Addr)
	case s.Speaks == speaksPostgres:
		return postgresAnswers(ctx, s.Addr)
	}
	return urlAnswers(ctx, string(s.Speaks))
}

// exchange sends a request and reads the answer until the server closes or limit bytes have come.
func exchange(ctx context.Context, addr string, request []byte, limit int64) ([]byte, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	if _, err := conn.Write(request); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(conn, limit))
}

// zooKeeperMode is what a ZooKeeper is in its ensemble: leader, follower or standalone. One without
// a quorum answers too, but without a mode. (The client's own FLWSrvr does not read how newer
// servers write the date of their build.)
func zooKeeperMode(ctx context.Context, addr string) (string, error) {
	answer, err := exchange(ctx, addr, []byte("srvr"), 4096)
	if err != nil {
		return "", err
	}
	_, after, found := strings.Cut(string(answer), "\nMode: ")
	if !found {
		return "", fmt.Errorf("no mode in %q", answer)
	}
	mode, _, _ := strings.Cut(after, "\n")
	return mode, nil
}

// A broker lists itself once it has registered with its controller and is no longer fenced.
func kafkaAnswers(ctx context.Context, addr string) error {
	conn, err := kafka.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	brokers, err := conn.Brokers()
	if err == nil && len(brokers) == 0 {
		err = errors.New("no broker has registered yet")
	}
	return err
}

// A CONNACK is an answer also when it refuses a client without credentials.
func mqttAnswers(ctx context.Context, addr string) error {
	connect := []byte{0x10, 12, 0, 4, 'M', 'Q', 'T', 'T', 4 /* 3.1.1 */, 2 /* clean */, 0, 10, 0, 0}
	answer, err := exchange(ctx, addr, connect, 4)
	if err != nil {
		return err
	}
	if len(answer) < 2 || answer[0] != 0x20 {
		return fmt.Errorf("not a CONNACK: %x", answer)
	}
	return nil
}

// A refused password is an answer: only a server that takes connections asks for one.
func postgresAnswers(ctx context.Context, addr string) error {
	conn, err := pgx.Connect(ctx, "postgres://probe@"+addr+"/postgres?sslmode=disable")
	if err == nil {
		return conn.Close(ctx)
	}
	const invalidPassword = "28P01"
	if refused := (*pgconn.PgError)(nil); errors.As(err, &refused) && refused.Code == invalidPassword {
		return nil
	}
	return err
}

// The certificate is not checked: this asks whether something serves, and sends no secret.
func urlAnswers(ctx context.Context, url string) error {
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
		DisableKeepAlives: true,
	}}
	_, err := httpcall.Do(ctx, client, http.MethodGet, url, "", nil)
	return err
}

// Ports are taken below the range from which the kernel gives out outgoing ones: a server that a
// test stopped and starts again finds its port still free.
const firstPort, lastPort = 12000, 32000

// FreePorts returns loopback ports on which nothing listens. Another process may take one before
// the server does; starting one is therefore tried again with other ports.
func FreePorts(n int) ([]int, error) {
	const tries = 200
	ports := make([]int, 0, n)
	for range tries * n {
		port := firstPort + rand.IntN(lastPort-firstPort)
		if slices.Contains(ports, port) {
			continue
		}
		listener, err := net.Listen("tcp", loopback(port))
		if err != nil {
			continue
		}
		if ports = append(ports, port); len(ports) == n {
			return ports, listener.Close()
		}
		_ = listener.Close()
	}
	return nil, fmt.Errorf("find %d free ports: too few among %d tried from %d to %d", n, tries*n, firstPort, lastPort)
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
