package kubectl

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shardscaler/shardscaler/internal/kubectl/client"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// noon is the moment of all documents of the fixed server.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func ptr[T any](v T) *T { return &v }

// fixed is a server whose documents are always the same. It is asked through an API server, below
// /apis, and itself, below /v1/api.
type fixed struct {
	*httptest.Server
	mu     sync.Mutex
	writes []string
	// answers are those of answer, by method and path; of a path, what comes before kinds or nodes is
	// left out.
	answers map[string]http.HandlerFunc
}

func newFixed(t testing.TB) *fixed {
	f := &fixed{answers: map[string]http.HandlerFunc{}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *fixed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), "/v1/api/")
	aggregated := !ok
	if !ok {
		path, ok = strings.CutPrefix(r.URL.EscapedPath(), "/apis/ops.shardscaler.io/v1/namespaces/iota/")
	}
	if !ok {
		f.cluster(w, r)
		return
	}
	if r.Method != http.MethodGet {
		body, _ := io.ReadAll(r.Body)
		f.mu.Lock()
		f.writes = append(f.writes, strings.TrimSpace(r.Method+" "+path+query(r)+" "+string(body)))
		f.mu.Unlock()
	}
	if own := f.own(r.Method + " " + path); own != nil {
		own(w, r)
		return
	}
	document, ok := documents(r.Method, path, r)
	if !ok {
		problem(w, http.StatusNotFound, "kind or thing is not known: "+path)
		return
	}
	if aggregated {
		document = asObjects(document)
	}
	write(w, http.StatusOK, "application/json", document)
}

// asObjects are the kinds, and nodes, as the aggregated API has them.
func asObjects(document any) any {
	object := func(k ops.Kind) any {
		return map[string]any{"apiVersion": "ops.shardscaler.io/v1", "kind": "Kind", "metadata": map[string]any{"name": k.Name, "namespace": "iota"}, "status": k}
	}
	switch d := document.(type) {
	case ops.NodeInstances:
		return map[string]any{"apiVersion": "ops.shardscaler.io/v1", "kind": "NodeInstances", "metadata": map[string]any{"name": d.Node, "namespace": "iota"}, "status": d}
	case ops.Kind:
		return object(d)
	case ops.KindList:
		items := []any{}
		for _, k := range d.Items {
			items = append(items, object(k))
		}
		return map[string]any{"apiVersion": "ops.shardscaler.io/v1", "kind": "KindList", "items": items}
	}
	return document
}

// answer replaces what a request is answered with.
func (f *fixed) answer(request string, by http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[request] = by
}

func (f *fixed) own(request string) http.HandlerFunc {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.answers[request]
}

func query(r *http.Request) string {
	if r.URL.RawQuery == "" {
		return ""
	}
	return "?" + r.URL.RawQuery
}

// wrote returns the writes since the last call.
func (f *fixed) wrote() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.writes
	f.writes = nil
	return all
}

func write(w http.ResponseWriter, status int, kind string, document any) {
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(document)
}

func problem(w http.ResponseWriter, status int, detail string) {
	write(w, status, "application/problem+json", map[string]any{"status": status, "title": http.StatusText(status), "detail": detail})
}

