package rebalancer

import (
	"slices"
	"sync"
	"time"

	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// published is what was last read of a kind, for every caller to see.
type published struct {
	*parts
	mu       sync.Mutex
	state    *protocol.State // read only
	version  int             // of state; moves when more than its age changed
	failure  error           // why the latest read failed; nil when it succeeded
	failedAt time.Time
}

// Kept returns the document of that name as last read from ZooKeeper.
func (p *published) Kept(name string) ([]byte, bool) {
	doc := p.KeptDocument(name)
	if doc == nil {
		return nil, false
	}
	return slices.Clone(doc.Data), true
}

// KeptDocument is the document that Kept copies; nil: there is none. It is read
// only, and the same pointer is the same document: a caller that reads it often decodes it once.
func (p *published) KeptDocument(name string) *protocol.Doc {
	if st := p.State(); st != nil {
		return st.Kept[name]
	}
	return nil
}

// Head is the head as last read from ZooKeeper; false before the first read.
func (p *published) Head() (orders.Head, bool) {
	st := p.State()
	if st == nil {
		return orders.Head{}, false
	}
	return st.Head, true
}

// InFlight lists what is in flight, in no order.
func (p *published) InFlight() (all []orders.Flight) {
	if st := p.State(); st != nil {
		for _, f := range st.Flight {
			all = append(all, orders.Flight{From: f.From, Pod: f.Pod})
		}
	}
	return all
}

// State is the latest known state, nil before the first read. It is shared, and read only.
func (p *published) State() *protocol.State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// Lookup returns the ordinal whose list holds the id; -1 with ok when the id is known but in the
// pool or in flight. The first call builds an index, which is then kept up.
func (p *published) Lookup(id string) (ordinal int, ok bool) {
	if !p.inventory.Indexed() {
		return 0, false
	}
	at, ok := p.inventory.Index.Find(id)
	return int(max(at, -1)), ok
}

// MovesOf is what this replica has seen of the way of a resource since it follows; false: there is
// no such resource.
func (p *published) MovesOf(id string) (t inventory.Track, known bool) {
	if !p.inventory.Indexed() {
		return inventory.Track{}, false
	}
	return p.inventory.Index.Track(id)
}

// Binds says which of the rules that the leader was ordered bind a resource, and to which ordinals;
// "": none does, or nothing is known of it yet.
func (p *published) Binds(id string) (rules string, ordinals []int) { return p.inventory.Binds(id) }

// publish makes st, from now on read only, what State and Lookup answer from.
func (p *published) publish(st *protocol.State, changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if changed || p.state == nil {
		p.version++
	}
	p.state, p.failure = st, nil
	p.inventory.Follow(st)
}

// failed notes that ZooKeeper could not be read; the state keeps its age.
func (p *published) failed(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failure, p.failedAt = err, p.cfg.Now()
}

// latest is what was read last, and why the latest read failed since; nil: it did not.
func (p *published) latest() (st *protocol.State, version int, failedAt time.Time, failure error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state, p.version, p.failedAt, p.failure
}
