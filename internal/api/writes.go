package api

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shardscaler/shardscaler/internal/api/access"
	"github.com/shardscaler/shardscaler/internal/api/kinds"
	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/limits"
	"github.com/shardscaler/shardscaler/rebalancer"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
)

// OrchestrateRequest sets values over the ConfigMap's. An empty body only wakes the loop.
type OrchestrateRequest struct {
	MaxInstances        *int `json:"maxInstances,omitempty" doc:"greatest number of instances; 3 to the configured ceiling, not below init"`
	ResourcePerInstance *int `json:"resourcePerInstance,omitempty" doc:"hard limit of resources on an instance; 1 to 5000"`
}

// ConfirmRequest confirms the deletes that a reconcile found.
type ConfirmRequest struct {
	Deletes int `json:"deletes" minimum:"1" doc:"the number that GET shows as count of a set in waiting.sets, or as waiting.count for all of them; if it has changed since, nothing is deleted"`
	Set     int `json:"set,omitempty" minimum:"1" doc:"the set's number; needed where several sets have that count"`
}

func (h *handlers) registerWrites() {
	write := func(id, below, summary string, share *limits.Share) huma.Operation {
		return huma.Operation{
			OperationID: id, Method: http.MethodPost, Path: "/v1/api/orchestrations/{kind}/" + below, Summary: summary,
			Middlewares: append(h.places(share), h.guard.LetOld, h.forward, h.guard.Logged), Security: []map[string][]string{{"bearer": {}}}, MaxBodyBytes: 4096,
			Responses: problems(h.api),
		}
	}
	orchestrate := write("orchestrate", "orchestrate", "Orchestrate now, optionally with other bounds", h.large)
	orchestrate.Responses = orchestrationResponse(h.api)
	orchestrate.Responses["204"] = &huma.Response{Description: "Carried out, and answered without the document, as Prefer: return=minimal asks"}
	huma.Register(h.api, orchestrate, h.orchestrate)
	huma.Register(h.api, write("confirm-deletes", "reconcile/confirm", "Confirm the deletes that a comparison with the catalogue found", h.small), h.confirm)
	huma.Register(h.api, write("pause", "pause", "Pause voluntary moves; what is in flight is granted, drains go on and unassigned resources get a place", h.small), h.pause("pause", true))
	huma.Register(h.api, write("resume", "resume", "Let voluntary moves go on", h.small), h.pause("resume", false))
	rollback := write("rollback", "rollback", "Take back the running wave of moves, and pause", h.small)
	rollback.Description = "What is in flight returns to its instance if that is open, and what has arrived is moved back. 409: nothing runs."
	huma.Register(h.api, rollback, h.rollback)
	huma.Register(h.api, write("reassign", "instances/{ordinal}/reassign",
		"Assume a pod dead, so that what it owns is reassigned without proof of release", h.small), h.reassign)
}

// doing does what a person asks for, and says for the audit log what was before and after.
type doing func(context.Context) (before, after string, err error)

// carryOut makes a change of a kind, and notes it. What is not sent to ZooKeeper within the patience
// never is.
func (h *handlers) carryOut(ctx context.Context, operation, kind string, do doing) error {
	if _, err := h.view(kind); err != nil {
		return err
	}
	patient, cancel := context.WithTimeout(ctx, h.patience)
	defer cancel()
	a := kinds.Audited{User: access.UserFrom(ctx).Name, Operation: operation, Kind: kind}
	err := kinds.Noted(a, func(a kinds.Audited) { h.audit(ctx, a) }, func() (before, after string, err error) { return do(patient) })
	if errors.Is(err, orders.ErrOutcomeUnknown) {
		return unknown(operation, kind, err.Error())
	}
	return problem(err)
}

func (h *handlers) pause(operation string, paused bool) func(context.Context, *KindPath) (*jsonBody[PauseSetting], error) {
	return func(ctx context.Context, in *KindPath) (*jsonBody[PauseSetting], error) {
		err := h.carryOut(ctx, operation, in.Kind, func(ctx context.Context) (before, after string, err error) {
			done, err := h.backend.Pause(ctx, in.Kind, paused)
			return done.Before, done.After, err
		})
		if err != nil {
			return nil, err
		}
		v, err := h.view(in.Kind)
		if err != nil {
			return nil, err
		}
		return &jsonBody[PauseSetting]{Body: pauseSetting(&v)}, nil
	}
}

func (h *handlers) rollback(ctx context.Context, in *KindPath) (*jsonBody[rebalancer.RolledBack], error) {
	var done rebalancer.RolledBack
	err := h.carryOut(ctx, "rollback", in.Kind, func(ctx context.Context) (before, after string, err error) {
		done, err = h.backend.Rollback(ctx, in.Kind)
		return kinds.RolledBackText(&done, err)
	})
	if err != nil {
		return nil, err
	}
	return &jsonBody[rebalancer.RolledBack]{Body: done}, nil
}

