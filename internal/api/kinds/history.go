package kinds

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/ops/history"
)

// defaultHistory is how many entries a page has unless it is asked for otherwise.
const defaultHistory = 100

func (h *handlers) registerHistory() {
	list := h.read("list-kind-history", "kinds/{kind}/history", "What happened to a kind: samples, decisions, moves, what persons did, and gaps; the newest first")
	list.Errors = []int{http.StatusNotFound, http.StatusUnprocessableEntity}
	huma.Register(h.API, list, h.listHistory)
	get := h.read("get-kind-history", "kinds/{kind}/history/{id}", "A decision of the history with its whole explanation")
	get.Errors = []int{http.StatusNotFound}
	huma.Register(h.API, get, h.getHistory)
}

type historyRequest struct {
	Kind     string   `path:"kind"`
	Type     []string `query:"type" doc:"types of entries, separated by commas: sample, decision, moves, change, gap; none: all"`
	Since    string   `query:"since" doc:"a time, 2026-03-01T12:00:00Z, or how long ago: 6h" example:"6h"`
	Until    string   `query:"until" doc:"a time, or how long ago"`
	Limit    int      `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Continue string   `query:"continue" doc:"continue of the page before"`
}

type historyAnswer struct{ Body ops.EntryList }

func (h *handlers) listHistory(_ context.Context, in *historyRequest) (*historyAnswer, error) {
	if _, err := h.view(in.Kind); err != nil {
		return nil, err
	}
	q, err := in.query(time.Now())
	if err != nil {
		return nil, err
	}
	return &historyAnswer{h.Backend.History(in.Kind, q)}, nil
}

// query is what is asked for; an error is a problem document that names the parameter.
func (r *historyRequest) query(now time.Time) (q history.Query, err error) {
	q.Limit = min(cmp.Or(r.Limit, defaultHistory), history.MaxLimit)
	for _, t := range r.Type {
		if !slices.Contains(history.Types, t) {
			return q, wrong("type", t, "want of "+strings.Join(history.Types, ", "))
		}
		q.Types = append(q.Types, t)
	}
	if q.Since, err = moment("since", r.Since, now); err != nil {
		return q, err
	}
	if q.Until, err = moment("until", r.Until, now); err != nil {
		return q, err
	}
	if r.Continue != "" {
		if q.Before, err = history.ParseID(r.Continue); err != nil {
			return q, wrong("continue", r.Continue, "want what the page before has as continue")
		}
	}
	return q, nil
}

// moment reads a time, or how long ago it was; "" is the zero time.
func moment(name, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	return time.Time{}, wrong(name, text, "want a time such as 2026-03-01T12:00:00Z, or how long ago, such as 6h or 30m")
}

func wrong(name, value, want string) error {
	return huma.Error422UnprocessableEntity(fmt.Sprintf("%s: %.60q: %s", name, value, want),
		&huma.ErrorDetail{Message: want, Location: "query." + name, Value: value})
}

type decisionRequest struct {
	Kind string `path:"kind"`
	ID   string `path:"id" maxLength:"32" doc:"the id of an entry of type decision whose whole is true"`
}

type decisionAnswer struct{ Body ops.Decision }

func (h *handlers) getHistory(_ context.Context, in *decisionRequest) (*decisionAnswer, error) {
	if _, err := h.view(in.Kind); err != nil {
		return nil, err
	}
	d, ok := h.Backend.Decided(in.Kind, in.ID)
	if !ok {
		return nil, huma.Error404NotFound(fmt.Sprintf("the history of %s has no decision %.40q that is kept as a whole", in.Kind, in.ID))
	}
	return &decisionAnswer{d}, nil
}
