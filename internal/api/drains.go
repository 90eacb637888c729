package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shardscaler/shardscaler/internal/exact"
)

// What PodDrain.State says.
const (
	// DrainStays: the StatefulSet makes this pod again, so its end is a restart and nothing moves.
	DrainStays = "stays"
	// DrainLeaving: the pod is not made again, and still owns something or may receive.
	DrainLeaving = "leaving"
	// DrainEmpty: the pod is not made again, is closed and owns nothing.
	DrainEmpty = "empty"
)

// ErrUnknownPod says that no configured StatefulSet makes such a pod: 404.
var ErrUnknownPod = errors.New("no such instance")

// PodDrain says of a pod that is about to end whether it may.
type PodDrain struct {
	Kind    string `json:"kind"`
	Pod     string `json:"pod"`
	Ordinal int    `json:"ordinal"`
	State   string `json:"state" enum:"stays,leaving,empty"`
	// Left counts what it owns, in its list and in flight from it.
	Left    int    `json:"left"`
	Blocked string `json:"blocked,omitempty" doc:"what keeps it from becoming empty"`
}

// maxWait bounds a long poll; the server's write timeout is longer.
const maxWait = 30 * time.Second

func (h *handlers) registerDrains(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "get-pod-drain", Method: http.MethodGet, Path: "/v1/api/drains/{namespace}/{pod}",
		Summary:     "Whether a pod that ends may end: asked by the preStop hook, answered by any replica from a synced read",
		Middlewares: h.places(api, h.drains),
	}, h.getPodDrain)
}

type podPath struct {
	Namespace string `path:"namespace" maxLength:"63"`
	Pod       string `path:"pod" maxLength:"253"`
	Wait      string `query:"wait" example:"20s" doc:"how long to wait for a state other than leaving, 0s to 30s; default 0s"`
}

func (h *handlers) getPodDrain(ctx context.Context, in *podPath) (*jsonBody[PodDrain], error) {
	wait, err := waitFor(in.Wait)
	if err != nil {
		return nil, err
	}
	d, err := h.backend.PodDrain(ctx, in.Namespace, in.Pod, wait)
	switch {
	case errors.Is(err, ErrUnknownPod):
		return nil, huma.Error404NotFound(err.Error())
	case err != nil:
		return nil, problem(err)
	}
	return &jsonBody[PodDrain]{Body: d}, nil
}

func waitFor(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	wait, err := time.ParseDuration(text)
	if err != nil || wait < 0 || wait > maxWait {
		return 0, huma.Error422UnprocessableEntity("wait " + quote(text) + ": must be a duration from 0s to " + maxWait.String())
	}
	return wait, nil
}

// ReassignRequest gives what an instance owns to others without a proof that it has stopped.
type ReassignRequest struct {
	AssumeDead bool `json:"assumeDead" doc:"must be true: you know that nothing of this pod runs any more"`
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

func (h *handlers) registerReassign(api huma.API, guards huma.Middlewares) {
	huma.Register(api, huma.Operation{
		OperationID: "reassign", Method: http.MethodPost, Path: "/v1/api/orchestrations/{kind}/instances/{ordinal}/reassign",
		Summary:     "Declare a pod dead, so that what it owns goes to others without proof of release",
		Middlewares: slices.Concat(h.places(api, h.small), guards), Security: []map[string][]string{{"bearer": {}}}, MaxBodyBytes: 4096,
	}, h.reassign)
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
		return nil, huma.Error422UnprocessableEntity("assumeDead false: must be true; what is proven to be released is given to others without being asked for")
	}
	ctx, cancel := h.patient(ctx)
	defer cancel()
	out, err := h.backend.Reassign(ctx, in.Kind, in.ordinal, userFrom(ctx))
	if err != nil {
		return nil, failed("reassign", in.Kind, err)
	}
	h.log.Warn("a pod was declared dead", "kind", in.Kind, "instance", in.ordinal, "pod", out.Pod, "uid", out.UID, "resources", out.Left, "user", out.By)
	return &jsonBody[Reassigned]{Body: out}, nil
}