type orchestrateInput struct {
	KindPath
	Prefer string              `header:"Prefer" doc:"return=minimal: 204 and no body instead of every id (RFC 7240)"`
	Body   *OrchestrateRequest `required:"false"`
}

func (h *handlers) orchestrate(ctx context.Context, in *orchestrateInput) (*huma.StreamResponse, error) {
	if _, err := h.view(in.Kind); err != nil {
		return nil, err
	}
	minimal := prefersMinimal(in.Prefer)
	if err := h.room(); err != nil && !minimal { // what is carried out is not answered with that
		return nil, err
	}
	var req OrchestrateRequest
	if in.Body != nil {
		req = *in.Body
	}
	err := h.carryOut(ctx, "orchestrate", in.Kind, func(ctx context.Context) (before, after string, err error) {
		done, err := h.backend.Orchestrate(ctx, in.Kind, req.MaxInstances, req.ResourcePerInstance)
		return done.Before, done.After, err
	})
	if err != nil {
		return nil, err
	}
	if minimal {
		return &huma.StreamResponse{Body: func(ctx huma.Context) {
			ctx.SetHeader("Preference-Applied", "return=minimal")
			ctx.SetStatus(http.StatusNoContent)
		}}, nil
	}
	return h.answer(in.Kind)
}

// prefersMinimal says whether a Prefer header asks for an answer without the document. Of two that
// contradict each other the first counts, as RFC 7240 has it.
func prefersMinimal(header string) bool {
	for preference := range strings.SplitSeq(header, ",") {
		name, _, _ := strings.Cut(preference, ";")
		name, value, _ := strings.Cut(name, "=")
		if strings.EqualFold(strings.TrimSpace(name), "return") {
			return strings.EqualFold(strings.Trim(strings.TrimSpace(value), `"`), "minimal")
		}
	}
	return false
}

type confirmInput struct {
	KindPath
	Body ConfirmRequest
}

func (h *handlers) confirm(ctx context.Context, in *confirmInput) (*jsonBody[ConfirmRequest], error) {
	err := h.carryOut(ctx, "confirm-deletes", in.Kind, func(ctx context.Context) (before, after string, err error) {
		return kinds.ConfirmText(in.Body.Set, in.Body.Deletes, h.backend.Confirm(ctx, in.Kind, in.Body.Set, in.Body.Deletes))
	})
	if err != nil {
		return nil, err
	}
	return &jsonBody[ConfirmRequest]{Body: in.Body}, nil
}

// ReassignRequest gives what an instance owns to others without a proof that it has stopped.
type ReassignRequest struct {
	AssumeDead bool `json:"assumeDead" doc:"must be true: confirm that nothing of this pod runs any more"`
}

// Reassigned is the word that was kept.
type Reassigned struct {
	Kind    string `json:"kind"`
	Ordinal int    `json:"ordinal"`
	Pod     string `json:"pod"`
	UID     string `json:"uid"`
	By      string `json:"by"`
	Left    int    `json:"left" doc:"resources that go to others"`
}

type reassignInput struct {
	KindPath
	Ordinal string `path:"ordinal" example:"4" doc:"of the instance, as in the name of its pod: without sign and leading zeros"`
	Body    ReassignRequest

	ordinal int
}

// Resolve implements huma.Resolver.
func (in *reassignInput) Resolve(huma.Context) []error {
	var err error
	if in.ordinal, err = exact.Ordinal(in.Ordinal); err != nil {
		return []error{&huma.ErrorDetail{Message: err.Error(), Location: "path.ordinal", Value: in.Ordinal}}
	}
	return nil
}

func (h *handlers) reassign(ctx context.Context, in *reassignInput) (*jsonBody[Reassigned], error) {
	if _, err := h.view(in.Kind); err != nil {
		return nil, err
	}
	if !in.Body.AssumeDead {
		return nil, huma.Error422UnprocessableEntity("assumeDead false: must be true; what is proven to be released is reassigned automatically")
	}
	var out Reassigned
	err := h.carryOut(ctx, "reassign", in.Kind, func(ctx context.Context) (before, after string, err error) {
		out, err = h.backend.Reassign(ctx, in.Kind, in.ordinal, access.UserFrom(ctx).Name)
		return kinds.ReassignText(in.ordinal, out.Pod, out.UID, out.Left, err)
	})
	if err != nil {
		return nil, err
	}
	return &jsonBody[Reassigned]{Body: out}, nil
}
