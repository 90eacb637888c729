package kinds

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/klauspost/compress/gzhttp"

	"github.com/shardscaler/shardscaler/internal/api/etag"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/previews"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
)

// Audited is one change that a person has made, or may have made, for the audit log.
type Audited struct {
	User, Operation, Kind string
	// Before and After are what stood over the configuration, or else what was asked for, in words.
	Before, After string
}

// registerChanges registers what persons put over the configuration.
func (h *changes) registerChanges() {
	overrides := unchanged(h.read("get-overrides", "kinds/{kind}/overrides", "What persons have put over the configuration"))
	overrides.Middlewares = append(overrides.Middlewares, asItIs)
	huma.Register(h.API, overrides, h.overrides)
	put := func(method, id, path, summary string) huma.Operation {
		op := h.write(method, id, "kinds/{kind}/"+path, summary)
		op.Errors = []int{404, 412, 422, 503}
		return op
	}
	h.registerDrains(put)
	h.registerPins(put)
	h.registerSize(put)
	h.registerWaves(put)
}

// describes makes an operation below a kind.
type describes func(method, id, path, summary string) huma.Operation

func (h *changes) registerDrains(put describes) {
	drain := put(http.MethodPost, "drain", "drains", "Drain an instance: it is closed and emptied, and its pod stays")
	huma.Register(h.API, drain, func(ctx context.Context, in *drainInput) (*appliedOutput, error) {
		return h.change(ctx, "drain", in.ChangeInput, ops.Change{Drain: &in.Body.Instance, For: in.Body.For})
	})
	undrain := put(http.MethodDelete, "undrain", "drains/{ordinal}", "End the drain of an instance: it takes resources again")
	huma.Register(h.API, undrain, func(ctx context.Context, in *undrainInput) (*appliedOutput, error) {
		return h.change(ctx, "undrain", in.ChangeInput, ops.Change{Undrain: &in.ordinal})
	})
}

func (h *changes) registerPins(put describes) {
	pin := put(http.MethodPost, "pin", "pins", "Bind a resource to an instance, until that is ended")
	huma.Register(h.API, pin, func(ctx context.Context, in *pinInput) (*appliedOutput, error) {
		return h.change(ctx, "pin", in.ChangeInput, ops.Change{Pin: &in.Body.PinRequest, For: in.Body.For})
	})
	move := put(http.MethodPost, "move", "moves", "Move a resource to an instance: a pin that ends when it has arrived")
	huma.Register(h.API, move, func(ctx context.Context, in *pinInput) (*appliedOutput, error) {
		return h.change(ctx, "move", in.ChangeInput, ops.Change{Move: &in.Body.PinRequest, For: in.Body.For})
	})
	unpin := put(http.MethodDelete, "unpin", "pins", "End a pin or a move: the resource is free")
	huma.Register(h.API, unpin, func(ctx context.Context, in *unpinInput) (*appliedOutput, error) {
		return h.change(ctx, "unpin", in.ChangeInput, ops.Change{Unpin: in.Resource})
	})
}

func (h *changes) registerSize(put describes) {
	size := put(http.MethodPut, "set-size", "size", "Set the size, within init and max, whatever the signals ask for")
	huma.Register(h.API, size, func(ctx context.Context, in *sizeInput) (*appliedOutput, error) {
		return h.change(ctx, "set-size", in.ChangeInput, ops.Change{Size: &in.Body.Size, For: in.Body.For})
	})
	huma.Register(h.API, put(http.MethodDelete, "end-size", "size", "Leave the size to the signals again"),
		func(ctx context.Context, in *ChangeInput) (*appliedOutput, error) {
			return h.change(ctx, "end-size", *in, ops.Change{EndSize: true})
		})
	limits := put(http.MethodPut, "set-limits", "limits", "Set the greatest size and the hard limit of resources on an instance")
	huma.Register(h.API, limits, h.limits)
	wake := put(http.MethodPost, "orchestrate-kind", "orchestrate", "Have the leader look at the kind now")
	huma.Register(h.API, wake, func(ctx context.Context, in *ChangeInput) (*appliedOutput, error) {
		return h.change(ctx, "orchestrate-kind", *in, ops.Change{})
	})
}

