// Package apiwire is the wire to the API server as a test sees it: requests are counted on it, and
// a watch on it can fall silent.
//
// In: requests, as a RoundTripper before the one that sends them. Out: their number by verb and
// resource. Invariant: a watch that is cut stays open and brings nothing more, not even its end, as
// where a network drops what is sent.
package apiwire

import (
	"context"
	"io"
	"maps"
	"net/http"
	"sync"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/shardscaler/shardscaler/internal/testbed/gate"
)

// Wire passes on to Next.
type Wire struct {
	Next http.RoundTripper

	mu     sync.Mutex
	counts map[string]int
	open   map[*stream]string // the watches under way, and of which resource they are
	gates  map[string]*gate.Gate
}

var requests = request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}

// RoundTrip implements http.RoundTripper.
func (w *Wire) RoundTrip(r *http.Request) (*http.Response, error) {
	info, err := requests.NewRequestInfo(r)
	if err != nil {
		return nil, err
	}
	resource := info.Resource
	if info.APIGroup != "" {
		resource += "." + info.APIGroup
	}
	w.count(info.Verb + " " + resource)
	watches := info.Verb == "watch"
	if watches {
		if err := w.gate(resource).Pass(r.Context()); err != nil {
			return nil, err
		}
	}
	answer, err := w.Next.RoundTrip(r)
	if err == nil && watches {
		answer.Body = w.follow(r.Context(), answer.Body, resource)
	}
	return answer, err
}

func (w *Wire) count(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.counts == nil {
		w.counts = map[string]int{}
	}
	w.counts[what]++
}

// Counts are the requests so far, such as "list pods.metrics.k8s.io".
func (w *Wire) Counts() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.counts)
}

// Cut makes the watches of a resource that are under way silent for good. Those opened later live.
func (w *Wire) Cut(resource string) (cut int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for s, of := range w.open {
		if of == resource {
			close(s.cut)
			delete(w.open, s)
			cut++
		}
	}
	return cut
}

// Hold is Cut, and leaves what is opened later without an answer until Release.
func (w *Wire) Hold(resource string) (cut int) {
	w.gate(resource).Shut()
	return w.Cut(resource)
}

// Release ends Hold.
func (w *Wire) Release(resource string) { w.gate(resource).Open() }

func (w *Wire) gate(resource string) *gate.Gate {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gates == nil {
		w.gates = map[string]*gate.Gate{}
	}
	if w.gates[resource] == nil {
		w.gates[resource] = &gate.Gate{}
	}
	return w.gates[resource]
}

func (w *Wire) follow(ctx context.Context, from io.ReadCloser, resource string) *stream {
	s := &stream{ReadCloser: from, wire: w, ctx: ctx, cut: make(chan struct{}), closed: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open == nil {
		w.open = map[*stream]string{}
	}
	w.open[s] = resource
	return s
}

// stream is what a watch brings.
type stream struct {
	io.ReadCloser
	wire   *Wire
	ctx    context.Context // of the request
	cut    chan struct{}   // closed: nothing passes any more
	closed chan struct{}
	once   sync.Once
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	select {
	case <-s.cut:
	default:
		return n, err
	}
	select {
	case <-s.ctx.Done():
		return 0, s.ctx.Err()
	case <-s.closed:
		return 0, io.ErrClosedPipe
	}
}

func (s *stream) Close() error {
	s.once.Do(func() {
		close(s.closed)
		s.wire.mu.Lock()
		defer s.wire.mu.Unlock()
		delete(s.wire.open, s)
	})
	return s.ReadCloser.Close()
}
