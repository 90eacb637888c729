package client

import (
	"context"
	"net/http"
	"strconv"

	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/rebalancer/steps"
)

// forBody is how long something counts; empty: until it is ended.
type forBody struct {
	For string `json:"for,omitempty"`
}

// Drain asks that an instance owns nothing, for so long (a duration; empty: until Undrain).
func (k Kind) Drain(ctx context.Context, ordinal int, long string) (Doc[ops.Applied], error) {
	body := struct {
		Instance int `json:"instance"`
		forBody
	}{ordinal, forBody{long}}
	return do[ops.Applied](ctx, k.c, post(body, kinds, k.name, "drains"))
}

// Undrain lets an instance take resources again.
func (k Kind) Undrain(ctx context.Context, ordinal int) (Doc[ops.Applied], error) {
	return do[ops.Applied](ctx, k.c, call{method: http.MethodDelete, segments: []string{kinds, k.name, "drains", strconv.Itoa(ordinal)}})
}

// Pin binds a resource to an instance, for so long.
func (k Kind) Pin(ctx context.Context, pin ops.PinRequest, long string) (Doc[ops.Applied], error) {
	body := struct {
		ops.PinRequest
		forBody
	}{pin, forBody{long}}
	return do[ops.Applied](ctx, k.c, post(body, kinds, k.name, "pins"))
}

// Unpin ends a pin.
func (k Kind) Unpin(ctx context.Context, resource string) (Doc[ops.Applied], error) {
	return do[ops.Applied](ctx, k.c, call{method: http.MethodDelete, segments: []string{kinds, k.name, "pins"}, query: values("resource", resource)})
}

// Move moves a resource to an instance, once.
func (k Kind) Move(ctx context.Context, move ops.PinRequest) (Doc[ops.Applied], error) {
	return do[ops.Applied](ctx, k.c, post(move, kinds, k.name, "moves"))
}

// SetSize asks for so many instances, for so long.
func (k Kind) SetSize(ctx context.Context, size int, long string) (Doc[ops.Applied], error) {
	body := struct {
		Size int `json:"size"`
		forBody
	}{size, forBody{long}}
	return do[ops.Applied](ctx, k.c, call{method: http.MethodPut, segments: []string{kinds, k.name, "size"}, body: body})
}

// EndSize ends what SetSize asked for.
func (k Kind) EndSize(ctx context.Context) (Doc[ops.Applied], error) {
	return do[ops.Applied](ctx, k.c, call{method: http.MethodDelete, segments: []string{kinds, k.name, "size"}})
}

// Pause stops voluntary moves, for so long.
func (k Kind) Pause(ctx context.Context, long string) (Doc[ops.Applied], error) {
	return do[ops.Applied](ctx, k.c, post(forBody{long}, kinds, k.name, "pause"))
}

// Resume lets voluntary moves go on.
func (k Kind) Resume(ctx context.Context) (Doc[ops.Applied], error) {
	return do[ops.Applied](ctx, k.c, call{method: http.MethodDelete, segments: []string{kinds, k.name, "pause"}})
}

// Rollback takes back the running wave of moves.
func (k Kind) Rollback(ctx context.Context) (Doc[RolledBack], error) {
	return do[RolledBack](ctx, k.c, post(nil, kinds, k.name, "rollback"))
}

// RolledBack counts what became of the moves of a wave.
type RolledBack = steps.RolledBack

// Confirm confirms deletes that wait: a set by its number and size, or, with set 0, all of them.
func (k Kind) Confirm(ctx context.Context, set, deletes int) (Doc[Confirmed], error) {
	return do[Confirmed](ctx, k.c, post(Confirmed{Deletes: deletes, Set: set}, kinds, k.name, "confirm"))
}

// Confirmed is what a person confirms, and the answer to it.
type Confirmed struct {
	Deletes int `json:"deletes"`
	Set     int `json:"set,omitempty"`
}

// Reassign says that the pod of an instance is dead, so that what it owns goes to others.
func (k Kind) Reassign(ctx context.Context, ordinal int) (Doc[ops.AssumedDead], error) {
	body := struct {
		Instance   int  `json:"instance"`
		AssumeDead bool `json:"assumeDead"`
	}{ordinal, true}
	return do[ops.AssumedDead](ctx, k.c, post(body, kinds, k.name, "reassign"))
}
