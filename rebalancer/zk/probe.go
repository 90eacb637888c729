package zk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/shardscaler/shardscaler/internal/clienttls"
)

// Server is what one server of an ensemble has said of itself.
type Server struct {
	Address string
	// Version, such as 3.9.4, and Mode, such as leader, are empty where Trouble says why.
	Version, Mode string
	Trouble       error
}

// ErrNoWord is the Trouble of a server that is there and says nothing of itself.
var ErrNoWord = errors.New("it does not answer the word srvr (4lw.commands.whitelist)")

// Ensemble is what Probe has seen.
type Ensemble struct {
	Servers []Server
	// Chroot is the path below which the tree is; empty: /. Exists says whether it is there.
	Chroot string
	Exists bool
}

// Probe looks at an ensemble and changes nothing in it. err is why no Client could write there: no
// session, refused credentials, or a right that lacks.
func Probe(ctx context.Context, cfg Config) (Ensemble, error) {
	cfg = cfg.Default()
	servers, chroot, err := parseServers(cfg.Servers)
	if err != nil {
		return Ensemble{}, err
	}
	seen := Ensemble{Servers: make([]Server, len(servers)), Chroot: chroot}
	var asking sync.WaitGroup
	defer asking.Wait()
	for i, server := range servers { // beside each other: one that is silent takes all the time there is
		asking.Go(func() { seen.Servers[i] = askServer(ctx, server, cfg.TLS) })
	}
	l := newLink(cfg, slog.New(slog.DiscardHandler), newMetrics(prometheus.NewRegistry()), func(string) {})
	s, err := newSession(l)
	if err != nil {
		return seen, err
	}
	defer s.end()
	select {
	case <-ctx.Done():
		_, _, trouble := l.present()
		return seen, fmt.Errorf("open a session: %w: %w", ctx.Err(), trouble)
	case <-s.up:
	}
	if err := authenticate(ctx, s); err != nil {
		return seen, err
	}
	seen.Exists, err = mayWrite(ctx, s, chroot)
	return seen, err
}

// mayWrite says whether the chroot is there. Its error is that no znode can be made below it, or
// below the nearest parent that exists: it is tried in a transaction that always fails.
func mayWrite(ctx context.Context, s *session, chroot string) (exists bool, err error) {
	at := chroot
	for ; at != ""; at = at[:strings.LastIndexByte(at, '/')] {
		there, err := present(ctx, s, at)
		if err != nil {
			return false, fmt.Errorf("look at %s: %w", at, err)
		}
		if there {
			break
		}
	}
	const probe = "/shardscaler-preflight"
	_, err = do(ctx, s, func(conn *zk.Conn) (struct{}, error) {
		_, err := conn.Multi(&zk.CreateRequest{Path: at + probe, Acl: openACL}, &zk.CheckVersionRequest{Path: at + probe, Version: 1})
		return struct{}{}, err
	})
	if err == nil || errors.Is(err, zk.ErrBadVersion) || errors.Is(err, zk.ErrNodeExists) {
		return at == chroot, nil
	}
	return at == chroot, fmt.Errorf("make a znode below %s/: %w", at, err)
}

// askServer asks one server by the word srvr, which servers answer without a session.
func askServer(ctx context.Context, address string, files *clienttls.Files) Server {
	s := Server{Address: address}
	answer, err := word(ctx, address, files)
	if s.Trouble = err; err != nil {
		return s
	}
	for line := range strings.Lines(answer) {
		if version, is := strings.CutPrefix(line, "Zookeeper version: "); is {
			s.Version, _, _ = strings.Cut(version, "-")
		}
		if mode, is := strings.CutPrefix(line, "Mode: "); is {
			s.Mode = strings.TrimSpace(mode)
		}
	}
	if s.Version == "" {
		s.Trouble = fmt.Errorf("%w: %.80q", ErrNoWord, strings.TrimSpace(answer))
	}
	return s
}

func word(ctx context.Context, address string, files *clienttls.Files) (answer string, err error) {
	encrypted, err := files.Load()
	if err != nil {
		return "", err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err == nil && encrypted != nil {
		host, _, _ := net.SplitHostPort(address)
		conn, err = clienttls.Secure(ctx, conn, encrypted, host)
	}
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }() // it was only read
	// a connection that is closed already fails below
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	if _, err := conn.Write([]byte("srvr")); err != nil {
		return "", err
	}
	const most = 4096
	text, err := io.ReadAll(io.LimitReader(conn, most))
	return string(text), err
}
