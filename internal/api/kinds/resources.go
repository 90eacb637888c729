package kinds

import (
	"context"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/ops"
)

func (h *reads) registerResources() {
	huma.Register(h.API, unchanged(h.read("get-resource", "kinds/{kind}/resource", "Where a resource is, since when and why")), h.getResource)
	huma.Register(h.API, unchanged(h.read("list-resources", "kinds/{kind}/resources", "The kind's resources, ascending by id, in pages")), h.listResources)
}

func (h *reads) getResource(_ context.Context, in *struct {
	KindPath
	IfNoneMatch
	ID string `query:"id" required:"true" minLength:"1" maxLength:"256" doc:"The resource's id, any text"`
},
) (*document[ops.Resource], error) {
	if _, err := h.readView(in.Kind); err != nil {
		return nil, err
	}
	r, ok := h.Backend.Resource(in.Kind, in.ID)
	if !ok {
		return nil, huma.Error404NotFound("no " + in.Kind + " has the id " + strconv.Quote(in.ID))
	}
	return tell(in.IfNoneMatch, r)
}

// readView is the kind's view, or why it is not known what ZooKeeper holds of the kind.
func (h *reads) readView(kind string) (*ops.View, error) {
	v, err := h.view(kind)
	if err == nil && v.State == nil {
		return nil, huma.Error503ServiceUnavailable("ZooKeeper has not been read yet")
	}
	return v, err
}

type resourcesInput struct {
	KindPath
	IfNoneMatch
	ID       string `query:"id" maxLength:"256" doc:"Only this id: an empty list where there is none"`
	Contains string `query:"contains" maxLength:"256" doc:"Only ids with this text in them"`
	Instance string `query:"instance" doc:"Only those of this ordinal"`
	Limit    int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
	Continue string `query:"continue" maxLength:"2000" doc:"continue of the page before"`

	instance *int
}

// Resolve implements huma.Resolver.
func (in *resourcesInput) Resolve(huma.Context) []error {
	if in.Instance == "" {
		return nil
	}
	n, err := exact.Ordinal(in.Instance)
	if err != nil {
		return []error{&huma.ErrorDetail{Message: err.Error(), Location: "query.instance", Value: in.Instance}}
	}
	in.instance = &n
	return nil
}

func (h *reads) listResources(_ context.Context, in *resourcesInput) (*document[ops.ResourceList], error) {
	v, err := h.readView(in.Kind)
	if err != nil {
		return nil, err
	}
	page, err := ops.ResourcesOf(v.State, ops.ResourceQuery{ID: in.ID, Contains: in.Contains, Instance: in.instance, Limit: in.Limit, Continue: in.Continue})
	if err != nil {
		return nil, badContinue(in.Continue)
	}
	return tell(in.IfNoneMatch, page)
}
