package orders

import (
	"errors"
	"fmt"
	"slices"

	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Update makes a kept document from the one that ZooKeeper holds; old is nil where there is none,
// and belongs to the callee. The one goroutine that writes calls it, again after a conflict and
// after a lost answer, over what is there then: so calls of Keep never lose each other's changes.
// It must be quick, have no effects of its own, and make the same of what it has made before.
type Update func(old []byte) (fresh []byte, err error)

// Replace is the Update of a document that one writer alone makes, and makes whole.
func Replace(data []byte) Update {
	data = slices.Clone(data)
	return func([]byte) ([]byte, error) { return data, nil }
}

// PartsUpdate is an Update of a document that has parts, which are written in the same transaction.
type PartsUpdate func(old []byte) (fresh []byte, parts []protocol.Part, err error)

// What a call can fail with.
var (
	// ErrNotLeading: a write was asked of a replica that does not lead, or ceased to.
	ErrNotLeading = errors.New("not leading")
	// ErrNotSent: what was asked for was not sent before its caller gave up, and never will be.
	ErrNotSent = errors.New("not carried out")
	// ErrOutcomeUnknown: what was asked for was sent, and the caller gave up, or this replica
	// ceased to lead, before it was known what became of it. What ZooKeeper shows later tells.
	ErrOutcomeUnknown = errors.New("outcome unknown")
	// ErrTooLarge: a document has more than MaxDocumentBytes.
	ErrTooLarge = protocol.ErrTooLarge
)

// MaxDocumentBytes is the largest document that ZooKeeper takes.
const MaxDocumentBytes = protocol.MaxDocBytes

// Head says who holds the head of the kind in ZooKeeper, and its epoch.
type Head = protocol.Head

// Flight is what was revoked from an ordinal while that pod ran it, and is not released yet.
type Flight struct {
	From int
	// Pod is the pod's uid; "" where none was known.
	Pod string
}

// ReassignCommand is what a person types to reassign what an instance owns without proof.
func ReassignCommand(kind string, ordinal int) string {
	return fmt.Sprintf("shardscaler reassign %s %d --assume-dead --server URL", kind, ordinal)
}
