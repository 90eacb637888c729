package kinds

import (
	"context"
	"fmt"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/rebalancer"
)

type kindInput struct{ KindPath }

type rolledBackOutput struct{ Body rebalancer.RolledBack }

func (h *changes) rollback(ctx context.Context, in *kindInput) (*rolledBackOutput, error) {
	var out rolledBackOutput
	err := h.carryOut(ctx, "rollback-kind", in.Kind, func(ctx context.Context, user string) (before, after string, err error) {
		out.Body, err = h.Backend.Rollback(ctx, in.Kind, user)
		return RolledBackText(&out.Body, err)
	})
	if err != nil {
		return nil, err
	}
	return &out, nil
}

// Confirm confirms the deletes that a comparison with the catalogue found.
type Confirm struct {
	Deletes int `json:"deletes" minimum:"1" doc:"the number that waiting shows, of a set or of all; if it has changed since, nothing is deleted"`
	Set     int `json:"set,omitempty" minimum:"1" doc:"the set's number; needed where several sets have that count"`
}

type confirmInput struct {
	KindPath
	Body Confirm
}

type confirmOutput struct{ Body Confirm }

func (h *changes) confirm(ctx context.Context, in *confirmInput) (*confirmOutput, error) {
	err := h.carryOut(ctx, "confirm-kind", in.Kind, func(ctx context.Context, _ string) (before, after string, err error) {
		return ConfirmText(in.Body.Set, in.Body.Deletes, h.Backend.Confirm(ctx, in.Kind, in.Body.Set, in.Body.Deletes))
	})
	if err != nil {
		return nil, err
	}
	return &confirmOutput{in.Body}, nil
}

type reassignInput struct {
	KindPath
	Body struct {
		Instance   int  `json:"instance" minimum:"0" doc:"the ordinal"`
		AssumeDead bool `json:"assumeDead" doc:"must be true: confirm that nothing of this pod runs any more"`
	}
}

type reassignedOutput struct{ Body ops.AssumedDead }

func (h *changes) reassign(ctx context.Context, in *reassignInput) (*reassignedOutput, error) {
	if !in.Body.AssumeDead {
		return nil, huma.Error422UnprocessableEntity("assumeDead: false: must be true; what is proven to be released is reassigned automatically")
	}
	var out reassignedOutput
	err := h.carryOut(ctx, "reassign-instance", in.Kind, func(ctx context.Context, user string) (before, after string, err error) {
		out.Body, err = h.Backend.Reassign(ctx, in.Kind, in.Body.Instance, user)
		return ReassignText(in.Body.Instance, out.Body.Pod, out.Body.UID, out.Body.Left, err)
	})
	if err != nil {
		return nil, err
	}
	return &out, nil
}

// RolledBackText says for the audit log what was before and after.
func RolledBackText(r *rebalancer.RolledBack, of error) (before, after string, err error) {
	return "plan " + r.PlanID, fmt.Sprintf("paused; of it %d stayed, %d returned, %d undone, %d kept", r.Stayed, r.Returned, r.Undone, r.Kept), of
}

// ConfirmText is the same of deletes that are confirmed; set 0: of the only one of that size, or all.
func ConfirmText(set, deletes int, of error) (before, after string, err error) {
	before = fmt.Sprintf("%d deletes wait", deletes)
	if set != 0 {
		before = fmt.Sprintf("%d deletes of set %d wait", deletes, set)
	}
	return before, "they are carried out", of
}

// ReassignText is the same of an instance whose pod is assumed dead.
func ReassignText(ordinal int, pod, uid string, left int, of error) (before, after string, err error) {
	return fmt.Sprintf("instance %d", ordinal), fmt.Sprintf("pod %s (%s) is assumed dead; %d resources go to others", pod, uid, left), of
}
