// Package api is the REST interface: what old clients keep calling, the snapshot, the decisions.
//
// In: HTTP requests. Out: JSON, and a problem document (RFC 9457) for every error. Invariant: reads
// never leave the process; writes need an authorised caller, and the leader alone carries them out.
package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/api/access"
	"github.com/shardscaler/shardscaler/internal/api/docspage"
	"github.com/shardscaler/shardscaler/internal/api/kinds"
	"github.com/shardscaler/shardscaler/internal/api/schemas"
	"github.com/shardscaler/shardscaler/internal/api/stream"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/limits"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/rebalancer"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// Backend is what the API shows and changes. A change's error wraps orders.ErrOutcomeUnknown if
// ZooKeeper may have it already; after any other error it is not carried out.
type Backend interface {
	// Saved is all that decisions are made from.
	Saved() decide.Saved
	// Kind returns one kind's view; false when it is not configured.
	Kind(name string) (KindView, bool)
	// Kinds are the names of the configured kinds, in their order.
	Kinds() []string
	// Orchestrate puts values over the ConfigMap's (nil: leave as it is) and wakes the kind's loop.
	Orchestrate(ctx context.Context, kind string, maxInstances, resourcePerInstance *int) (ops.Applied, error)
	// Confirm carries out a set's waiting deletes if they are count. Set 0: the only such, or all.
	Confirm(ctx context.Context, kind string, set, count int) error
	// Pause stops voluntary moves, or lets them go on, over what the ConfigMap says.
	Pause(ctx context.Context, kind string, paused bool) (ops.Applied, error)
	// Rollback pauses, and has the running wave of moves return. ErrConflict: nothing runs.
	Rollback(ctx context.Context, kind string) (rebalancer.RolledBack, error)
	// PodDrain says whether a pod may end, and waits up to wait for that. It can be ErrUnknownPod.
	PodDrain(ctx context.Context, namespace, pod string, wait time.Duration) (PodDrain, error)
	// Reassign assumes the pod of an instance dead, as user has said. ErrConflict: it seems to
	// live.
	Reassign(ctx context.Context, kind string, ordinal int, user string) (Reassigned, error)
	// Leader says whether this replica leads, or the URL of the leader's API, if it is known.
	Leader() (self bool, url string)
}

// ErrInvalid marks an error as the caller's: 422.
var ErrInvalid = kinds.ErrInvalid

// ErrConflict says that what the caller was shown has changed since: 409.
var ErrConflict = kinds.ErrConflict

// KindView is one kind as this replica knows it.
type KindView struct {
	// Config is in force, Override what of it was set by POST, Operator what else persons have set.
	Config   config.Kind
	Override config.Override
	Operator config.Operator
	Snapshot observed.Kind
	// State is nil until ZooKeeper was read.
	State *protocol.State
	// Decision is nil until one was made.
	Decision *outcome.Report
	Progress orders.Progress
	Waiting  *resync.Waiting
	// Follows says that another replica leads and does not tell what it alone reads: the catalogue
	// and the notifications are then no sources.
	Follows bool
	// Lookup returns the ordinal that owns a resource; -1 with ok if it is known and unowned.
	Lookup func(id string) (ordinal int, ok bool)
}

// Config configures New.
type Config struct {
	Version string
	// Guard lets callers in.
	Guard *access.Guard
	// Peers speaks with other replicas.
	Peers http.RoundTripper
	// Record has a change that a person has made in the kind's history; nil: there is none.
	Record func(kind string, c ops.ChangeEntry)
	// SlowReader is how long a reader may take for 256 KiB before it is cut off. Default 5s.
	SlowReader time.Duration
	// Patience is how long a write waits to be carried out. Default 30s.
	Patience time.Duration
	// Streams serves streams of the kinds; nil: there are none.
	Streams *stream.Hub
}

// How many requests are answered at once; half of them for one source. The rest get 429.
const (
	// maxLarge is of answers that can hold every id of a kind.
	maxLarge = 32
	maxSmall = 256
	// maxHistory is of answers that unpack what is kept: some milliseconds for 1,000 entries.
	maxHistory = 32
	// maxDrains is of preStop hooks, which wait: they come from as many pods as end at once.
	maxDrains = 4096
)

