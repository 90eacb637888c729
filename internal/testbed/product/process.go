package product

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"time"

	"github.com/shardscaler/shardscaler/internal/testbed/httpcall"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// Process is one of our programs; it can be ended in any way and started again. What is added to
// its Env takes force at the next start.
type Process struct{ *servers.Server }

func newProcess(env *servers.Env, dir, name, program string, args ...string) *Process {
	return &Process{env.NewProcess(name, dir, append([]string{program}, args...)...)}
}

// Start starts the program; it need not answer yet.
func (p *Process) Start() error {
	if p.Running() {
		return fmt.Errorf("start %s: it runs already", p.Name)
	}
	return p.Launch()
}

// Stop asks it to end and waits for that; one that does not is killed and reported.
func (p *Process) Stop(ctx context.Context) error {
	if !p.Running() {
		return nil
	}
	id, limit := p.ID(), Patience
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline))
	}
	if err := errors.Join(id.Signal(syscall.SIGCONT), id.Signal(syscall.SIGTERM)); err != nil {
		return err
	}
	switch status, gone := id.AwaitExit(limit); {
	case !gone:
		return errors.Join(fmt.Errorf("stop %s: it did not end\n%s", p.Name, p.Tail(10)), p.Kill())
	case status.Signaled() || status.ExitStatus() > 0:
		return fmt.Errorf("stop %s: it ended with exit code %d, signal %v\n%s",
			p.Name, status.ExitStatus(), status.Signal(), p.Tail(10))
	}
	return nil
}

// Server is one replica of shardscaler.
type Server struct {
	*Process        // its Addr is that of REST, probes and Prometheus
	Secure   string // host:port of what is served over TLS
	// PlainTokens: it is a build, or has a flag, that takes tokens over plain HTTP.
	PlainTokens bool
	// Checked stands between REST and the network, so that a test sees each answer; it may be nil.
	Checked func(http.RoundTripper) http.RoundTripper

	bundle     func(context.Context) ([]byte, error)
	serverName string
}

// startServers starts the replicas and the front before them.
func (s *Stack) startServers(context.Context) error {
	dsn, err := s.write("catalogue-dsn", []byte(s.Catalogue.ReaderURL))
	if err != nil {
		return err
	}
	ports, err := servers.FreePorts(2 * s.Replicas)
	if err != nil {
		return err
	}
	for i := range s.Replicas {
		name := fmt.Sprintf("shardscaler-%d", i)
		addr := fmt.Sprintf("127.0.0.1:%d", ports[2*i])
		secure := ports[2*i+1]
		args := []string{
			"run", "--namespace", s.Namespace, "--pod-name", name, "--kubeconfig", s.Kubeconfig,
			"--zookeeper", s.ZooKeeper.Connect + s.Chroot,
			"--kafka", s.Kafka.Addr, "--mqtt", s.Env.MQTT.URL, "--mqtt-client-id", s.Namespace, "--mqtt-topic", s.MQTTTopic,
			"--catalogue-dsn-file", dsn, "--listen", addr, "--advertise", addr,
			"--bind-address", "127.0.0.1", "--secure-port", fmt.Sprint(secure),
		}
		if !s.DefaultTimers {
			args = append(args, "--zookeeper-session-timeout", "4s")
		}
		if s.SelfManagedCert {
			args = append(args, "--tls-self-managed")
		} else {
			args = append(args, "--tls-cert-file", s.Certs.ServerCert, "--tls-private-key-file", s.Certs.ServerKey)
		}
		args = append(args, s.ServerFlags...)
		if s.EachServer != nil {
			args = append(args, s.EachServer(i)...)
		}
		server := &Server{
			Process: newProcess(s.Env, s.Dir, name, s.Programs.Shardscaler, args...),
			Secure:  fmt.Sprintf("127.0.0.1:%d", secure),
			bundle:  s.CABundle, serverName: s.serverName(),
		}
		server.Addr, server.Env = addr, append(server.Env, s.ServerEnv...)
		s.onClose(server.Stop)
		if err := server.Start(); err != nil {
			return err
		}
		s.Servers = append(s.Servers, server)
	}
	for _, f := range s.fronts {
		f.serve(s.Servers)
	}
	return nil
}

// Ready asks /readyz.
func (v *Server) Ready(ctx context.Context) error {
	_, err := v.Text(ctx, "/readyz")
	return err
}

// awaitReady returns when every replica is ready and each of its APIs answers through the API
// server, which finds each of them available in its own time.
func (s *Stack) awaitReady(ctx context.Context) error {
	for _, v := range s.Servers {
		if err := s.AwaitReady(ctx, v); err != nil {
			return err
		}
	}
	if s.Private {
		return nil
	}
	return Until(ctx, Patience, func(ctx context.Context) error {
		for _, api := range s.apis {
			if _, err := s.Raw(ctx, "/apis/"+api); err != nil {
				return err
			}
		}
		return nil
	})
}

// AwaitReady returns when a replica is ready, and early when it has ended.
func (s *Stack) AwaitReady(ctx context.Context, v *Server) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	err := Until(ctx, Patience, func(ctx context.Context) error {
		if !v.Running() {
			cancel(errors.New("it has ended"))
		}
		return v.Ready(ctx)
	})
	if err != nil {
		return fmt.Errorf("%s is not ready: %w\n%s", v.Name, err, v.Tail(20))
	}
	return nil
}

// Text gets a page of the replica: /readyz, /metrics.
func (v *Server) Text(ctx context.Context, path string) (string, error) {
	raw, err := httpcall.Do(ctx, httpcall.Once, http.MethodGet, "http://"+v.Addr+path, "", nil)
	return string(raw), err
}
