package product

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// front is the one address of a Service: it leads each connection to a replica that is ready, as
// kubelet and kube-proxy would. A replica that is frozen or gone loses its connections when its
// probe fails.
type front struct {
	listener net.Listener
	// target is the address of a replica that it leads to.
	target func(*Server) string
	mu     sync.Mutex
	ready  []*Server
	next   int
	conns  map[net.Conn]*Server
	closed chan struct{}
	group  sync.WaitGroup
}

// probePeriod is the time between two probes of a replica, and how long it may take to answer one.
const probePeriod = 500 * time.Millisecond

// newFront listens; it serves when there are replicas, and until the Stack closes.
func (s *Stack) newFront(target func(*Server) string) (*front, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen before the replicas: %w", err)
	}
	f := &front{listener: listener, target: target, conns: map[net.Conn]*Server{}, closed: make(chan struct{})}
	s.fronts = append(s.fronts, f)
	s.onClose(f.close)
	return f, nil
}

func (f *front) port() int { return f.listener.Addr().(*net.TCPAddr).Port }

func (f *front) serve(servers []*Server) {
	f.group.Go(func() { f.probe(servers) })
	f.group.Go(func() {
		for {
			conn, err := f.listener.Accept()
			if err != nil {
				return
			}
			f.group.Go(func() { f.forward(conn) })
		}
	})
}

func (f *front) close(context.Context) error {
	close(f.closed)
	err := f.listener.Close()
	f.group.Wait()
	return err
}

// probe keeps the list of replicas that are ready: at the end none is, which ends all connections.
func (f *front) probe(servers []*Server) {
	defer f.setReady(nil)
	wait.UntilWithContext(wait.ContextForChannel(f.closed), func(ctx context.Context) {
		var ready []*Server
		for _, v := range servers {
			one, cancel := context.WithTimeout(ctx, probePeriod)
			if v.Ready(one) == nil {
				ready = append(ready, v)
			}
			cancel()
		}
		f.setReady(ready)
	}, probePeriod)
}

// setReady also cuts the connections of those that are not.
func (f *front) setReady(ready []*Server) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ready = ready
	for conn, to := range f.conns {
		if !slices.Contains(ready, to) {
			_ = conn.Close()
		}
	}
}

// LedTo are the replicas that the metrics Service leads to now: those whose last probe passed.
func (s *Stack) LedTo() []*Server {
	s.front.mu.Lock()
	defer s.front.mu.Unlock()
	return slices.Clone(s.front.ready)
}

func (f *front) forward(conn net.Conn) {
	defer conn.Close()
	f.mu.Lock()
	if len(f.ready) == 0 {
		f.mu.Unlock()
		return
	}
	f.next++
	to := f.ready[f.next%len(f.ready)]
	f.conns[conn] = to
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.conns, conn)
		f.mu.Unlock()
	}()
	back, err := net.DialTimeout("tcp", f.target(to), probePeriod)
	if err != nil {
		return
	}
	defer back.Close()
	f.group.Go(func() {
		_, _ = io.Copy(back, conn)
		_ = back.Close()
	})
	_, _ = io.Copy(conn, back)
}
