package stream

import (
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shardscaler/shardscaler/internal/api/stream/delta"
)

// Describe adds to the operation that lists kinds what it is with watch=true.
func Describe(api huma.API, op *huma.Operation) {
	op.Parameters = append(op.Parameters, text("query", "watch", "true: a stream of Server-Sent Events instead of the list"),
		text("query", "kind", "with watch: this kind only"),
		text("query", "fieldSelector", "with watch: metadata.name=<kind>, the same as Kubernetes has it"),
		text("header", "Last-Event-ID", "with watch: the id of the last event; what changed since is sent, if the id is known, and else all"))
	if op.Responses == nil {
		op.Responses = map[string]*huma.Response{}
	}
	op.Responses["200"] = &huma.Response{Description: "OK", Content: map[string]*huma.MediaType{
		"application/json":  {},
		"text/event-stream": {Schema: events(api.OpenAPI().Components.Schemas)},
	}}
}

func text(in, name, description string) *huma.Param {
	return &huma.Param{Name: name, In: in, Description: description, Schema: &huma.Schema{Type: huma.TypeString}}
}

// events is a stream as an array of events: OpenAPI 3.1 has no other word for it.
func events(schemas huma.Registry) *huma.Schema {
	one := func(name, description string, data reflect.Type, hint string, id bool) *huma.Schema {
		s := &huma.Schema{
			Type: huma.TypeObject, Title: name, Description: description, Required: []string{"event", "data"},
			Properties: map[string]*huma.Schema{
				"event": {Type: huma.TypeString, Enum: []any{name}},
				"data":  schemas.Schema(data, true, hint),
			},
		}
		if id {
			s.Required = append(s.Required, "id")
			s.Properties["id"] = &huma.Schema{Type: huma.TypeString, Description: "the same on every replica for the same documents"}
		}
		return s
	}
	return &huma.Schema{Type: huma.TypeArray, Items: &huma.Schema{OneOf: []*huma.Schema{
		one(delta.EventState, "All there is. It is the first event, unless the client came back with an id that is known.", reflect.TypeFor[delta.Update](), "StreamUpdate", true),
		one(delta.EventChange, "What changed since the event before.", reflect.TypeFor[delta.Update](), "StreamUpdate", true),
		one(delta.EventHistory, "New entries of a kind's history.", reflect.TypeFor[delta.History](), "StreamHistory", true),
		one(delta.EventBye, "Why the server ends the stream.", reflect.TypeFor[delta.Bye](), "StreamBye", false),
	}}}
}
