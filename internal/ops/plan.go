package ops

import (
	"time"

	"github.com/shardscaler/shardscaler/rebalancer/plan"
)

// Change is what a person asks for. Exactly one of its members is set, beside For and IfMatch, but
// that MaxInstances and Capacity may come together; an empty one asks for what is due now as
// configured: a spread.
type Change struct {
	// Size is how many instances there should be, whatever the signals ask for. EndSize ends that.
	Size    *int `json:"size,omitempty" minimum:"1"`
	EndSize bool `json:"endSize,omitempty"`
	// Drain is an instance that is to own nothing, Undrain one that may take resources again.
	Drain   *int `json:"drain,omitempty" minimum:"0"`
	Undrain *int `json:"undrain,omitempty" minimum:"0"`
	// Capacity is the hard limit of resources on an instance (resourcePerInstance).
	// MaxInstances is the greatest size.
	Capacity     *int `json:"capacity,omitempty" minimum:"1" maximum:"5000"`
	MaxInstances *int `json:"maxInstances,omitempty" minimum:"1"`
	// Paused stops voluntary moves (true), or lets them go on.
	Paused *bool `json:"paused,omitempty"`
	// Pin binds a resource to an instance, Unpin ends that. Move is a pin that ends by itself when
	// the resource has arrived.
	Pin   *PinRequest `json:"pin,omitempty"`
	Move  *PinRequest `json:"move,omitempty"`
	Unpin string      `json:"unpin,omitempty" maxLength:"256"`
	// For is how long a size, drain, pin, move, pause or limit counts: a duration such as 2h. Absent:
	// until it is ended.
	For string `json:"for,omitempty" example:"2h"`
	// IfMatch is the header If-Match: the ETags that the overrides may have; empty: any.
	IfMatch string `json:"-"`
}

// PinRequest names a resource and where it is to be.
type PinRequest struct {
	Resource string `json:"resource" minLength:"1" maxLength:"256"`
	Instance int    `json:"instance" minimum:"0"`
}

// Plan is what a Change would do. Nothing is done by making one.
type Plan struct {
	// ID names it in apply. It holds while kind, epoch, configuration, open set and the lists that
	// it takes from are as they were, and for ten minutes.
	ID      string    `json:"id"`
	Change  Change    `json:"change"`
	Made    time.Time `json:"made"`
	Expires time.Time `json:"expires"`
	// Size is the size that would be decided on, for a change of it.
	Size        *SizeChange      `json:"size,omitempty"`
	Description plan.Description `json:"plan"`
	// Then is the spread that is due once that is done: absent, none is.
	Then *plan.Description `json:"then,omitempty" doc:"the spread that follows once plan is done; absent: none is due then"`
	// Takes is how long the moves take at the configured rate; absent: not known.
	Takes string `json:"takes,omitempty" doc:"a duration: how long the moves take at the configured rate"`
	// Waits is what its drain or its spread waits for: it is applied all the same.
	Waits string `json:"waits,omitempty" doc:"what its drain or its spread would wait for: instances that are starting, a rolling update"`
	// Refused is why apply would be refused now: paused, blind, another wave runs.
	Refused string `json:"refused,omitempty"`
}

// SizeChange is a size before and after, and the sentence that says what limits it.
type SizeChange struct {
	Before int    `json:"before"`
	After  int    `json:"after"`
	Why    string `json:"why"`
}

// Applied is what a change has come to.
type Applied struct {
	// ID is that of the plan that was applied; absent: the change had none.
	ID     string     `json:"id,omitempty"`
	Change Change     `json:"change"`
	Kept   []Override `json:"overrides" nullable:"false" doc:"what stands over the configuration now"`
	// Version is the ETag of Kept. Before and After are for the audit log.
	Version       string `json:"version"`
	Before, After string `json:"-"`
}

// Overrides is what stands over a kind's configuration.
type Overrides struct {
	Items []Override `json:"items" nullable:"false"`
	// Version is the ETag.
	Version string `json:"version" doc:"for If-Match"`
}

// AssumedDead says of which pod a person has said that it runs nothing any more.
type AssumedDead struct {
	Instance int    `json:"instance"`
	Pod      string `json:"pod"`
	UID      string `json:"uid"`
	By       string `json:"by"`
	Left     int    `json:"left" doc:"resources that go to others"`
}
