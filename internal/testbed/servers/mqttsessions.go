package servers

import (
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// oneByOne has the broker take over the session of an id for one connection at a time. Without it
// mochi keeps both of two clients that connect in the same moment, and sends to one of them alone:
// a leader could then be connected and hear nothing, which no broker of the field does to it.
type oneByOne struct {
	mqtt.HookBase
	mu sync.Mutex
	// taking is the connection that is taking over the session of an id.
	taking map[string]*mqtt.Client
}

// ID implements mqtt.Hook.
func (*oneByOne) ID() string { return "one-by-one" }

// Provides implements mqtt.Hook.
func (*oneByOne) Provides(b byte) bool {
	return b == mqtt.OnSessionEstablish || b == mqtt.OnSessionEstablished
}

// OnSessionEstablish waits until no other connection takes the session over.
func (h *oneByOne) OnSessionEstablish(cl *mqtt.Client, _ packets.Packet) {
	for !h.take(cl) {
		time.Sleep(time.Millisecond)
	}
}

func (h *oneByOne) take(cl *mqtt.Client) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if other := h.taking[cl.ID]; other != nil && !other.Closed() {
		return false
	}
	h.taking[cl.ID] = cl
	return true
}

// OnSessionEstablished lets the next one go on.
func (h *oneByOne) OnSessionEstablished(cl *mqtt.Client, _ packets.Packet) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.taking[cl.ID] == cl {
		delete(h.taking, cl.ID)
	}
}
