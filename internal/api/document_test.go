package api

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/api/access"
	"github.com/shardscaler/shardscaler/internal/api/kinds"
	"github.com/shardscaler/shardscaler/internal/api/stream"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/ops/explain"
	"github.com/shardscaler/shardscaler/internal/ops/history"
	"github.com/shardscaler/shardscaler/internal/ops/opstest"
	"github.com/shardscaler/shardscaler/internal/previews"
	"github.com/shardscaler/shardscaler/internal/testbed/openapitest"
	"github.com/shardscaler/shardscaler/rebalancer"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

//go:generate go test . -run TestTheOpenAPIDocumentIsTheCommittedOne -update
var update = flag.Bool("update", false, "write docs/openapi.json anew")

// operators is a kinds.Backend of one kind, Thing, of three instances, whose instance 2 runs /,
// a/b, instances and größe. What it does not implement must not be asked.
type operators struct {
	kinds.Backend
	change func(*ops.View)
	fails  error // of every write
	drains int   // that stand, beside that of instance 1
}

func (o *operators) Kinds() []string { return []string{"Thing"} }

func (o *operators) View(kind string) (*ops.View, bool) {
	v, err := opstest.View(3)
	if err != nil || kind != "Thing" {
		return nil, false
	}
	v.State.Instances = map[int]*protocol.Instance{2: {Ordinal: 2, IDs: protocol.NewIDs([]string{"/", "a/b", "instances", "größe"})}}
	if o.change != nil {
		o.change(v)
	}
	return v, true
}

func (o *operators) Resource(kind, id string) (ops.Resource, bool) {
	v, ok := o.View(kind)
	if !ok || !slices.Contains(v.State.Instances[2].IDs.Strings(), id) {
		return ops.Resource{}, false
	}
	return ops.ResourceOf(v, id, 2), true
}

func (o *operators) Overrides(string) (ops.Overrides, bool) {
	over := o.over()
	return ops.Overrides{Items: over.List(), Version: over.Version()}, true
}

func (o *operators) over() ops.Over {
	said := config.Saying("ann", opstest.Now, time.Hour)
	over := ops.Over{Override: config.Override{MaxInstances: &config.OverrideValue[int]{Value: 50, Over: 100, Said: said}}}
	for i := range 1 + o.drains {
		over.Operator = over.Operator.WithDrain(1+i, said)
	}
	over.Operator.Pins = []config.OperatorPin{{Resource: "a/b", Ordinal: 1, Move: true, Said: said}}
	return over
}

func (o *operators) Change(_ context.Context, _ string, c ops.Change, _ string) (ops.Applied, error) {
	over := o.over()
	return ops.Applied{Change: c, Kept: over.List(), Version: over.Version()}, o.fails
}

func (o *operators) Rollback(context.Context, string, string) (rebalancer.RolledBack, error) {
	return rebalancer.RolledBack{PlanID: "p", Returned: 3}, o.fails
}

func (o *operators) Confirm(context.Context, string, int, int) error { return o.fails }

func (o *operators) Reassign(_ context.Context, _ string, ordinal int, by string) (ops.AssumedDead, error) {
	return ops.AssumedDead{Instance: ordinal, Pod: "iota-dac-4", UID: "u", By: by, Left: 7}, o.fails
}

func (o *operators) Preview(_ context.Context, _ string, c ops.Change) (ops.Plan, error) {
	p := ops.Plan{
		ID: "p1", Change: c, Made: opstest.Now, Expires: opstest.Now.Add(10 * time.Minute), Size: &ops.SizeChange{Before: 3, After: 4, Why: "asked for"},
		Takes: "1m", Refused: "paused", Then: &plan.Description{},
	}
	fill(reflect.ValueOf(&p.Description).Elem(), 0)
	return p, o.fails
}

func (o *operators) Apply(_ context.Context, _, id, _ string) (ops.Applied, error) {
	return ops.Applied{ID: id, Kept: o.over().List()}, o.fails
}

// theDecision is the one entry of the operators' history.
const theDecision = "00000at"

func (o *operators) History(string, history.Query) ops.EntryList {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	current := 3
	return ops.EntryList{Since: at, Items: []ops.Entry{
		{ID: "00000av", At: at, Until: at.Add(time.Minute), Type: history.TypeGap, Gap: &ops.GapEntry{Reason: history.GapNoLeader, Text: "no replica led"}},
		{ID: "00000au", At: at, Type: history.TypeSample, Sample: &ops.Sample{Replicas: 3, Ready: 3, Desired: 3, Signals: map[string]float64{"count": 2.5}, WorstLag: "1m30s"}},
		{ID: theDecision, At: at, Type: history.TypeDecision, Decision: &ops.DecisionEntry{Verb: "keep", Reason: "count", Summary: "no change at 3", Current: &current, Desired: 3, Whole: true}},
		{ID: "00000as", At: at, Until: at, Type: history.TypeMoves, Moves: &ops.MovesEntry{PlanID: "p", Reason: "drain", Count: 7}},
		{ID: "00000ar", At: at, Type: history.TypeChange, Change: &ops.ChangeEntry{By: "ann", What: "pause", Before: "false", After: "true"}},
	}}
}

