package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/api/access"
	"github.com/shardscaler/shardscaler/internal/api/aggregated"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/limits"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/rebalancer"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// backend is a Backend of one kind, Thing, whose instance 3 runs thing-1.
type backend struct {
	leaderAddr string
	newLeader  atomic.Pointer[string] // in place of leaderAddr, once it is there
	follower   bool
	override   config.Override
	confirmed  int
	still      bool // nothing is moved
	calls      int
	trouble    func(*KindView)
	fails      error // of every write
	saved      func() decide.Saved
}

func (b *backend) Saved() decide.Saved {
	if b.saved != nil {
		return b.saved()
	}
	return decide.Saved{At: time.Unix(1, 0).UTC()}
}

func (b *backend) Kinds() []string { return []string{"Thing"} }

func (b *backend) Kind(name string) (KindView, bool) {
	if name != "Thing" {
		return KindView{}, false
	}
	base := config.Default("Thing", "iota-dac")
	k, standing := b.override.Apply(base, time.Now())
	state := &protocol.State{ReadAt: time.Unix(1, 0), Instances: map[int]*protocol.Instance{
		3: {Ordinal: 3, Used: 1, Capacity: 5000, Times: 7, IDs: protocol.NewIDs([]string{"thing-1"})},
		4: {Ordinal: 4, Capacity: 5000},
	}}
	v := KindView{
		Config: k, Override: standing, State: state, Decision: &outcome.Report{Decision: decide.Decision{Kind: name, Verb: decide.NoChange}},
		Waiting: &resync.Waiting{Count: 12, Known: 20, Share: 0.6},
		Lookup: func(id string) (int, bool) {
			switch id {
			case "thing-1":
				return 3, true
			case "pooled":
				return -1, true
			}
			return 0, false
		},
	}
	if b.trouble != nil {
		b.trouble(&v)
	}
	return v, true
}

