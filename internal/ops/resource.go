package ops

import "time"

// Resource is where one resource runs, since when and why.
type Resource struct {
	ID string `json:"id"`
	// Instance runs it; absent: none does, and Place says where it is.
	Instance *int   `json:"instance,omitempty"`
	Pod      string `json:"pod,omitempty"`
	Node     string `json:"node,omitempty"`
	Place    string `json:"place" enum:"list,pool,flight" doc:"list: an instance owns it; pool: it waits for one; flight: it is being moved"`
	From     *int   `json:"from,omitempty" doc:"in flight: whose it was"`
	// Since and Why are of its last move. Both are absent where that is not kept: KeptSince says
	// from when on this replica knows moves.
	Since time.Time `json:"since,omitzero"`
	Why   string    `json:"why" doc:"created, drain, spread, pin, reassigned, undone, moved (why is not known) or not kept"`
	// Parked says why it has no place, or not the one it should have.
	Parked string `json:"parked,omitempty"`
	Pin    *Pin   `json:"pin,omitempty"`
	// Moves are its last, the newest first.
	Moves     []Move    `json:"moves" nullable:"false"`
	KeptSince time.Time `json:"keptSince,omitzero" doc:"moves before this are not kept"`
}

// Move is one move of a resource. -1 is the pool.
type Move struct {
	ID   string    `json:"id"`
	At   time.Time `json:"at"`
	From int       `json:"from"`
	To   int       `json:"to"`
	Why  string    `json:"why"`
}

// Pin binds a resource to an instance, over all rules of the configuration.
type Pin struct {
	Resource string `json:"resource"`
	Instance int    `json:"instance"`
	Said
}

// ResourceList is a page of ids.
type ResourceList struct {
	Items    []ResourceAt `json:"items" nullable:"false"`
	Continue string       `json:"continue,omitempty"`
}

// ResourceAt is an id and where it is: -1: the pool or in flight.
type ResourceAt struct {
	ID       string `json:"id"`
	Instance int    `json:"instance"`
}
