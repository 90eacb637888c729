package kinds

import (
	"cmp"
	"context"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/ops/explain"
)

func (h *reads) registerDecisions() {
	huma.Register(h.API, unchanged(h.read("explain-decision", "kinds/{kind}/decision",
		"The latest decision, what it answers to the questions of users, and what would have to be true for another size")), h.explainDecision)
	huma.Register(h.API, unchanged(h.read("get-config", "kinds/{kind}/config", "The configuration in force, each value with its source")), h.getConfig)
}

func (h *reads) explainDecision(_ context.Context, in *struct {
	KindPath
	IfNoneMatch
},
) (*document[ops.Decision], error) {
	v, err := h.view(in.Kind)
	if err != nil {
		return nil, err
	}
	if v.Decision == nil {
		return nil, huma.Error503ServiceUnavailable(cmp.Or(v.Undecided, "no decision has been made yet"))
	}
	return tell(in.IfNoneMatch, ops.Decision{Report: v.Decision, Explanation: explain.Explain(v.Decision, &v.Input)})
}

func (h *reads) getConfig(_ context.Context, in *struct {
	KindPath
	IfNoneMatch
},
) (*document[ops.Settings], error) {
	v, err := h.view(in.Kind)
	if err != nil {
		return nil, err
	}
	return tell(in.IfNoneMatch, ops.SettingsOf(v))
}
