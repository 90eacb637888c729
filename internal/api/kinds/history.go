package kinds

import (
	"context"
	"fmt"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/ops/history"
)

// histories are the calls for what happened.
type histories struct{ *handlers }

func (h histories) register() {
	list := h.read("list-kind-history", "kinds/{kind}/history", "What happened to a kind: samples, decisions, moves, what persons did, and gaps; the newest first")
	list.Middlewares = h.History
	huma.Register(h.API, list, h.list)
	get := h.read("get-kind-history", "kinds/{kind}/history/{id}", "A decision of the history with its whole explanation")
	get.Middlewares = h.History
	huma.Register(h.API, get, h.get)
}

type historyRequest struct {
	KindPath
	Type     []string `query:"type" enum:"sample,decision,moves,change,gap" doc:"Only these types, separated by commas"`
	Since    string   `query:"since" maxLength:"64" doc:"A time such as 2026-03-01T12:00:00Z, or how long ago: 6h" example:"6h"`
	Until    string   `query:"until" maxLength:"64" doc:"A time, or how long ago"`
	Limit    int      `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Continue string   `query:"continue" maxLength:"32" doc:"continue of the page before"`
}

type historyAnswer struct{ Body ops.EntryList }

func (h histories) list(_ context.Context, in *historyRequest) (*historyAnswer, error) {
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
	q.Types, q.Limit = r.Type, r.Limit
	if q.Since, err = moment("since", r.Since, now); err != nil {
		return q, err
	}
	if q.Until, err = moment("until", r.Until, now); err != nil {
		return q, err
	}
	if r.Continue != "" {
		if q.Before, err = history.ParseID(r.Continue); err != nil {
			return q, badContinue(r.Continue)
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
	KindPath
	ID string `path:"id" maxLength:"32" doc:"The id of an entry of type decision whose whole is true"`
}

type decisionAnswer struct{ Body ops.Decision }

func (h histories) get(_ context.Context, in *decisionRequest) (*decisionAnswer, error) {
	if _, err := h.view(in.Kind); err != nil {
		return nil, err
	}
	d, ok := h.Backend.Decided(in.Kind, in.ID)
	if !ok {
		return nil, huma.Error404NotFound(fmt.Sprintf("the history of %s has no decision %.40q that is kept as a whole", in.Kind, in.ID))
	}
	return &decisionAnswer{d}, nil
}