// New registers the API's operations on mux.
func New(cfg Config, mux *http.ServeMux, backend Backend, operators kinds.Backend, log *slog.Logger) {
	hc := huma.DefaultConfig("shardscaler", cfg.Version)
	hc.Info.Description = "Sizes, assignments and moves of sharded, stateful workloads."
	hc.DocsPath = ""     // the page would load its scripts from elsewhere
	hc.CreateHooks = nil // no $schema member in answers: old clients compare whole documents
	hc.OpenAPIPath = "/v1/api/openapi"
	hc.SchemasPath = ""
	exactly := huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: readBody}
	hc.Formats = map[string]huma.Format{"application/json": exactly, "json": exactly}
	hc.Components.Schemas = schemas.New()
	hc.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"bearer": {Type: "http", Scheme: "bearer"}}
	h := &handlers{
		api: humago.New(mux, hc), backend: backend, guard: cfg.Guard, peers: cfg.Peers, log: log,
		slowReader: cmp.Or(cfg.SlowReader, 5*time.Second), patience: cmp.Or(cfg.Patience, patience),
		audit: func(ctx context.Context, a kinds.Audited) {
			access.Audit(ctx, access.Note{Before: a.Before, After: a.After})
			if cfg.Record != nil {
				cfg.Record(a.Kind, ops.ChangeEntry{By: a.User, What: a.Operation, Before: a.Before, After: a.After})
			}
		},
		large: limits.NewShare(maxLarge), small: limits.NewShare(maxSmall), drains: limits.NewShare(maxDrains),
	}
	h.registerReads()
	h.registerWrites()
	docspage.Register(mux)
	h.registerSession()
	registerNoCalls(mux, log)
	kinds.Register(kinds.Config{
		API: h.api, Backend: operators, Log: log,
		Watch: huma.Middlewares{cfg.Guard.Let, h.known}, Streams: cfg.Streams,
		Read:    append(h.places(h.small), cfg.Guard.Let, h.known),
		History: append(h.places(limits.NewShare(maxHistory)), cfg.Guard.Let, h.known),
		Write:   append(h.places(h.small), cfg.Guard.Let, h.known, h.forward, cfg.Guard.Logged),
		User:    func(ctx context.Context) string { return access.UserFrom(ctx).Name }, Patience: h.patience,
		Audit: h.audit,
	})
}

type handlers struct {
	api        huma.API
	backend    Backend
	guard      *access.Guard
	peers      http.RoundTripper
	log        *slog.Logger
	slowReader time.Duration
	patience   time.Duration
	encodings  encodings
	// audit notes a change that was made, or may have been made, in the audit log and the history.
	audit func(context.Context, kinds.Audited)

	large, small, drains *limits.Share
}

// places lets as many requests through as share has places, and answers 429 to the others.
func (h *handlers) places(share *limits.Share) huma.Middlewares {
	return huma.Middlewares{func(ctx huma.Context, next func(huma.Context)) {
		source := access.SourceFrom(ctx.Context(), ctx.RemoteAddr())
		if !share.Enter(source) {
			ctx.SetHeader("Retry-After", "1")
			h.refuse(ctx, http.StatusTooManyRequests, fmt.Sprintf(
				"too many concurrent requests of this sort, limit %d for one address", share.Each()))
			return
		}
		defer share.Leave(source)
		next(ctx)
	}}
}

func (h *handlers) refuse(ctx huma.Context, status int, detail string) {
	if err := huma.WriteErr(h.api, ctx, status, detail); err != nil {
		h.log.Debug("answer not written", "error", err)
	}
}

// view returns the kind's view or a 404 that lists the kinds there are.
func (h *handlers) view(kind string) (KindView, error) {
	v, ok := h.backend.Kind(kind)
	if !ok {
		return KindView{}, huma.Error404NotFound("kind " + strconv.Quote(kind) + " is not configured; there are " + strings.Join(h.backend.Kinds(), ", "))
	}
	return v, nil
}

func problem(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrInvalid):
		return huma.Error422UnprocessableEntity(err.Error())
	case errors.Is(err, ErrUnknownPod):
		return huma.Error404NotFound(err.Error())
	case errors.Is(err, ErrConflict):
		return huma.Error409Conflict(err.Error())
	case errors.Is(err, orders.ErrNotLeading):
		return kinds.NoLeader()
	default:
		return huma.Error503ServiceUnavailable(err.Error())
	}
}
