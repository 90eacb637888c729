package api

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
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
	if err != nil {
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
		return 0, huma.Error422UnprocessableEntity("wait " + strconv.Quote(text) + ": must be a duration from 0s to " + maxWait.String())
	}
	return wait, nil
}
