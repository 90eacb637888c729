package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/ops"
)

const kinds, nodes = "kinds", "nodes"

// Kinds asks for all kinds.
func (c *Client) Kinds(ctx context.Context) (Doc[ops.KindList], error) {
	return object[ops.KindList](ctx, c, get(kinds))
}

// object asks for what the aggregated API has as an object, or a list of them, and returns its
// document.
func object[T any](ctx context.Context, c *Client, what call) (d Doc[T], err error) {
	if !c.Aggregated {
		return do[T](ctx, c, what)
	}
	text, err := c.exchange(ctx, what)
	if err != nil {
		return d, err
	}
	if d.Raw, err = bare(text); err == nil {
		err = exact.JSON(d.Raw, &d.Value)
	}
	if err != nil {
		err = fmt.Errorf("read an object of %s: %w", Group, err)
	}
	return d, err
}

// kindObject is a kind, or a node, as the aggregated API has it, for kubectl get: its document is the status.
type kindObject struct {
	Status json.RawMessage `json:"status"`
}

// bare is a kind's or node's document, or the list of kinds, without what makes them objects.
func bare(text []byte) ([]byte, error) {
	var o struct {
		Status json.RawMessage `json:"status"`
		Items  *[]kindObject   `json:"items"`
	}
	if err := exact.JSON(text, &o); err != nil {
		return nil, err
	}
	if o.Items == nil {
		return o.Status, nil
	}
	list := struct {
		Items []json.RawMessage `json:"items"`
	}{Items: []json.RawMessage{}}
	for _, item := range *o.Items {
		list.Items = append(list.Items, item.Status)
	}
	return json.Marshal(list)
}

// Kind asks about one kind, and asks it for changes.
type Kind struct {
	c    *Client
	name string
}

// Orchestration asks a server itself for what the old API says of a kind, into what T names of it.
func Orchestration[T any](ctx context.Context, c *Client, kind string) (T, error) {
	d, err := do[T](ctx, c, get("orchestrations", kind))
	return d.Value, err
}

// Of asks about a kind. Whether there is one of that name, its answers say.
func (c *Client) Of(kind string) Kind { return Kind{c, kind} }

// Get asks for the kind.
func (k Kind) Get(ctx context.Context) (Doc[ops.Kind], error) {
	return object[ops.Kind](ctx, k.c, get(kinds, k.name))
}

// Decision asks for the latest decision of a kind.
func (k Kind) Decision(ctx context.Context) (Doc[ops.Decision], error) {
	return do[ops.Decision](ctx, k.c, get(kinds, k.name, "decision"))
}

// Config asks for the configuration of a kind that is in force.
func (k Kind) Config(ctx context.Context) (Doc[ops.Settings], error) {
	return do[ops.Settings](ctx, k.c, get(kinds, k.name, "config"))
}

// Node asks for the instances on a node.
func (c *Client) Node(ctx context.Context, node string) (Doc[ops.NodeInstances], error) {
	return object[ops.NodeInstances](ctx, c, get(nodes, node))
}

// InstanceQuery picks instances; an empty member picks all.
type InstanceQuery struct{ State, Health, Node, Sort string }

// Instances asks for the instances of a kind, all pages.
func (k Kind) Instances(ctx context.Context, q InstanceQuery) (Doc[ops.InstanceList], error) {
	what := get(kinds, k.name, "instances")
	what.query = values("state", q.State, "health", q.Health, "node", q.Node, "sort", q.Sort, "limit", strconv.Itoa(pageSize))
	return all[ops.InstanceList](ctx, k.c, what, 0)
}

// Instance asks for one instance.
func (k Kind) Instance(ctx context.Context, ordinal int) (Doc[ops.Instance], error) {
	return do[ops.Instance](ctx, k.c, get(kinds, k.name, "instances", strconv.Itoa(ordinal)))
}

// Resource asks where a resource is.
func (k Kind) Resource(ctx context.Context, id string) (Doc[ops.Resource], error) {
	what := get(kinds, k.name, "resource")
	what.query = values("id", id)
	return do[ops.Resource](ctx, k.c, what)
}