func (o *operators) Decided(_, id string) (ops.Decision, bool) {
	v, ok := o.View("Thing")
	if !ok || id != theDecision {
		return ops.Decision{}, false
	}
	return ops.Decision{ID: id, Report: v.Decision, Explanation: explain.Explain(v.Decision, nil)}, true
}

func serveAll(t *testing.T, b *backend, o *operators) *httptest.Server {
	t.Helper()
	mux, guard := calls(b, o)
	s := httptest.NewServer(guard.Plain(mux))
	t.Cleanup(s.Close)
	return s
}

// calls are all calls, and a guard that lets in who comes from this machine.
func calls(b *backend, o *operators) (*http.ServeMux, *access.Guard) {
	mux := http.NewServeMux()
	guard := access.New(access.Config{Namespace: "iota", Insecure: true, Kinds: o.Kinds}, tokens{}, nil, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	New(Config{Version: "v1", Guard: guard, Peers: http.DefaultTransport, Record: func(string, ops.ChangeEntry) {}, Streams: stream.New(stream.Config{})}, mux, b, o, slog.New(slog.DiscardHandler))
	return mux, guard
}

func openapi(t *testing.T, s *httptest.Server) []byte {
	t.Helper()
	resp, err := http.Get(s.URL + "/v1/api/openapi.json")
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return text
}

// What the document says is a promise, so that a change of it is seen by those who review it.
func TestTheOpenAPIDocumentIsTheCommittedOne(t *testing.T) {
	const file = "../../docs/openapi.json"
	var text bytes.Buffer
	require.NoError(t, json.Indent(&text, openapi(t, serveAll(t, &backend{}, &operators{})), "", "  "))
	if *update {
		require.NoError(t, os.WriteFile(file, text.Bytes(), 0o644))
	}
	committed, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(committed), text.String(), "write it anew: go generate ./internal/api")
}

// request is a call that is answered with status, and what its body is.
type request struct {
	status       int
	method, path string
	body         string
	fails        error // of the backend
}

