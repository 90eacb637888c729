package product

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// Process is one of our programs; it can be ended in any way and started again.
type Process struct {
	Name string
	// Log collects the output of all its runs.
	Log string
	// Env is added to its environment at the next start.
	Env  []string
	env  *servers.Env
	argv []string

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when the run has ended
}

func (s *Stack) newProcess(name, program string, args ...string) *Process {
	done := make(chan struct{})
	close(done)
	return &Process{Name: name, Log: filepath.Join(s.Dir, name+".log"), env: s.Env, argv: append([]string{program}, args...), done: done}
}

// Start starts the program; it need not answer yet.
func (p *Process) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !ended(p.done) {
		return fmt.Errorf("start %s: it runs already", p.Name)
	}
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	defer log.Close()
	cmd := p.env.Command(context.Background(), p.argv[0], p.argv[1:]...)
	cmd.Env = append(cmd.Env, p.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is ours to pass on
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	done := make(chan struct{})
	p.cmd, p.done = cmd, done
	go func() {
		defer close(done)
		_ = cmd.Wait() // how it ended is in ProcessState
	}()
	return nil
}

// Become makes another program of it, with the same arguments, at the next start.
func (p *Process) Become(program string) { p.argv[0] = program }

// Running says whether it has not ended.
func (p *Process) Running() bool {
	_, done := p.run()
	return !ended(done)
}

// Pid is that of its run; 0 when it does not run.
func (p *Process) Pid() int {
	cmd, done := p.run()
	if cmd == nil || ended(done) {
		return 0
	}
	return cmd.Process.Pid
}

// Kill is kill -9; it returns when the process is gone.
func (p *Process) Kill() error { return p.signal(syscall.SIGKILL, true) }

// Freeze stops it in mid-air; Continue ends that.
func (p *Process) Freeze() error { return p.signal(syscall.SIGSTOP, false) }

// Continue ends Freeze.
func (p *Process) Continue() error { return p.signal(syscall.SIGCONT, false) }

// Stop asks it to end and waits for that; one that does not is killed and reported.
func (p *Process) Stop(ctx context.Context) error {
	if !p.Running() {
		return nil
	}
	_ = p.signal(syscall.SIGCONT, false)
	if err := p.signal(syscall.SIGTERM, false); err != nil {
		return err
	}
	cmd, done := p.run()
	select {
	case <-done:
		if code := cmd.ProcessState.ExitCode(); code != 0 {
			return fmt.Errorf("stop %s: it ended with %s\n%s", p.Name, cmd.ProcessState, p.Tail(10))
		}
		return nil
	case <-ctx.Done():
	case <-time.After(Patience):
	}
	return errors.Join(fmt.Errorf("stop %s: it did not end\n%s", p.Name, p.Tail(10)), p.Kill())
}

func (p *Process) signal(sig syscall.Signal, wait bool) error {
	cmd, done := p.run()
	if cmd == nil || ended(done) {
		return nil
	}
	if err := cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", p.Name, err)
	}
	if wait {
		<-done
	}
	return nil
}

func (p *Process) run() (*exec.Cmd, chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd, p.done
}

// Tail returns the last lines of its log.
func (p *Process) Tail(lines int) string {
	raw, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

func ended(done chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// Server is one replica of shardscaler.
type Server struct {
	*Process
	// Addr is host:port of REST, probes and Prometheus; Secure that of the metrics API.
	Addr, Secure string
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
			"run", "--namespace", s.Namespace, "--pod-name", name, "--kubeconfig", s.kubeconfig,
			"--zookeeper", s.zookeeper(), "--zookeeper-session-timeout", "4s",
			"--kafka", s.Kafka.Addr, "--mqtt", s.MQTT.URL, "--mqtt-client-id", s.Namespace, "--mqtt-topic", s.MQTTTopic,
			"--catalogue-dsn-file", dsn, "--listen", addr, "--advertise", addr,
			"--bind-address", "127.0.0.1", "--secure-port", fmt.Sprint(secure),
			"--lease-duration", "5s", "--renew-deadline", "3s", "--retry-period", "500ms",
		}
		if s.SelfManagedCert {
			args = append(args, "--tls-self-managed")
		} else {
			args = append(args, "--tls-cert-file", s.certs.certFile, "--tls-private-key-file", s.certs.keyFile)
		}
		args = append(args, s.ServerFlags...)
		if s.EachServer != nil {
			args = append(args, s.EachServer(i)...)
		}
		server := &Server{
			Process: s.newProcess(name, s.Programs.Shardscaler, args...),
			Addr:    addr, Secure: fmt.Sprintf("127.0.0.1:%d", secure),
		}
		server.Env = s.ServerEnv
		s.onClose(server.Stop)
		if err := server.Start(); err != nil {
			return err
		}
		s.Servers = append(s.Servers, server)
	}
	if s.rest != nil {
		if err := s.rest.serve(s.Servers); err != nil {
			return err
		}
	}
	return s.front.serve(s.Servers)
}

// Ready asks /readyz.
func (v *Server) Ready(ctx context.Context) error {
	_, err := v.Text(ctx, "/readyz")
	return err
}

// awaitReady returns when every replica is ready and the metrics API answers through the API server.
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
		_, err := s.Raw(ctx, "/apis/custom.metrics.k8s.io/v1beta2")
		return err
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
	raw, err := call(ctx, http.MethodGet, "http://"+v.Addr+path, "", nil)
	return string(raw), err
}
