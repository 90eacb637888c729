package api

import (
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shardscaler/shardscaler/rebalancer"
)

// OrchestrateRequest sets values over the ConfigMap's. An empty body only wakes the loop. Fractions
// are refused by the schema.
type OrchestrateRequest struct {
	MaxInstances        *int `json:"maxInstances,omitempty" doc:"greatest number of instances; 3 to the configured ceiling, not below init"`
	ResourcePerInstance *int `json:"resourcePerInstance,omitempty" doc:"hard limit of resources on an instance; 1 to 5000"`
}

// ConfirmRequest confirms the deletes that a reconcile found.
type ConfirmRequest struct {
	Deletes int `json:"deletes" minimum:"1" doc:"the number that GET shows as count of a set in waiting.sets, or as waiting.count for all of them; if it has changed since, nothing is deleted"`
	Set     int `json:"set,omitempty" minimum:"1" doc:"the set's number; needed where several sets have that count"`
}

func (h *handlers) registerWrites(api huma.API, guards huma.Middlewares) {
	secured := []map[string][]string{{"bearer": {}}}
	large := slices.Concat(h.places(api, h.large), guards)
	guards = slices.Concat(h.places(api, h.small), guards)
	huma.Register(api, huma.Operation{
		OperationID: "orchestrate", Method: http.MethodPost, Path: "/v1/api/orchestrations/{kind}/orchestrate",
		Summary:     "Orchestrate now, optionally with other bounds",
		Middlewares: large, Security: secured, MaxBodyBytes: 4096, Responses: orchestrationResponse(api),
	}, h.orchestrate)
	huma.Register(api, huma.Operation{
		OperationID: "confirm-deletes", Method: http.MethodPost, Path: "/v1/api/orchestrations/{kind}/reconcile/confirm",
		Summary:     "Confirm the deletes that a comparison with the catalogue found",
		Middlewares: guards, Security: secured, MaxBodyBytes: 4096,
	}, h.confirm)
	for _, o := range []struct {
		id, summary string
		paused      bool
	}{
		{"pause", "Stop voluntary moves; what is in flight lands, drains and orphans go on", true},
		{"resume", "Let voluntary moves go on", false},
	} {
		huma.Register(api, huma.Operation{
			OperationID: o.id, Method: http.MethodPost, Path: "/v1/api/orchestrations/{kind}/" + o.id,
			Summary: o.summary, Middlewares: guards, Security: secured, MaxBodyBytes: 4096,
		}, func(ctx context.Context, in *KindPath) (*jsonBody[PauseSetting], error) {
			return h.pause(ctx, in, o.id, o.paused)
		})
	}
	huma.Register(api, huma.Operation{
		OperationID: "rollback", Method: http.MethodPost, Path: "/v1/api/orchestrations/{kind}/rollback",
		Summary:     "Take back the running wave of moves, and pause",
		Description: "What is in flight returns to its instance if that is open, and what has arrived is moved back. 409: nothing runs.",
		Middlewares: guards, Security: secured, MaxBodyBytes: 4096,
	}, h.rollback)
}

func (h *handlers) pause(ctx context.Context, in *KindPath, operation string, paused bool) (*jsonBody[PauseSetting], error) {
	if _, err := h.view(in.Kind); err != nil {
		return nil, err
	}
	ctx, cancel := h.patient(ctx)
	defer cancel()
	if err := h.backend.Pause(ctx, in.Kind, paused); err != nil {
		return nil, failed(operation, in.Kind, err)
	}
	h.log.Info("voluntary moves paused or resumed", "kind", in.Kind, "paused", paused, "user", userFrom(ctx))
	v, err := h.view(in.Kind)
	if err != nil {
		return nil, err
	}
	return &jsonBody[PauseSetting]{Body: pauseSetting(&v)}, nil
}

func (h *handlers) rollback(ctx context.Context, in *KindPath) (*jsonBody[rebalancer.RolledBack], error) {
	if _, err := h.view(in.Kind); err != nil {
		return nil, err
	}
	ctx, cancel := h.patient(ctx)
	defer cancel()
	done, err := h.backend.Rollback(ctx, in.Kind)
	if err != nil {
		return nil, failed("rollback", in.Kind, err)
	}
	h.log.Info("rolled back", "kind", in.Kind, "plan", done.PlanID, "user", userFrom(ctx))
	return &jsonBody[rebalancer.RolledBack]{Body: done}, nil
}

type orchestrateInput struct {
	KindPath
	Body *OrchestrateRequest `required:"false"`
}

func (h *handlers) orchestrate(ctx context.Context, in *orchestrateInput) (*huma.StreamResponse, error) {
	if _, err := h.view(in.Kind); err != nil {
		return nil, err
	}
	if err := h.room(); err != nil { // what is carried out is not answered with that
		return nil, err
	}
	var req OrchestrateRequest
	if in.Body != nil {
		req = *in.Body
	}
	ctx, cancel := h.patient(ctx)
	defer cancel()
	if err := h.backend.Orchestrate(ctx, in.Kind, req.MaxInstances, req.ResourcePerInstance); err != nil {
		return nil, failed("orchestrate", in.Kind, err)
	}
	h.log.Info("orchestrate called", "kind", in.Kind, "user", userFrom(ctx))
	return h.answer(in.Kind)
}

type confirmInput struct {
	KindPath
	Body ConfirmRequest
}

func (h *handlers) confirm(ctx context.Context, in *confirmInput) (*jsonBody[ConfirmRequest], error) {
	if _, err := h.view(in.Kind); err != nil {
		return nil, err
	}
	ctx, cancel := h.patient(ctx)
	defer cancel()
	if err := h.backend.Confirm(ctx, in.Kind, in.Body.Set, in.Body.Deletes); err != nil {
		return nil, failed("confirm-deletes", in.Kind, err)
	}
	h.log.Info("deletes confirmed", "kind", in.Kind, "deletes", in.Body.Deletes, "set", in.Body.Set, "user", userFrom(ctx))
	return &jsonBody[ConfirmRequest]{Body: in.Body}, nil
}