func (b *backend) Orchestrate(_ context.Context, _ string, most, each *int) (ops.Applied, error) {
	if b.fails != nil {
		return ops.Applied{}, b.fails
	}
	before := ops.Over{Override: b.override}.Text()
	b.calls++
	base := config.Default("Thing", "iota-dac")
	o, err := b.override.Set(&base, 100, most, each, config.Said{})
	if err != nil {
		return ops.Applied{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	b.override = o
	return ops.Applied{Before: before, After: ops.Over{Override: o}.Text()}, nil
}

func (b *backend) Confirm(_ context.Context, _ string, set, count int) error {
	if b.fails != nil {
		return b.fails
	}
	if count != 12 || set > 1 {
		return fmt.Errorf("%w: 12 deletes wait, not %d", ErrConflict, count)
	}
	b.confirmed = count
	return nil
}

func (b *backend) Pause(_ context.Context, _ string, paused bool) (ops.Applied, error) {
	if b.fails != nil {
		return ops.Applied{}, b.fails
	}
	before := ops.Over{Override: b.override}.Text()
	base := config.Default("Thing", "iota-dac")
	b.override = b.override.SetPaused(&base, paused, config.Said{})
	return ops.Applied{Before: before, After: ops.Over{Override: b.override}.Text()}, nil
}

func (b *backend) Rollback(context.Context, string) (rebalancer.RolledBack, error) {
	if b.fails != nil {
		return rebalancer.RolledBack{}, b.fails
	}
	if b.still {
		return rebalancer.RolledBack{}, fmt.Errorf("%w: %w", ErrConflict, rebalancer.ErrNothingToRollBack)
	}
	return rebalancer.RolledBack{PlanID: "p", Returned: 3, Undone: 4}, nil
}

func (b *backend) PodDrain(_ context.Context, namespace, pod string, wait time.Duration) (PodDrain, error) {
	switch pod {
	case "iota-dac-4":
		return PodDrain{Kind: "Thing", Pod: pod, Ordinal: 4, State: DrainLeaving, Left: 7, Blocked: fmt.Sprintf("waited %s in %s", wait, namespace)}, nil
	case "iota-dac-9":
		return PodDrain{}, io.ErrUnexpectedEOF
	}
	return PodDrain{}, fmt.Errorf("%w: %s", ErrUnknownPod, pod)
}

func (b *backend) Reassign(_ context.Context, kind string, ordinal int, user string) (Reassigned, error) {
	if b.fails != nil {
		return Reassigned{}, b.fails
	}
	if ordinal != 4 {
		return Reassigned{}, fmt.Errorf("%w: instance %d is not dead: its pod is Ready", ErrConflict, ordinal)
	}
	b.calls++
	return Reassigned{Kind: kind, Ordinal: ordinal, Pod: "iota-dac-4", By: user}, nil
}

func (b *backend) Leader() (bool, string) {
	if addr := b.newLeader.Load(); addr != nil {
		return false, *addr
	}
	return !b.follower, b.leaderAddr
}

// tokens lets "operator" write and knows "guest".
type tokens struct{}

func (tokens) Authenticate(_ context.Context, _, token, _ string) (access.User, error) {
	switch token {
	case "operator", "guest", "former":
		return access.User{Name: token}, nil
	case "down":
		return access.User{}, io.ErrUnexpectedEOF
	}
	return access.User{}, limits.ErrRefused
}

func (tokens) Allowed(_ context.Context, _, _ string, user access.User, _ access.Right) (bool, error) {
	return user.Name == "operator", nil
}

func (tokens) AllowedFormerly(_ context.Context, _, _ string, user access.User, _ string) (bool, error) {
	return user.Name == "former", nil
}

// guarded is a guard of callers that tokens tells apart.
func guarded() *access.Guard {
	cfg := access.Config{Namespace: "iota", Audience: "shardscaler", Kinds: func() []string { return []string{"Thing"} }}
	return access.New(cfg, tokens{}, nil, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
}

func serve(t *testing.T, b *backend) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	guard := guarded()
	New(Config{Version: "test", Guard: guard, Peers: http.DefaultTransport}, mux, b, nil, slog.New(slog.DiscardHandler))
	s := httptest.NewServer(guard.Secure(mux))
	t.Cleanup(s.Close)
	return s
}

// call returns the status and the body; a token of "" sends none.
func call(t *testing.T, s *httptest.Server, method, path, token, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, s.URL+path, strings.NewReader(body))
	require.NoError(t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(b)
}

func TestReads(t *testing.T) {
	s := serve(t, &backend{})
	for path, want := range map[string]struct {
		status int
		body   string
	}{
		"/v1/api/orchestrations/Thing":                                            {200, `"3":{"data":{"used":1,"count":5000},"_reload":{"times":7},"resources":{"ids":["thing-1"]}}`},
		"/v1/api/orchestrations/Thing/thing-1/instances":                          {200, `{"runIn":"3"}`},
		"/v1/api/orchestrations/Thing/pooled/instances":                           {200, `{"runIn":null}`},
		"/v1/api/orchestrations/Thing/nobody/instances":                           {404, `no Thing has the id \"nobody\"`},
		"/v1/api/orchestrations/Nothing":                                          {404, `kind \"Nothing\" is not configured; there are Thing`},
		"/v1/api/orchestrations/Nothing/x/instances":                              {404, `is not configured`},
		"/v1/api/orchestrations/Thing/decision":                                   {200, `"verb":"keep"`},
		"/v1/api/snapshot":                                                        {200, `"at":"1970-01-01T00:00:01Z"`},
		"/v1/api/openapi.json":                                                    {200, `"openapi":"3.1.0"`},
		"/v1/api/orchestrations/Thing/" + strings.Repeat("x", 257) + "/instances": {422, `path.id`},
	} {
		status, body := call(t, s, http.MethodGet, path, "", "")
		require.Equal(t, want.status, status, "%s: %s", path, body)
		require.Contains(t, body, want.body, path)
	}
}

// What keeps a kind from being written is its problem, whatever else there is.
func TestTroubleIsAProblem(t *testing.T) {
	for want, trouble := range map[string]func(*KindView){
		"": nil,
		"zookeeper refuses what is to be written: create: over the quota": func(v *KindView) { v.Progress.Refused = "create: over the quota" },
		"the kind is stopped: another client writes here":                 func(v *KindView) { v.Progress.Alarm = "another client writes here" },
		"the kind is stopped: /resources: is no list of ids": func(v *KindView) {
			// as a replica sees it that does not lead
			v.State.Instances[4].Fault = "/resources: is no list of ids"
		},
	} {
		_, body := call(t, serve(t, &backend{trouble: trouble}), http.MethodGet, "/v1/api/orchestrations/Thing", "", "")
		var o Orchestration
		require.NoError(t, json.Unmarshal([]byte(body), &o))
		require.Equal(t, want, o.Problem)
		require.Equal(t, want == "", o.Succeeded)
	}
}

func TestAnEmptyListIsAnEmptyArray(t *testing.T) {
	_, body := call(t, serve(t, &backend{}), http.MethodGet, "/v1/api/orchestrations/Thing", "", "")
	require.Contains(t, body, `"4":{"data":{"used":0,"count":5000},"_reload":{"times":0},"resources":{"ids":[]}}`)
}

func TestOrchestrateNeedsAnAuthorisedCaller(t *testing.T) {
	b := &backend{}
	s := serve(t, b)
	for token, status := range map[string]int{"": 401, "forged": 401, "guest": 403, "down": 503} {
		got, body := call(t, s, http.MethodPost, "/v1/api/orchestrations/Thing/orchestrate", token, `{"maxInstances":20}`)
		require.Equal(t, status, got, "token %q: %s", token, body)
	}
	require.Zero(t, b.calls, "no caller without the right reaches the backend")
	got, body := call(t, s, http.MethodPost, "/v1/api/orchestrations/Thing/orchestrate", "operator", `{"maxInstances":20}`)
	require.Equal(t, 200, got, body)
	require.Contains(t, body, `"maxInstances":{"value":20,"source":"override"}`)
	require.Contains(t, body, `"resourcePerInstance":{"value":5000,"source":"ConfigMap"}`)
}

func TestOrchestrateRefusesBadInputNamingTheField(t *testing.T) {
	b := &backend{}
	s := serve(t, b)
	for body, want := range map[string]string{
		`{"maxInstances":2}`:             "maxInstances: Invalid value: 2: must be between 10 and 100",
		`{"maxInstances":101}`:           "maxInstances: Invalid value: 101: must be between 10 and 100",
		`{"maxInstances":10.5}`:          "body.maxInstances",
		`{"resourcePerInstance":0}`:      "resourcePerInstance: Invalid value: 0: must be between 1 and 5000",
		`{"resourcePerInstance":5001}`:   "resourcePerInstance: Invalid value: 5001: must be between 1 and 5000",
		`{"resourcePerInstance":"many"}`: "body.resourcePerInstance",
		`{"maxInstanses":20}`:            "body.maxInstanses",
		`{"maxInstances":`:               "is no JSON: it ends too early",
		`{"MaxInstances":20}`:            "body.MaxInstances",
	} {
		status, answer := call(t, s, http.MethodPost, "/v1/api/orchestrations/Thing/orchestrate", "operator", body)
		require.GreaterOrEqual(t, status, 400, "%s: %s", body, answer)
		require.Less(t, status, 500, "%s: %s", body, answer)
		require.Contains(t, answer, want, body)
		var problem struct{ Status int }
		require.NoError(t, json.Unmarshal([]byte(answer), &problem), "a problem document: %s", answer)
		require.Equal(t, status, problem.Status)
	}
	require.Zero(t, b.override, "nothing is half applied")
	status, _ := call(t, s, http.MethodPost, "/v1/api/orchestrations/Thing/orchestrate", "operator", `{"x":"`+strings.Repeat("y", 5000)+`"}`)
	require.Equal(t, http.StatusRequestEntityTooLarge, status)
}

func TestAFieldThatComesTwiceIsABadRequest(t *testing.T) {
	b := &backend{}
	s := serve(t, b)
	for body, want := range map[string]string{
		`{"maxInstances":20,"by":"\ud800"}`:                                   `\\ud800 is half a surrogate pair`,
		`{"maxInstances":20,"maxInstances":30}`:                               `duplicate field \"maxInstances\"`,
		`{"maxInstances":20,"MaxInstances":30}`:                               `field \"maxInstances\" comes twice, also as \"MaxInstances\"`,
		`{"resourcePerInstance":7,"maxInstances":20,"ResourcePerInstance":8}`: `field \"resourcePerInstance\" comes twice, also as \"ResourcePerInstance\"`,
	} {
		status, answer := call(t, s, http.MethodPost, "/v1/api/orchestrations/Thing/orchestrate", "operator", body)
		require.Equal(t, http.StatusBadRequest, status, "%s: %s", body, answer)
		require.Contains(t, answer, want, body)
	}
	status, answer := call(t, s, http.MethodPost, "/v1/api/orchestrations/Thing/reconcile/confirm", "operator", `{"deletes":11,"deletes":12}`)
	require.Equal(t, http.StatusBadRequest, status, answer)
	status, answer = call(t, s, http.MethodPost, "/v1/api/orchestrations/Thing/instances/4/reassign", "operator", `{"assumeDead":false,"assumeDead":true}`)
	require.Equal(t, http.StatusBadRequest, status, answer)
	require.Zero(t, b.calls)
	require.Zero(t, b.confirmed)
}

func TestOrchestrateWithoutABodyOnlyWakesTheLoop(t *testing.T) {
	b := &backend{}
	status, body := call(t, serve(t, b), http.MethodPost, "/v1/api/orchestrations/Thing/orchestrate", "operator", "")
	require.Equal(t, 200, status, body)
	require.Equal(t, 1, b.calls)
	require.Zero(t, b.override)
}

// A caller that asks for it is spared the answer with every id; others get it as ever.
func TestOrchestrateAnswersWithoutIDsWhereThatIsPreferred(t *testing.T) {
	b := &backend{}
	s := serve(t, b)
	for prefer, minimal := range map[string]bool{
		"return=minimal": true, `wait=10, Return="minimal"; x=1`: true, "return=representation, return=minimal": false, "": false, "minimal": false,
	} {
		req, err := http.NewRequest(http.MethodPost, s.URL+"/v1/api/orchestrations/Thing/orchestrate", nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer operator")
		req.Header.Set("Prefer", prefer)
		before := b.calls
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, before+1, b.calls, "it is carried out")
		if minimal {
			require.Equal(t, 204, resp.StatusCode)
			require.Equal(t, "return=minimal", resp.Header.Get("Preference-Applied"))
			require.Empty(t, body)
		} else {
			require.Equal(t, 200, resp.StatusCode)
			require.Empty(t, resp.Header.Get("Preference-Applied"))
			require.Contains(t, string(body), "thing-1", prefer)
		}
	}
}

func TestDeletesAreConfirmedByTheirExactNumber(t *testing.T) {
	b := &backend{}
	s := serve(t, b)
	status, body := call(t, s, http.MethodPost, "/v1/api/orchestrations/Thing/reconcile/confirm", "operator", `{"deletes":11}`)
	require.Equal(t, http.StatusConflict, status, body)
	require.Zero(t, b.confirmed)
	status, body = call(t, s, http.MethodPost, "/v1/api/orchestrations/Thing/reconcile/confirm", "operator", `{"deletes":12}`)
	require.Equal(t, 200, status, body)
	require.Equal(t, 12, b.confirmed)
	status, body = call(t, s, http.MethodPost, "/v1/api/orchestrations/Thing/reconcile/confirm", "operator", `{"deletes":12,"set":1}`)
	require.Equal(t, 200, status, body)
	status, body = call(t, s, http.MethodPost, "/v1/api/orchestrations/Thing/reconcile/confirm", "operator", `{"deletes":12,"set":2}`)
	require.Equal(t, http.StatusConflict, status, body)
}

func TestAFollowerForwardsWritesToTheLeader(t *testing.T) {
	lead := &backend{}
	leader := serve(t, lead)
	follower := &backend{follower: true, leaderAddr: leader.URL}
	s := serve(t, follower)
	status, body := call(t, s, http.MethodPost, "/v1/api/orchestrations/Thing/orchestrate", "operator", `{"maxInstances":30}`)
	require.Equal(t, 200, status, body)
	require.Equal(t, 30, lead.override.MaxInstances.Value)
	require.Zero(t, follower.calls)

	follower.leaderAddr = ""
	status, _ = call(t, s, http.MethodPost, "/v1/api/orchestrations/Thing/orchestrate", "operator", `{}`)
	require.Equal(t, http.StatusServiceUnavailable, status, "no leader is known")
}

func TestTwoFollowersDoNotPassAWriteBackAndForth(t *testing.T) {
	a, b := &backend{follower: true}, &backend{follower: true}
	sa, sb := serve(t, a), serve(t, b)
	a.leaderAddr, b.leaderAddr = sb.URL, sa.URL
	status, _ := call(t, sa, http.MethodPost, "/v1/api/orchestrations/Thing/orchestrate", "operator", `{}`)
	require.Equal(t, http.StatusServiceUnavailable, status)
}

func TestPauseResumeAndRollback(t *testing.T) {
	b := &backend{}
	s := serve(t, b)
	post := func(what, token string) (int, string) {
		return call(t, s, http.MethodPost, "/v1/api/orchestrations/Thing/"+what, token, "")
	}
	for _, what := range []string{"pause", "resume", "rollback"} {
		status, _ := post(what, "guest")
		require.Equal(t, http.StatusForbidden, status, what)
	}
	require.Zero(t, b.override)
	status, body := post("pause", "operator")
	require.Equal(t, http.StatusOK, status, body)
	require.JSONEq(t, `{"value":true,"source":"override"}`, body)
	_, body = call(t, s, http.MethodGet, "/v1/api/orchestrations/Thing", "", "")
	require.Contains(t, body, `"paused":{"value":true,"source":"override"}`)
	_, body = post("resume", "operator")
	require.JSONEq(t, `{"value":false,"source":"ConfigMap"}`, body)

	status, body = post("rollback", "operator")
	require.Equal(t, http.StatusOK, status, body)
	require.JSONEq(t, `{"planId":"p","stayed":0,"returned":3,"undone":4,"kept":0}`, body)
	b.still = true
	status, body = post("rollback", "operator")
	require.Equal(t, http.StatusConflict, status, body)
	require.Contains(t, body, "nothing to roll back")
}

func TestTheHandOffHint(t *testing.T) {
	view := func(mode config.HandOff, status *protocol.Status) *KindView {
		v := KindView{Config: config.Default("Thing", "iota-dac")}
		v.Config.HandOff = mode
		v.State = &protocol.State{
			Head:      protocol.Head{Open: []int{0}},
			Instances: map[int]*protocol.Instance{0: {Times: 7, Status: status}, 1: {}},
		}
		v.Snapshot.Instances = []observed.Instance{{Ordinal: 0, Pod: &observed.Pod{UID: "zero"}}}
		return &v
	}
	handOff := func(v *KindView) HandOff { return handOff(v, len(notAcknowledging(v))) }
	applied := &protocol.Status{Times: 7, Pod: "zero"}
	require.Equal(t, HandOff{config.HandOffImmediate, 1, 1, "every instance acknowledges: handOff can be acknowledged"}, handOff(view(config.HandOffImmediate, applied)))
	require.Equal(t, HandOff{config.HandOffAcknowledged, 1, 1, ""}, handOff(view(config.HandOffAcknowledged, applied)))
	for name, status := range map[string]*protocol.Status{"none": nil, "behind": {Times: 6, Pod: "zero"}, "of another pod": {Times: 7, Pod: "before"}} {
		require.Equal(t, HandOff{config.HandOffImmediate, 1, 0, ""}, handOff(view(config.HandOffImmediate, status)), name)
	}
	require.Contains(t, handOff(view(config.HandOffAcknowledged, nil)).Hint, "no instance acknowledges")
	require.Empty(t, notAcknowledging(view(config.HandOffAcknowledged, applied)))
	require.Empty(t, notAcknowledging(view(config.HandOffAcknowledged, &protocol.Status{Times: 6, Pod: "zero"})), "it will have applied the rest in a moment")
	require.Equal(t, map[string]string{"0": "its status is absent"}, notAcknowledging(view(config.HandOffImmediate, nil)))

	one := view(config.HandOffAcknowledged, applied)
	one.State.Head.Open = []int{0, 1}
	one.State.Instances[1].StatusFault = "is present and empty"
	require.Equal(t, map[string]string{"1": "its status is present and empty"}, notAcknowledging(one))
	require.Contains(t, handOff(one).Hint, "instances not acknowledging: 1 of 2; nothing is moved out of them")
}

// Notifications that do not come are a problem, and none of the loop that decides.
func TestNotificationsThatFailAreAProblem(t *testing.T) {
	v, _ := (&backend{}).Kind("Thing")
	require.Empty(t, orchestration(v).Problem)
	v.Snapshot.Sources.Notify.Error = "connection lost"
	o := orchestration(v)
	require.Equal(t, "notifications: connection lost", o.Problem)
	require.True(t, o.Succeeded)
}

// Discovery and the roles name what there is: each operation for operators, with its verb.
func TestTheAggregatedAPIListsEveryOperation(t *testing.T) {
	_, text := call(t, serve(t, &backend{}), http.MethodGet, "/v1/api/openapi.json", "", "")
	var spec struct {
		Paths map[string]map[string]any
	}
	require.NoError(t, json.Unmarshal([]byte(text), &spec))
	verbs := map[string][]string{}
	for _, r := range aggregated.Resources() {
		verbs[r.Name] = r.Verbs
	}
	seen := 0
	for path, methods := range spec.Paths {
		if !strings.HasPrefix(path, "/v1/api/kinds") && !strings.HasPrefix(path, "/v1/api/nodes") {
			continue
		}
		for method := range methods {
			at := &url.URL{Path: strings.NewReplacer("{", "", "}", "").Replace(path)}
			right, err := access.RightOf(strings.ToUpper(method), at, "iota")
			require.NoError(t, err, path)
			name := strings.TrimSuffix(right.Resource+"/"+right.Subresource, "/")
			require.Contains(t, verbs[name], right.Verb, "%s %s", method, path)
			seen++
		}
	}
	require.NotZero(t, seen)
}