// cluster is what the API server says itself.
func (f *fixed) cluster(w http.ResponseWriter, r *http.Request) {
	if own := f.own(r.Method + " " + r.URL.Path); own != nil {
		own(w, r)
		return
	}
	switch r.URL.Path {
	case "/version":
		write(w, 200, "application/json", map[string]string{"gitVersion": "v1.37.1"})
	case "/api/v1/services":
		write(w, 200, "application/json", map[string]any{"items": []any{
			map[string]any{"metadata": map[string]any{"namespace": "iota", "name": "shardscaler"}},
			map[string]any{"metadata": map[string]any{"namespace": "iota", "name": "shardscaler-metrics"}},
		}})
	case "/apis/apps/v1/namespaces/iota/deployments":
		write(w, 200, "application/json", map[string]any{"items": []any{map[string]any{
			"metadata": map[string]any{"name": "shardscaler", "labels": map[string]any{"app.kubernetes.io/name": "shardscaler"}},
			"spec":     map[string]any{"replicas": 2, "template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "shardscaler", "image": "registry.example/shardscaler:v1.9.0"}}}}},
			"status":   map[string]any{"readyReplicas": 1},
		}}})
	case "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews":
		var review struct {
			Spec struct{ ResourceAttributes struct{ Subresource string } }
		}
		_ = json.NewDecoder(r.Body).Decode(&review)
		write(w, 201, "application/json", map[string]any{"status": map[string]any{"allowed": review.Spec.ResourceAttributes.Subresource != "confirm"}})
	case "/apis/apiregistration.k8s.io/v1/apiservices/v1.ops.shardscaler.io":
		write(w, 200, "application/json", apiServiceOf("iota", "True", "Passed", "all checks passed"))
	case "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.custom.metrics.k8s.io":
		write(w, 200, "application/json", apiServiceOf("iota", "False", "MissingEndpoints", "endpoints for service/shardscaler in \"iota\" have no addresses"))
	default:
		write(w, 404, "application/json", map[string]any{"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404, "message": "the server could not find the requested resource"})
	}
}

func apiServiceOf(namespace, available, reason, message string) map[string]any {
	return map[string]any{
		"spec":   map[string]any{"service": map[string]any{"namespace": namespace, "name": "shardscaler-metrics"}},
		"status": map[string]any{"conditions": []any{map[string]any{"type": "Available", "status": available, "reason": reason, "message": message}}},
	}
}

// documents are what the server answers with, by method and path.
func documents(method, path string, r *http.Request) (any, bool) {
	switch method + " " + path {
	case "GET kinds":
		return ops.KindList{Items: []ops.Kind{thing(), rule()}}, true
	case "GET kinds/Thing":
		return thing(), true
	case "GET kinds/Rule":
		return rule(), true
	case "GET kinds/Thing/instances":
		return ops.InstanceList{Items: instances(), Total: 3, All: 3}, true
	case "GET kinds/Thing/instances/1":
		return instances()[1], true
	case "GET nodes/node-a":
		return ops.NodeInstances{Node: "node-a", Items: instances()[:1]}, true
	case "GET kinds/Thing/resource":
		return resourceOf(r.URL.Query().Get("id"))
	case "GET kinds/Thing/resources":
		return ops.ResourceList{Items: []ops.ResourceAt{{ID: "device/17", Instance: 1}, {ID: "device-18", Instance: -1}}}, true
	case "GET kinds/Rule/resources":
		return ops.ResourceList{Items: []ops.ResourceAt{}}, true
	case "GET kinds/Thing/decision", "GET kinds/Thing/history/d-2":
		return decisionOf(), true
	case "GET kinds/Thing/config":
		return settings(), true
	case "GET kinds/Rule/history":
		return ops.EntryList{Items: []ops.Entry{}}, true
	case "GET kinds/Thing/history":
		return entries(), true
	case "POST kinds/Thing/plans":
		return planOf(r), true
	case "POST kinds/Rule/plans":
		return ops.Plan{ID: "0", Made: noon, Expires: noon.Add(10 * time.Minute), Description: plan.Description{ID: "0", Summary: "nothing moves", Certificate: "0 moves in full"}}, true
	case "POST kinds/Thing/rollback":
		return client.RolledBack{PlanID: "p1", Stayed: 1, Returned: 2, Undone: 3, Kept: 4}, true
	case "POST kinds/Thing/confirm":
		return client.Confirmed{Deletes: 1250, Set: 3}, true
	case "POST kinds/Thing/reassign":
		return ops.AssumedDead{Instance: 1, Pod: "iota-dac-1", UID: "u1", By: "ann", Left: 40}, true
	case "POST kinds/Thing/apply":
		return ops.Applied{ID: "3f2a9c", Change: ops.Change{Drain: ptr(1)}, Kept: []ops.Override{}}, true
	case "POST kinds/Rule/apply":
		return nil, false
	case "POST kinds/Thing/drains", "DELETE kinds/Thing/drains/1", "POST kinds/Thing/pins", "DELETE kinds/Thing/pins", "POST kinds/Thing/moves",
		"PUT kinds/Thing/size", "DELETE kinds/Thing/size", "POST kinds/Thing/pause", "DELETE kinds/Thing/pause":
		return ops.Applied{Kept: []ops.Override{}}, true
	}
	return nil, false
}

func thing() ops.Kind {
	return ops.Kind{
		Name: "Thing", Mode: "act", At: noon, Verb: "grow", Reason: "count", Why: "scale up 2 -> 3: count asks for 3",
		Groups: []ops.Group{{
			StatefulSet: "iota-dac", Namespace: "iota", Replicas: ptr(3), Ready: ptr(2), Desired: ptr(3), Needed: ptr(3), Recommended: ptr(3),
			Init: 1, Max: 30, Capacity: 1000, TargetPerInstance: 900, Owner: "shardscaler", Open: "0-2",
		}},
		Resources: &ops.Resources{Total: 2100, Assigned: 2080, InFlight: 5, Unassigned: 15},
		WorstLag:  &ops.WorstLag{Instance: 1, Lag: "41s"},
		Alarms: []ops.Alarm{
			{Name: "silent", Severity: "critical", Text: "instance 1 is silent", Cure: "look at its pod: kubectl logs iota-dac-1", Since: noon.Add(-time.Minute), Ordinals: []int{1}},
			{Name: "unassigned", Severity: "warning", Text: "resources wait: 15", Cure: "wait for the third instance"},
		},
		Paused:    ops.Paused{Source: "ConfigMap"},
		Overrides: []ops.Override{{What: "drain", Instance: ptr(1), Said: ops.Said{By: "ann", At: noon.Add(-time.Hour), Until: noon.Add(time.Hour)}}},
		Progress:  orders.Progress{PlanID: "p1", Reason: "drain", Moves: 100, Done: 40, Left: 60, Beyond: 10, PerMinute: 600},
		Waiting: &resync.Waiting{Count: 1270, Sets: []resync.Set{
			{Set: 3, Count: 1250, Known: 2100, Share: 0.595, Since: noon.Add(-2 * time.Hour)}, {Set: 4, Count: 20, Known: 2100, Share: 0.01, Since: noon},
		}},
		Sources: []ops.Source{{Name: "store", At: noon, Age: "0s"}, {Name: "catalogue", At: noon.Add(-time.Hour), Age: "1h", Error: "connection refused", Since: noon.Add(-time.Hour)}},
		Epoch:   7, Generation: 3,
	}
}

func rule() ops.Kind {
	return ops.Kind{
		Name: "Rule", Mode: "act", At: noon, Why: "", Blind: "ZooKeeper has not been read yet",
		Groups: []ops.Group{{StatefulSet: "iota-rules-engine", Namespace: "iota", Init: 1, Max: 10, Capacity: 100, TargetPerInstance: 80, Owner: "hpa"}},
		Alarms: []ops.Alarm{}, Overrides: []ops.Override{}, Sources: []ops.Source{{Name: "store"}},
		Paused: ops.Paused{Value: true, Source: "override", Said: ops.Said{By: "bob", At: noon}},
	}
}

func instances() []ops.Instance {
	return []ops.Instance{
		{
			Kind: "Thing", Ordinal: 0, StatefulSet: "iota-dac", Pod: "iota-dac-0", UID: "u0", Node: "node-a", State: "open", Health: ops.Health{Condition: "Healthy", By: "heartbeat"},
			List: ops.List{Count: 990, Capacity: 1000}, CPU: &ops.Load{Usage: 700, Request: 1000, Ratio: ptr(1.0)}, Memory: &ops.Load{Usage: 1 << 29, Request: 1 << 30}, Lag: "1s", Started: noon.Add(-26 * time.Hour),
		},
		{
			Kind: "Thing", Ordinal: 1, StatefulSet: "iota-dac", Pod: "iota-dac-1", UID: "u1", Node: "node-b", State: "draining", Health: ops.Health{Condition: "Silent", By: "heartbeat", Text: "no heartbeat for 41s"},
			List: ops.List{Count: 40, Capacity: 1000, InFlight: 5, Weight: ptr(12.5)}, CPU: &ops.Load{Missing: "no sample"}, Lag: "41s", Drain: &ops.Said{By: "ann", At: noon.Add(-time.Hour)}, Started: noon.Add(-5 * time.Minute), Restarts: 2,
		},
		{Kind: "Thing", Ordinal: 2, StatefulSet: "iota-dac", State: "absent", Health: ops.Health{Condition: "Absent", By: "session"}, List: ops.List{Count: 1050, Capacity: 1000, Error: "znode is not readable"}},
	}
}

func resourceOf(id string) (any, bool) {
	if id != "device/17" {
		return nil, false
	}
	return ops.Resource{
		ID: id, Instance: ptr(1), Pod: "iota-dac-1", Node: "node-b", Place: "list", Since: noon.Add(-time.Hour), Why: "spread",
		Pin:   &ops.Pin{Resource: id, Instance: 1, Said: ops.Said{By: "ann", At: noon}},
		Moves: []ops.Move{{ID: id, At: noon.Add(-time.Hour), From: 0, To: 1, Why: "spread"}, {ID: id, At: noon.Add(-3 * time.Hour), From: -1, To: 0, Why: "created"}}, KeptSince: noon.Add(-24 * time.Hour),
	}, true
}

func decisionOf() ops.Decision {
	return ops.Decision{
		ID: "d-2",
		Report: outcome.NewReport(decide.Decision{
			Kind: "Thing", StatefulSet: "iota-dac", At: noon, Owner: "shardscaler", Verb: decide.ScaleUp, Reason: decide.ByCount, Summary: "scale up 2 -> 3: count asks for 3",
			Current: ptr(2), Needed: 3, Desired: 3, Recommended: ptr(3), Own: 3, Floor: 3, Resources: 2100, TargetPerInstance: 900, Capacity: 1000, Init: 1, Max: 30, Complete: true,
			Signals: []decide.Signal{{Name: decide.ByCount, Proposed: 3, Need: 2.33, Inputs: "2100 resources, 900 on an instance"}},
			Holds:   []decide.Hold{{By: decide.ByIncomplete, Text: "instance 2 does not report"}},
		}, outcome.Outcome{Act: &outcome.Act{Done: outcome.Scaled, Text: "replicas 2 -> 3"}}),
		Explanation: ops.Explanation{
			Answers: []ops.Answer{
				{Question: "Why is the tolerance not in the way?", Code: "tolerance.out", Text: "2.33 instances at target are needed, and there are 2: that is more than 10 % apart.", Applies: true},
				{Question: "Is a metric missing?", Code: "missing.none", Text: "No."},
			},
			Otherwise: []ops.Answer{{Code: "fewer", Text: "For 2 instances: 1800 resources or fewer."}},
		},
	}
}

func settings() ops.Settings {
	return ops.Settings{Kind: "Thing", Generation: 3, Version: "4711", Refused: "kinds[0].max: 0: must be at least 1", Items: []ops.Setting{
		{Path: "capacity", Value: 1000, Source: "override", Configured: 900, Said: ops.Said{By: "ann", At: noon, Until: noon.Add(time.Hour)}},
		{Path: "cpu.targetUtilization", Value: 70, Source: "ConfigMap"},
		{Path: "heartbeat.staleAfter", Value: "30s", Source: "default"},
	}}
}

func entries() ops.EntryList {
	return ops.EntryList{Since: noon.Add(-24 * time.Hour), Items: []ops.Entry{
		{ID: "6", At: noon.Add(-time.Minute), Type: "sample", Sample: &ops.Sample{Replicas: 3, Ready: 2, Desired: 3, Resources: 2100, Unassigned: 15, InFlight: 5, WorstLag: "41s"}},
		{ID: "d-2", At: noon.Add(-2 * time.Minute), Type: "decision", Decision: &ops.DecisionEntry{Verb: "grow", Reason: "count", Summary: "scale up 2 -> 3: count asks for 3", Desired: 3}},
		{ID: "4", At: noon.Add(-3 * time.Minute), Type: "change", Change: &ops.ChangeEntry{By: "ann", What: "drain", After: "instance 1"}},
		{ID: "3", At: noon.Add(-time.Hour), Type: "moves", Until: noon, Moves: &ops.MovesEntry{Reason: "spread", Count: 120}},
		{ID: "2", At: noon.Add(-2 * time.Hour), Type: "gap", Until: noon.Add(-time.Hour), Gap: &ops.GapEntry{Reason: "no-leader", Text: "no replica led"}},
	}}
}

func planOf(r *http.Request) ops.Plan {
	_ = r
	return ops.Plan{
		ID: "3f2a9c", Change: ops.Change{Drain: ptr(1)}, Made: noon, Expires: noon.Add(10 * time.Minute),
		Size: &ops.SizeChange{Before: 3, After: 4, Why: "so that the others have room"}, Takes: "4s", Waits: "instance 2 is not ready", Then: &plan.Description{Summary: "12 moves: required: 0, to spread or to make room: 12", Certificate: "12 moves in full", Moves: 12}, Refused: "voluntary moves are paused",
		Description: plan.Description{
			ID: "abc", Regime: "count", Balance: plan.ByCount, Summary: "40 moves: required: 40, to spread or to make room: 0", Certificate: "40 moves in full, the least number (bound 40)",
			Moves: 40, Bound: 40, Exact: true,
			Instances: []plan.InstanceChange{{Ordinal: 0, State: "open", Before: 990, In: 10, After: 1000, Target: 1000}, {Ordinal: 1, State: "leaving", Before: 40, Out: 40}},
			Flows:     []plan.Flow{{From: 1, To: 0, Why: plan.WhyLeaving, Count: 40}}, Notes: []string{fmt.Sprintf("no headroom: losing instance %d", 0)},
		},
	}
}
