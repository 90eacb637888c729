package workload

import (
	"sync"

	"github.com/go-zookeeper/zk"
)

// watches are those of one session, and what its events wake.
type watches struct {
	wake chan struct{} // holds one
	mu   sync.Mutex
	// live says which znodes have a live watch; an event for a path, or a lost connection, ends it.
	live map[string]bool
}

// get reads and sets a watch unless one is still live: each watch stays in the client until it fires.
func (w *watches) get(conn *zk.Conn, file string) ([]byte, *zk.Stat, error) {
	w.mu.Lock()
	live := w.live[file]
	w.live[file] = true // before the read, so that an event in between is not forgotten
	w.mu.Unlock()
	if live {
		return conn.Get(file)
	}
	raw, stat, _, err := conn.GetW(file)
	if err != nil {
		w.end(file)
	}
	return raw, stat, err
}

func (w *watches) end(file string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.live, file)
}

// event is called by the client for every event; it must not block.
func (w *watches) event(ev zk.Event) {
	switch {
	case ev.Type != zk.EventSession:
		w.end(ev.Path)
	case ev.State == zk.StateDisconnected:
		w.mu.Lock()
		clear(w.live)
		w.mu.Unlock()
	}
	w.poke()
}

func (w *watches) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}