// Resources asks for at most so many ids that contain a text.
func (k Kind) Resources(ctx context.Context, contains string, most int) (Doc[ops.ResourceList], error) {
	what := get(kinds, k.name, "resources")
	what.query = values("contains", contains, "limit", strconv.Itoa(most))
	return do[ops.ResourceList](ctx, k.c, what)
}

// HistoryQuery picks entries; an empty member picks all. Since and Until are times (RFC 3339).
type HistoryQuery struct {
	Type, Since, Until string
	// Most bounds the entries; 0: all that are kept.
	Most int
}

// History asks for the history of a kind, the newest first.
func (k Kind) History(ctx context.Context, q HistoryQuery) (Doc[ops.EntryList], error) {
	what := get(kinds, k.name, "history")
	what.query = values("type", q.Type, "since", q.Since, "until", q.Until)
	if q.Most > 0 {
		what.query.Set("limit", strconv.Itoa(min(q.Most, pageSize)))
	}
	return all[ops.EntryList](ctx, k.c, what, q.Most)
}

// Decided asks for a decision of the history.
func (k Kind) Decided(ctx context.Context, id string) (Doc[ops.Decision], error) {
	return do[ops.Decision](ctx, k.c, get(kinds, k.name, "history", id))
}

// Plan asks what a change would do.
func (k Kind) Plan(ctx context.Context, change ops.Change) (Doc[ops.Plan], error) {
	return do[ops.Plan](ctx, k.c, post(change, kinds, k.name, "plans"))
}

// Apply carries a plan out.
func (k Kind) Apply(ctx context.Context, id string) (Doc[ops.Applied], error) {
	return do[ops.Applied](ctx, k.c, post(map[string]string{"plan": id}, kinds, k.name, "apply"))
}

func post(body any, segments ...string) call {
	return call{method: http.MethodPost, segments: segments, body: body}
}

// values are pairs of a name and a value; those without value are left out.
func values(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			v.Set(pairs[i], pairs[i+1])
		}
	}
	return v
}

const (
	pageSize = 500
	maxPages = 1000
)

// all follows the pages of a list, to at least so many items if most is not 0. A single page is the
// text as it came.
func all[T any](ctx context.Context, c *Client, what call, most int) (Doc[T], error) {
	first, err := do[map[string]json.RawMessage](ctx, c, what)
	if err != nil {
		return Doc[T]{}, err
	}
	raw, list := first.Raw, first.Value
	var items []json.RawMessage
	for page := list; ; {
		var more []json.RawMessage
		if err := exact.JSON(page["items"], &more); err != nil {
			return Doc[T]{}, fmt.Errorf("read the items of %s: %w", c.at(what), err)
		}
		items = append(items, more...)
		var token string
		if len(page["continue"]) > 0 {
			_ = exact.JSON(page["continue"], &token) // what is no text ends it
		}
		if token == "" || most > 0 && len(items) >= most {
			break
		}
		if len(items) > pageSize*maxPages {
			return Doc[T]{}, fmt.Errorf("%s has no end: more than %d items", c.at(what), pageSize*maxPages)
		}
		what.query.Set("continue", token)
		next, err := do[map[string]json.RawMessage](ctx, c, what)
		if err != nil {
			return Doc[T]{}, err
		}
		page, raw = next.Value, nil
	}
	if most > 0 && len(items) > most {
		items, raw = items[:most], nil
	}
	return joined[T](raw, list, items)
}

// joined is a list of several pages as one document; raw is its text if there was one page.
func joined[T any](raw []byte, list map[string]json.RawMessage, items []json.RawMessage) (d Doc[T], err error) {
	if d.Raw = raw; raw == nil {
		if list["items"], err = json.Marshal(items); err != nil {
			return d, err
		}
		delete(list, "continue")
		if d.Raw, err = json.Marshal(list); err != nil {
			return d, err
		}
	}
	return d, exact.JSON(d.Raw, &d.Value)
}