func (h *changes) registerWaves(put describes) {
	pause := put(http.MethodPost, "pause-kind", "pause", "Pause voluntary moves; drains go on and unassigned resources get a place")
	huma.Register(h.API, pause, func(ctx context.Context, in *pauseInput) (*appliedOutput, error) {
		paused, long := true, ""
		if in.Body != nil {
			long = in.Body.For
		}
		return h.change(ctx, "pause-kind", in.ChangeInput, ops.Change{Paused: &paused, For: long})
	})
	huma.Register(h.API, put(http.MethodDelete, "resume-kind", "pause", "Let voluntary moves go on"),
		func(ctx context.Context, in *ChangeInput) (*appliedOutput, error) {
			paused := false
			return h.change(ctx, "resume-kind", *in, ops.Change{Paused: &paused})
		})
	rollback := put(http.MethodPost, "rollback-kind", "rollback", "Take back the running wave of moves, and pause")
	rollback.Errors = append(rollback.Errors, http.StatusConflict)
	huma.Register(h.API, rollback, h.rollback)
	confirm := put(http.MethodPost, "confirm-kind", "confirm", "Confirm the deletes that a comparison with the catalogue found")
	confirm.Errors = append(confirm.Errors, http.StatusConflict)
	huma.Register(h.API, confirm, h.confirm)
	reassign := put(http.MethodPost, "reassign-instance", "reassign", "Assume a pod dead, so that what it owns is reassigned without proof of release")
	reassign.Errors = append(reassign.Errors, http.StatusConflict)
	huma.Register(h.API, reassign, h.reassign)
}

// ChangeInput is what every change has; exported as KindPath is.
type ChangeInput struct {
	KindPath
	IfMatch string `header:"If-Match" doc:"the ETag of GET …/overrides: nothing is changed, 412, if they have changed since"`
}

// ForBody is how long a change counts; exported as KindPath is.
type ForBody struct {
	For string `json:"for,omitempty" example:"2h" doc:"how long it counts; absent: until it is ended"`
}

type drainInput struct {
	ChangeInput
	Body struct {
		Instance int `json:"instance" minimum:"0" doc:"the ordinal"`
		ForBody
	}
}

type undrainInput struct {
	ChangeInput
	OrdinalPath
}

type pinInput struct {
	ChangeInput
	Body struct {
		ops.PinRequest
		ForBody
	}
}

type unpinInput struct {
	ChangeInput
	Resource string `query:"resource" required:"true" minLength:"1" maxLength:"256"`
}

type sizeInput struct {
	ChangeInput
	Body struct {
		Size int `json:"size" minimum:"1"`
		ForBody
	}
}

type limitsInput struct {
	ChangeInput
	Body struct {
		MaxInstances        *int   `json:"maxInstances,omitempty" doc:"greatest size; 3 to the configured ceiling, not below init"`
		ResourcePerInstance *int   `json:"resourcePerInstance,omitempty" doc:"hard limit of resources on an instance; 1 to 5000"`
		For                 string `json:"for,omitempty" example:"2h" doc:"how long they count; absent: until the ConfigMap says something else"`
	}
}

type pauseInput struct {
	ChangeInput
	Body *ForBody `required:"false"`
}

type appliedOutput struct {
	ETag string `header:"ETag" doc:"of GET …/overrides from now on"`
	Body ops.Applied
}

func (h *changes) overrides(_ context.Context, in *struct {
	KindPath
	IfNoneMatch
},
) (*document[ops.Overrides], error) {
	if _, err := h.view(in.Kind); err != nil {
		return nil, err
	}
	o, _ := h.Backend.Overrides(in.Kind)
	if in.IfNoneMatch.IfNoneMatch != "" && etag.Names(in.IfNoneMatch.IfNoneMatch, tag(o.Version)) {
		return &document[ops.Overrides]{Status: http.StatusNotModified, ETag: tag(o.Version)}, nil
	}
	return &document[ops.Overrides]{Status: http.StatusOK, ETag: tag(o.Version), Body: o}, nil
}

// asItIs keeps an answer from being packed on its way: its tag is strong, for it alone.
func asItIs(ctx huma.Context, next func(huma.Context)) {
	ctx.SetHeader(gzhttp.HeaderNoCompression, "strong tag") // which is not sent
	next(ctx)
}

func tag(version string) string { return `"` + version + `"` }

