package kinds

import (
	"context"
	"net/http"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shardscaler/shardscaler/internal/api/access"
	"github.com/shardscaler/shardscaler/internal/api/etag"
	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/ops"
)

// KindPath names the kind in a path.
type KindPath struct {
	Kind string `path:"kind" doc:"The kind as configured: Thing, Rule, …"`
}

// IfNoneMatch has the answer be 304 when nothing but times of looking differ.
type IfNoneMatch struct {
	IfNoneMatch string `header:"If-None-Match" doc:"The ETag of an answer: 304 when nothing else is to be said"`
}

// document is an answer with a tag; 304: without the document.
type document[T any] struct {
	Status int
	ETag   string `header:"ETag"`
	Body   T
}

// undated is a document that can leave out what changes by time alone.
type undated[T any] interface{ Undated() T }

// tell answers with a document, or 304 if the caller has the same.
func tell[T undated[T]](in IfNoneMatch, doc T) (*document[T], error) {
	tag, err := etag.Weak(doc.Undated())
	if err != nil {
		return nil, err
	}
	if in.IfNoneMatch != "" && etag.Names(in.IfNoneMatch, tag) {
		return &document[T]{Status: http.StatusNotModified, ETag: tag}, nil
	}
	return &document[T]{Status: http.StatusOK, ETag: tag, Body: doc}, nil
}

// unchanged documents the answer 304.
func unchanged(op huma.Operation) huma.Operation {
	op.Responses["304"] = &huma.Response{Description: "Not modified since the answer whose ETag If-None-Match names"}
	return op
}

// Problems documents that every error is a problem document; more are of further statuses.
func Problems(api huma.API, more map[int]reflect.Type) map[string]*huma.Response {
	out := map[string]*huma.Response{"default": problemResponse(api, reflect.TypeFor[huma.ErrorModel]())}
	for status, doc := range more {
		out[strconv.Itoa(status)] = problemResponse(api, doc)
	}
	return out
}

func problemResponse(api huma.API, doc reflect.Type) *huma.Response {
	schema := api.OpenAPI().Components.Schemas.Schema(doc, true, "Error")
	return &huma.Response{Description: "Error", Content: map[string]*huma.MediaType{"application/problem+json": {Schema: schema}}}
}

// reads are the handlers of the calls that read.
type reads struct{ *handlers }

func (h *reads) register() {
	list := unchanged(h.read("list-kinds", "kinds", "All kinds: size, desired size and why, resources, alarms, sources"))
	h.watch(&list)
	huma.Register(h.API, list, h.listKinds)
	huma.Register(h.API, unchanged(h.read("get-kind", "kinds/{kind}", "One kind")), h.getKind)
	huma.Register(h.API, unchanged(h.read("list-instances", "kinds/{kind}/instances", "The kind's instances, filtered and sorted, in pages")), h.listInstances)
	huma.Register(h.API, unchanged(h.read("get-instance", "kinds/{kind}/instances/{ordinal}", "One instance")), h.getInstance)
	huma.Register(h.API, unchanged(h.read("get-node", "nodes/{node}", "The instances of all kinds on a node")), h.getNode)
	h.registerResources()
	h.registerDecisions()
}

func (h *reads) listKinds(ctx context.Context, in *struct{ IfNoneMatch }) (*document[ops.KindList], error) {
	list := ops.KindList{Items: []ops.Kind{}}
	for _, v := range h.views(ctx) {
		list.Items = append(list.Items, ops.KindOf(v))
	}
	return tell(in.IfNoneMatch, list)
}

// views are those of all kinds that the caller may see, in the order of the configuration.
func (h *reads) views(ctx context.Context) (all []*ops.View) {
	for _, name := range h.Backend.Kinds() {
		if !access.Sees(ctx, name) {
			continue
		}
		if v, ok := h.Backend.View(name); ok {
			all = append(all, v)
		}
	}
	return all
}

func (h *reads) getKind(_ context.Context, in *struct {
	KindPath
	IfNoneMatch
},
) (*document[ops.Kind], error) {
	v, err := h.view(in.Kind)
	if err != nil {
		return nil, err
	}
	return tell(in.IfNoneMatch, ops.KindOf(v))
}

type instancesInput struct {
	KindPath
	IfNoneMatch
	State    []string `query:"state" enum:"open,closed,draining,drained,leaving,lost,absent" doc:"Only these states, separated by commas"`
	Health   []string `query:"health" enum:"Healthy,Starting,NotReady,Stale,Silent,CrashLooping,Failed,ImagePull,Pending,Terminating,Stuck,Absent,Unknown" doc:"Only these conditions, separated by commas"`
	Node     string   `query:"node" doc:"Only those on this node"`
	Name     string   `query:"name" maxLength:"256" doc:"Only the one of this ordinal or pod, and those on the node of this name"`
	Sort     string   `query:"sort" enum:"ordinal,-ordinal,count,-count,lag,-lag,cpu,-cpu,memory,-memory" default:"ordinal" doc:"With a minus the largest come first; what is not known comes last"`
	Limit    int      `query:"limit" minimum:"1" maximum:"500" default:"100"`
	Continue string   `query:"continue" maxLength:"500" doc:"continue of the page before"`
}

func (h *reads) listInstances(_ context.Context, in *instancesInput) (*document[ops.InstanceList], error) {
	v, err := h.view(in.Kind)
	if err != nil {
		return nil, err
	}
	page, err := ops.Page(ops.InstancesOf(v), ops.Query{
		State: in.State, Health: in.Health, Node: in.Node, Name: in.Name, Sort: in.Sort, Limit: in.Limit, Continue: in.Continue,
	})
	if err != nil {
		return nil, badContinue(in.Continue)
	}
	return tell(in.IfNoneMatch, page)
}

func badContinue(value string) error {
	return huma.Error422UnprocessableEntity("validation failed",
		&huma.ErrorDetail{Message: ops.ErrContinue.Error(), Location: "query.continue", Value: value})
}

// OrdinalPath names an instance in a path, after its kind.
type OrdinalPath struct {
	Ordinal string `path:"ordinal" example:"4" doc:"of the instance, as in the name of its pod: without sign and leading zeros"`

	ordinal int
}

// Resolve implements huma.Resolver.
func (in *OrdinalPath) Resolve(huma.Context) []error {
	var err error
	if in.ordinal, err = exact.Ordinal(in.Ordinal); err != nil {
		return []error{&huma.ErrorDetail{Message: err.Error(), Location: "path.ordinal", Value: in.Ordinal}}
	}
	return nil
}

func (h *reads) getInstance(_ context.Context, in *struct {
	KindPath
	OrdinalPath
	IfNoneMatch
},
) (*document[ops.Instance], error) {
	v, err := h.view(in.Kind)
	if err != nil {
		return nil, err
	}
	inst, ok := ops.InstanceOf(v, in.ordinal)
	if !ok {
		return nil, huma.Error404NotFound("kind " + in.Kind + " has no instance " + strconv.Itoa(in.ordinal))
	}
	return tell(in.IfNoneMatch, inst)
}

func (h *reads) getNode(ctx context.Context, in *struct {
	IfNoneMatch
	Node string `path:"node" maxLength:"253" doc:"The node's name"`
},
) (*document[ops.NodeInstances], error) {
	return tell(in.IfNoneMatch, ops.NodeOf(h.views(ctx), in.Node))
}