// answers has at least one request of each operation.
var answers = []request{
	{200, "GET", "/v1/api/orchestrations/Thing", "", nil},
	{404, "GET", "/v1/api/orchestrations/Nothing", "", nil},
	{200, "GET", "/v1/api/orchestrations/Thing/thing-1/instances", "", nil},
	{200, "GET", "/v1/api/orchestrations/Thing/pooled/instances", "", nil},
	{404, "GET", "/v1/api/orchestrations/Thing/nothing/instances", "", nil},
	{200, "GET", "/v1/api/orchestrations/Thing/decision", "", nil},
	{200, "GET", "/v1/api/snapshot", "", nil},
	{200, "GET", "/v1/api/drains/iota/iota-dac-4", "", nil},
	{404, "GET", "/v1/api/drains/iota/other", "", nil},
	{200, "POST", "/v1/api/orchestrations/Thing/orchestrate", "", nil},
	{422, "POST", "/v1/api/orchestrations/Thing/orchestrate", `{"maxInstances":2}`, nil},
	{400, "POST", "/v1/api/orchestrations/Thing/orchestrate", `{"a":`, nil},
	{200, "POST", "/v1/api/orchestrations/Thing/pause", "", nil},
	{200, "POST", "/v1/api/orchestrations/Thing/resume", "", nil},
	{200, "POST", "/v1/api/orchestrations/Thing/rollback", "", nil},
	{200, "POST", "/v1/api/orchestrations/Thing/reconcile/confirm", `{"deletes":12}`, nil},
	{409, "POST", "/v1/api/orchestrations/Thing/reconcile/confirm", `{"deletes":13}`, nil},
	{200, "POST", "/v1/api/orchestrations/Thing/instances/4/reassign", `{"assumeDead":true}`, nil},
	{504, "POST", "/v1/api/orchestrations/Thing/pause", "", orders.ErrOutcomeUnknown},
	{503, "POST", "/v1/api/orchestrations/Thing/pause", "", orders.ErrNotSent},
	{200, "GET", "/v1/api/kinds", "", nil},
	{200, "GET", "/v1/api/kinds/Thing", "", nil},
	{404, "GET", "/v1/api/kinds/Nothing", "", nil},
	{200, "GET", "/v1/api/kinds/Thing/instances?sort=-cpu&state=open,closed&limit=2", "", nil},
	{422, "GET", "/v1/api/kinds/Thing/instances?sort=size", "", nil},
	{200, "GET", "/v1/api/kinds/Thing/instances/2", "", nil},
	{404, "GET", "/v1/api/kinds/Thing/instances/7", "", nil},
	{200, "GET", "/v1/api/nodes/node-1", "", nil},
	{200, "GET", "/v1/api/kinds/Thing/resource?id=a%2Fb", "", nil},
	{404, "GET", "/v1/api/kinds/Thing/resource?id=b", "", nil},
	{200, "GET", "/v1/api/kinds/Thing/resources?contains=a", "", nil},
	{200, "GET", "/v1/api/kinds/Thing/decision", "", nil},
	{200, "GET", "/v1/api/kinds/Thing/config", "", nil},
	{200, "GET", "/v1/api/kinds/Thing/history?type=decision,gap&since=6h&limit=1000", "", nil},
	{422, "GET", "/v1/api/kinds/Thing/history?since=yesterday", "", nil},
	{200, "GET", "/v1/api/kinds/Thing/history/" + theDecision, "", nil},
	{404, "GET", "/v1/api/kinds/Thing/history/0000000", "", nil},
	{200, "GET", "/v1/api/kinds/Thing/overrides", "", nil},
	{200, "POST", "/v1/api/kinds/Thing/plans", `{"size":4}`, nil},
	{200, "POST", "/v1/api/kinds/Thing/apply", `{"plan":"p1"}`, nil},
	{409, "POST", "/v1/api/kinds/Thing/apply", `{"plan":"p1"}`, previews.ErrChanged},
	{410, "POST", "/v1/api/kinds/Thing/apply", `{"plan":"p1"}`, previews.ErrGone},
	{200, "POST", "/v1/api/kinds/Thing/drains", `{"instance":1,"for":"2h"}`, nil},
	{422, "POST", "/v1/api/kinds/Thing/drains", `{"instance":-1}`, nil},
	{200, "DELETE", "/v1/api/kinds/Thing/drains/1", "", nil},
	{200, "POST", "/v1/api/kinds/Thing/pins", `{"resource":"a/b","instance":1}`, nil},
	{200, "DELETE", "/v1/api/kinds/Thing/pins?resource=a%2Fb", "", nil},
	{200, "POST", "/v1/api/kinds/Thing/moves", `{"resource":"a/b","instance":1}`, nil},
	{200, "PUT", "/v1/api/kinds/Thing/size", `{"size":12}`, nil},
	{200, "DELETE", "/v1/api/kinds/Thing/size", "", nil},
	{200, "PUT", "/v1/api/kinds/Thing/limits", `{"maxInstances":50}`, nil},
	{200, "POST", "/v1/api/kinds/Thing/orchestrate", "", nil},
	{200, "POST", "/v1/api/kinds/Thing/pause", `{"for":"2h"}`, nil},
	{504, "POST", "/v1/api/kinds/Thing/pause", "", orders.ErrOutcomeUnknown},
	{409, "POST", "/v1/api/kinds/Thing/rollback", "", kinds.ErrConflict},
	{200, "DELETE", "/v1/api/kinds/Thing/pause", "", nil},
	{200, "POST", "/v1/api/kinds/Thing/rollback", "", nil},
	{200, "POST", "/v1/api/kinds/Thing/confirm", `{"deletes":12,"set":1}`, nil},
	{200, "POST", "/v1/api/kinds/Thing/reassign", `{"instance":4,"assumeDead":true}`, nil},
}

func TestEveryOperationAnswersAsTheOpenAPIDocumentSays(t *testing.T) {
	b, o := &backend{}, &operators{}
	s := serveAll(t, b, o)
	doc, err := openapitest.Load(openapi(t, s))
	require.NoError(t, err)
	client := http.Client{Transport: doc.Transport(http.DefaultTransport, func(err error) { t.Error(err) })}
	for _, r := range answers {
		b.fails, o.fails = r.fails, r.fails
		req, err := http.NewRequest(r.method, s.URL+r.path, strings.NewReader(r.body))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer operator")
		resp, err := client.Do(req)
		require.NoError(t, err)
		body, _ := io.ReadAll(resp.Body)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, r.status, resp.StatusCode, "%s %s: %s", r.method, r.path, body)
		if tag := resp.Header.Get("ETag"); strings.HasPrefix(tag, "W/") && r.method == http.MethodGet {
			req.Header.Set("If-None-Match", tag)
			again, err := client.Do(req)
			require.NoError(t, err)
			require.NoError(t, again.Body.Close())
			require.Equal(t, http.StatusNotModified, again.StatusCode, r.path)
			require.Equal(t, tag, again.Header.Get("ETag"))
		}
	}
	seen := strings.Join(doc.Seen(), "\n")
	for _, id := range doc.Operations() {
		if strings.HasSuffix(id, "-session") { // it needs a server with a key for cookies
			continue
		}
		require.Regexp(t, `(?m)^`+id+` 2`, seen, "answers lacks a request of this operation")
	}
}
