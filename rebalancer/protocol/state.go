// Package protocol is docs/protocol.md as pure functions: the assignment's form and its changes.
//
// In: the znodes of one kind, read into a State. Out: Multis, each one transaction that checks the
// head and every version that it relies on. Invariant: after each Multi alone every acknowledged
// resource is in exactly one of an instance's list, the pool and the flight. The way of a resource,
// each arrow one Multi:
//
//	        Create          Assign
//	caller ────────► pool ──────────► list of an instance
//	                 │  ▲               │ Revoke     ▲ Grant
//	    DeletePooled │  │ ReleaseToPool ▼            │
//	                 │  └──────────── flight ────────┘
//	                 ▼                  │  (Redirect: another destination)
//	               gone ◄───────────────┘
//	                        Forget
//
// Every change of a list raises `_reload`; what is in the flight leaves it only when the instance
// has released it (Released, rule 6).
package protocol

import "time"

// State is what ZooKeeper holds for one kind, with the versions at which it was read.
//
// A State is changed only by Multi.Apply, which replaces what it touches (copy on write): a Clone
// stays as it was while the original goes on, and both share everything untouched.
type State struct {
	Kind string
	// Head is the fence; HeadVersion its znode version, -1 when there is none yet.
	Head        Head
	HeadVersion int32
	Instances   map[int]*Instance
	// Pool by piece name `<epoch>-<k>`, Flight by name `<ordinal>-<times>`.
	Pool   map[string]*Piece
	Flight map[string]*Flight
	// Kept are documents beside the protocol's znodes, by name.
	Kept map[string]*Doc
	// Plan is the running wave and its undo; nil: none is stored.
	Plan *StoredPlan
	// Faults say, sorted, what of our own znodes cannot be read (a newer schema, garbage), by path.
	// Faults of instances stand at the instance. While there is either, the kind stops: every step
	// but Lead and StoreDoc refuses.
	Faults []string
	head   headZnode
	plan   planZnode
	// ReadAt is when the State was last known to equal ZooKeeper.
	ReadAt time.Time
	// Torn says that another client wrote all the while it was read: each znode is right, all
	// together may never have been true. It cannot happen to the one that leads.
	Torn bool
}

// headZnode is what is known of the znode `head` beside its content and its version.
type headZnode struct {
	zxid  int64
	fault bool // the head is among the Faults: then no client may lead
}

// planZnode is what is known of the znode `plan`; parts are the versions of all `plan/<k>`.
type planZnode struct {
	header planHeader
	parts  map[int]int32
	known
}

// Head is the znode that fences writers: every write checks its version.
type Head struct {
	V      int    `json:"v"`
	Epoch  int64  `json:"epoch"`
	Holder string `json:"holder"` // <pod>/<nonce>
	Open   []int  `json:"open"`   // ordinals that may receive, ascending
}

// Instance is one ordinal's subtree.
type Instance struct {
	Ordinal int
	// Used and Capacity are the data `{"used":n,"count":capacity}` as read, which may be wrong in
	// an adopted tree; -1: unreadable. Repair corrects them; only then may the instance receive.
	Used, Capacity int
	IDs            IDs
	// Bytes and Changed are the length and the mtime of the znode `resources`.
	Bytes   int
	Changed time.Time
	// Times is `_reload.times`, -1: missing or unreadable; highest is the greatest known of it.
	Times, highest int64
	// Status is the instance's own ephemeral status; nil when absent, persistent or unreadable.
	Status *Status
	// StatusFault says what `tmp/status` is where it is there and no Status: "is present and
	// empty".
	StatusFault string
	// Live says that `tmp/status` is ephemeral, whatever is in it: a legacy one's may be empty.
	// LiveSince is when it was made, by ZooKeeper's clock; zero unless Live.
	Live      bool
	LiveSince time.Time
	// Hidden says that `tmp/status` is there and not to be read: neither a status nor absent.
	Hidden bool
	// Begun says that another client has begun to make these znodes and has not written all of
	// them: the list is empty, and closed. newList says that the list is what was never written.
	Begun, newList bool
	// HasTmp: `tmp` exists. Versions are -1 where the znode does not exist.
	HasTmp                                     bool
	DataVersion, ListVersion, ReloadVersion    int32
	statusVersion, tmpVersion                  int32
	dataZxid, listZxid, reloadZxid, statusZxid int64
	// Fault says why the list, or what belongs to it, cannot be read; IDs are then the last ones
	// known, and count as in flight from here. listFault is what the list alone says.
	Fault, listFault string
}

// Ahead says that the instance's status tells of a `_reload` above the one that there is: another
// client has set that back, or the instance counts for itself. It proves nothing of a release.
func (in *Instance) Ahead() bool { return in.Status != nil && in.Status.Times > in.Times }

// Status is what an instance writes of itself (formats.md).
type Status struct {
	Times     int64  `json:"times"`
	Pod       string `json:"pod"`
	Fences    bool   `json:"fences"`
	SessionMs int64  `json:"sessionMs"`
}

// Piece is a part of the pool: acknowledged, owned by no instance.
type Piece struct {
	Name string
	IDs  IDs
	known
}

// Cost is what all ids of the piece add to a list.
func (p *Piece) Cost() int { return p.bytes - len(listOpen+listClose) + len(",") }

// Destinations of an id in flight that are no ordinal.
const (
	ToPool   = -1 // back to the pool when it is released
	ToDelete = -2 // forgotten when it is released
)

// Flight is what was revoked from an instance at `_reload` Times and not yet released by it.
type Flight struct {
	Name  string
	From  int
	Times int64
	Pod   string
	IDs   IDs
	To    []int // one an id: an ordinal, ToPool or ToDelete; empty: all are deletes
	// Created is the znode's ctime, for settleSeconds.
	Created time.Time
	known
}

// Doc is a small document kept beside the protocol's znodes.
type Doc struct {
	Data []byte
	known
}

// StoredPlan is a plan as persisted: its bytes are the planner's business.
type StoredPlan struct {
	ID   string
	Data []byte
}
