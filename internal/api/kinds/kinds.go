// Package kinds is the API for operators: what each kind does and why, and what a person may ask.
//
// In: HTTP requests below /v1/api/kinds and /v1/api/nodes, from callers that were let in. Out: the
// documents of internal/ops, and a problem document (RFC 9457) for every error. Invariant: reads
// never leave the process; the leader alone carries a change out.
package kinds

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shardscaler/shardscaler/internal/api/stream"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/ops/history"
	"github.com/shardscaler/shardscaler/rebalancer"
)

// Backend is what the API shows and changes. A change's error wraps orders.ErrOutcomeUnknown if
// ZooKeeper may have it already; after any other error it is not carried out.
type Backend interface {
	Reads
	Changes
	Plans
	Histories
}

// Reads are of this replica's memory.
type Reads interface {
	// Kinds are the names of the configured kinds, in their order.
	Kinds() []string
	// View is all that is known of a kind; false when it is not configured.
	View(kind string) (*ops.View, bool)
	// Resource is where a resource is; false: no kind's resource has that id.
	Resource(kind, id string) (ops.Resource, bool)
}

// Changes are carried out by the leader.
type Changes interface {
	// Overrides is what stands over the configuration now; false: the kind is not configured.
	Overrides(kind string) (ops.Overrides, bool)
	// Change puts something over the configuration, or ends that; an empty one has the loop look
	// now. ErrInvalid, ErrNotFound, ErrPrecondition.
	Change(ctx context.Context, kind string, c ops.Change, by string) (ops.Applied, error)
	// Rollback pauses, and has the running wave of moves return. ErrConflict: nothing runs.
	Rollback(ctx context.Context, kind, by string) (rebalancer.RolledBack, error)
	// Confirm carries out the deletes of a set that wait, if their number is still that one; set 0:
	// of the only one of that size. ErrConflict: it is not.
	Confirm(ctx context.Context, kind string, set, deletes int) error
	// Reassign assumes the pod of an instance dead. ErrConflict: it seems to live.
	Reassign(ctx context.Context, kind string, ordinal int, by string) (ops.AssumedDead, error)
}

// Plans are made and applied by the leader.
type Plans interface {
	// Preview makes a plan and does nothing. ErrInvalid, ErrNotFound, previews.ErrBusy.
	Preview(ctx context.Context, kind string, c ops.Change) (ops.Plan, error)
	// Apply carries out the plan of that id, once. previews.ErrChanged (as previews.Changed: with
	// what has changed since), ErrRefused, ErrGone: it has expired, or another leader has made it;
	// ErrUnknown.
	Apply(ctx context.Context, kind, id, by string) (ops.Applied, error)
}

// Histories are read by every replica.
type Histories interface {
	// History is a page of a kind's entries, the newest first.
	History(kind string, q history.Query) ops.EntryList
	// Decided is a decision of the history as a whole; false: it is not kept.
	Decided(kind, id string) (ops.Decision, bool)
}

// What a Backend fails with, beside orders.ErrOutcomeUnknown.
var (
	// ErrInvalid marks an error as the caller's: 422.
	ErrInvalid = errors.New("invalid request")
	// ErrConflict says that what the caller was shown has changed since: 409.
	ErrConflict = errors.New("changed since")
	// ErrPrecondition says that the overrides have changed since the caller saw them: 412.
	ErrPrecondition = errors.New("the overrides are not those of If-Match any more")
	// ErrNotFound says that what is to be ended is not there: 404.
	ErrNotFound = errors.New("not found")
)

// Config configures Register.
type Config struct {
	API     huma.API
	Backend Backend
	// Read and Write let callers in: the middlewares that bound, authenticate and authorise a
	// request; Write also passes it on to the leader. History is Read for what takes milliseconds.
	Read, Write, History huma.Middlewares
	// User is the caller of a request that Write has let in.
	User func(ctx context.Context) string
	// Audit notes a change that was made, once for each, or may have been made.
	Audit func(ctx context.Context, a Audited)
	// Patience is how long a change waits for ZooKeeper. Default 30 s.
	Patience time.Duration
	// Watch lets callers in who ask for a stream; Streams serves them. Nil: there are no streams.
	Watch   huma.Middlewares
	Streams *stream.Hub
	Log     *slog.Logger
}

// handlers answer reads, and have what every answer needs.
type handlers struct {
	Config
}

// changes carry out what persons ask for.
type changes struct {
	*handlers
}

// Register registers the operations.
func Register(cfg Config) {
	h := &handlers{cfg}
	c := &changes{h}
	histories{h}.register()
	(&reads{h}).register()
	c.registerChanges()
	plans{c}.register()
}

// read and write describe an operation below /v1/api/.
func (h *handlers) read(id, path, summary string) huma.Operation {
	return huma.Operation{
		OperationID: id, Method: http.MethodGet, Path: "/v1/api/" + path, Summary: summary, Middlewares: h.Read, Tags: []string{"kinds"},
		Security: []map[string][]string{{"bearer": {}}}, Responses: Problems(h.API, nil),
	}
}

func (h *handlers) write(method, id, path, summary string) huma.Operation {
	return huma.Operation{
		OperationID: id, Method: method, Path: "/v1/api/" + path, Summary: summary, Middlewares: h.Write, Tags: []string{"kinds"},
		Security: []map[string][]string{{"bearer": {}}}, MaxBodyBytes: 64 << 10,
		Responses: Problems(h.API, map[int]reflect.Type{http.StatusGatewayTimeout: reflect.TypeFor[UnknownOutcome]()}),
	}
}

// view returns the kind's view or a 404 that lists the kinds there are.
func (h *handlers) view(kind string) (*ops.View, error) {
	v, ok := h.Backend.View(kind)
	if !ok {
		return nil, huma.Error404NotFound("kind " + strconv.Quote(kind) + " is not configured; there are " + strings.Join(h.Backend.Kinds(), ", "))
	}
	return v, nil
}