func (h *changes) limits(ctx context.Context, in *limitsInput) (*appliedOutput, error) {
	if in.Body.MaxInstances == nil && in.Body.ResourcePerInstance == nil {
		return nil, huma.Error422UnprocessableEntity("maxInstances and resourcePerInstance: one of them must be there")
	}
	return h.change(ctx, "set-limits", in.ChangeInput, ops.Change{
		MaxInstances: in.Body.MaxInstances, Capacity: in.Body.ResourcePerInstance, For: in.Body.For,
	})
}

// change carries out a change of the overrides.
func (h *changes) change(ctx context.Context, operation string, in ChangeInput, c ops.Change) (*appliedOutput, error) {
	c.IfMatch = in.IfMatch
	var done ops.Applied
	err := h.carryOut(ctx, operation, in.Kind, func(ctx context.Context, user string) (before, after string, err error) {
		done, err = h.Backend.Change(ctx, in.Kind, c, user)
		return done.Before, done.After, err
	})
	if err != nil {
		return nil, err
	}
	return &appliedOutput{ETag: tag(done.Version), Body: done}, nil
}

// doing does what a user asks for, and says for the audit log what was before and after.
type doing func(ctx context.Context, user string) (before, after string, err error)

// carryOut makes a change of a kind, and notes it in the audit log. What is not sent to ZooKeeper
// within the patience never is.
func (h *changes) carryOut(ctx context.Context, operation, kind string, do doing) error {
	if _, err := h.view(kind); err != nil {
		return err
	}
	patient, cancel := context.WithTimeout(ctx, h.patience())
	defer cancel()
	user := h.User(ctx)
	err := Noted(Audited{User: user, Operation: operation, Kind: kind}, func(a Audited) { h.Audit(ctx, a) },
		func() (before, after string, err error) { return do(patient, user) })
	if errors.Is(err, orders.ErrOutcomeUnknown) {
		return Unknown(operation, kind, err.Error())
	}
	return problem(err)
}

// Noted does what a person asks for, and has audit note it with what was before and after: once,
// where it is done, where its outcome is not known, and where it panics.
func Noted(a Audited, audit func(Audited), do func() (before, after string, err error)) (err error) {
	returned := false
	defer func() {
		if !returned {
			a.After = "unknown: it panicked, a part of it may be done"
			audit(a)
		}
	}()
	a.Before, a.After, err = do()
	returned = true
	if errors.Is(err, orders.ErrOutcomeUnknown) {
		a.After = "unknown: " + err.Error()
	} else if err != nil {
		return err
	}
	audit(a)
	return err
}

func (h *changes) patience() time.Duration {
	if h.Patience > 0 {
		return h.Patience
	}
	return 30 * time.Second
}

// NoLeader is the problem document for a change that this replica did not make: it ceased to lead
// when it was to, or does not lead yet.
func NoLeader() error {
	no := huma.Error503ServiceUnavailable("the leader is changing, and nothing was done; try again in a few seconds")
	return huma.ErrorWithHeaders(no, http.Header{"Retry-After": {"5"}})
}

// problem is the problem document for an error of the Backend; what has changed since a preview is
// listed.
func problem(err error) error {
	if err == nil {
		return nil
	}
	var answer huma.StatusError
	var changed *previews.Changed
	switch {
	case errors.As(err, &answer): // the caller may not make the plan's change
		return err
	case errors.As(err, &changed):
		var reasons []error
		for _, r := range changed.Reasons {
			reasons = append(reasons, &huma.ErrorDetail{Message: r, Location: "body.plan"})
		}
		return huma.Error409Conflict(err.Error(), reasons...)
	case errors.Is(err, previews.ErrChanged), errors.Is(err, previews.ErrRefused), errors.Is(err, ErrConflict):
		return huma.Error409Conflict(err.Error())
	case errors.Is(err, ErrInvalid), errors.Is(err, orders.ErrTooLarge):
		return huma.Error422UnprocessableEntity(err.Error())
	case errors.Is(err, ErrNotFound), errors.Is(err, previews.ErrUnknown):
		return huma.Error404NotFound(err.Error())
	case errors.Is(err, ErrPrecondition):
		return huma.Error412PreconditionFailed(err.Error())
	case errors.Is(err, previews.ErrGone):
		return huma.Error410Gone(err.Error())
	case errors.Is(err, orders.ErrNotLeading):
		return NoLeader()
	case errors.Is(err, previews.ErrBusy):
		return huma.ErrorWithHeaders(huma.Error429TooManyRequests(err.Error()), http.Header{"Retry-After": {"1"}})
	}
	return huma.Error503ServiceUnavailable(err.Error())
}
