package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/rebalancer/orders"
)

// documented is a client of the old calls. It knows of them what docs/formats.md says under "REST
// (kept as it was)", and uses no type of the server.
type documented struct {
	t             *testing.T
	server, token string
}

// refused is an answer other than 200 and the unknown outcome: the request was not carried out.
type refused struct {
	status int
	detail string
}

func (r *refused) Error() string { return fmt.Sprintf("%d: %s", r.status, r.detail) }

// uncertain is 504 with urn:shardscaler:outcome-unknown: see tells what became of the request.
type uncertain struct{ see string }

func (u *uncertain) Error() string { return "it may have been carried out or not: see " + u.see }

// ask sends a request, and reads the answer into out.
func (c documented) ask(method, path string, in, out any) error {
	c.t.Helper()
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		require.NoError(c.t, err)
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequest(method, c.server+path, body)
	require.NoError(c.t, err)
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(c.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	if resp.StatusCode == http.StatusOK {
		require.Equal(c.t, "application/json", resp.Header.Get("Content-Type"))
		require.NoError(c.t, json.Unmarshal(text, out))
		return nil
	}
	var problem struct {
		Type, Detail, See string
		Status            int
	}
	require.Equal(c.t, "application/problem+json", resp.Header.Get("Content-Type"))
	require.NoError(c.t, json.Unmarshal(text, &problem))
	require.Equal(c.t, resp.StatusCode, problem.Status)
	if problem.Type == "urn:shardscaler:outcome-unknown" {
		return &uncertain{problem.See}
	}
	return &refused{problem.Status, problem.Detail}
}

func (c documented) of(kind, below string) string { return "/v1/api/orchestrations/" + kind + below }

// orchestration is each instance with its data, `_reload` and `resources`, and whether
// orchestration runs and last succeeded.
type documentedOrchestration struct {
	Instances map[string]struct {
		Data      struct{ Used, Count int }
		Reload    struct{ Times int } `json:"_reload"`
		Resources struct{ IDs []string }
	}
	Orchestrating, Succeeded          bool
	MaxInstances, ResourcePerInstance struct {
		Value  int
		Source string
	}
}

type documentedPause struct {
	Value  bool
	Source string
}

// It drives every call of the table, as a console or a script does that was written years ago.
func TestAClientWrittenFromTheOldDocumentation(t *testing.T) {
	b := &backend{}
	s := serve(t, b)
	c := documented{t, s.URL, "operator"}

	var o documentedOrchestration
	require.NoError(t, c.ask("GET", c.of("Thing", ""), nil, &o))
	require.Equal(t, []string{"thing-1"}, o.Instances["3"].Resources.IDs)
	require.Equal(t, []int{1, 5000, 7}, []int{o.Instances["3"].Data.Used, o.Instances["3"].Data.Count, o.Instances["3"].Reload.Times})
	require.True(t, o.Succeeded)
	require.False(t, o.Orchestrating)

	require.NoError(t, c.ask("POST", c.of("Thing", "/orchestrate"), nil, &o))
	require.NoError(t, c.ask("POST", c.of("Thing", "/orchestrate"), map[string]int{"maxInstances": 50, "resourcePerInstance": 400}, &o))
	require.Equal(t, []any{50, "override", 400}, []any{o.MaxInstances.Value, o.MaxInstances.Source, o.ResourcePerInstance.Value})
	out := &refused{}
	for field, value := range map[string]int{"maxInstances": 2, "resourcePerInstance": 5001} {
		require.ErrorAs(t, c.ask("POST", c.of("Thing", "/orchestrate"), map[string]int{field: value}, &o), &out)
		require.GreaterOrEqual(t, out.status, 400)
		require.Contains(t, out.detail, field, "it is refused naming the field")
	}

	var run struct{ RunIn *string }
	require.NoError(t, c.ask("GET", c.of("Thing", "/"+url.PathEscape("thing-1")+"/instances"), nil, &run))
	require.Equal(t, "3", *run.RunIn)
	require.ErrorAs(t, c.ask("GET", c.of("Thing", "/unknown/instances"), nil, &run), &out)
	require.Equal(t, 404, out.status)

	var paused documentedPause
	require.NoError(t, c.ask("POST", c.of("Thing", "/pause"), nil, &paused))
	require.Equal(t, documentedPause{true, "override"}, paused)
	require.NoError(t, c.ask("POST", c.of("Thing", "/resume"), nil, &paused))
	require.Equal(t, documentedPause{false, "ConfigMap"}, paused)

	var back map[string]any
	require.NoError(t, c.ask("POST", c.of("Thing", "/rollback"), nil, &back))
	for _, member := range []string{"planId", "stayed", "returned", "undone", "kept"} {
		require.Contains(t, back, member)
	}
	b.still = true
	require.ErrorAs(t, c.ask("POST", c.of("Thing", "/rollback"), nil, &back), &out)
	require.Equal(t, 409, out.status, "nothing is being moved")

	c.theRest(b)
}

// theRest are the calls that came beside them.
func (c documented) theRest(b *backend) {
	t := c.t
	var any map[string]any
	require.NoError(t, c.ask("GET", c.of("Thing", "/decision"), nil, &any))
	require.NoError(t, c.ask("GET", "/v1/api/snapshot", nil, &any))
	require.NoError(t, c.ask("POST", c.of("Thing", "/reconcile/confirm"), map[string]int{"deletes": 12}, &any))
	require.NoError(t, c.ask("POST", c.of("Thing", "/reconcile/confirm"), map[string]int{"deletes": 12, "set": 1}, &any))
	require.NoError(t, c.ask("POST", c.of("Thing", "/instances/4/reassign"), map[string]bool{"assumeDead": true}, &any))
	require.Equal(t, "iota-dac-4", any["pod"])

	var drain struct {
		Kind, Pod, State, Blocked string
		Ordinal, Left             int
	}
	hook := documented{t, c.server, ""} // it has no token
	require.NoError(t, hook.ask("GET", "/v1/api/drains/iota/iota-dac-4?wait=20s", nil, &drain))
	require.Equal(t, "leaving", drain.State)
	require.Equal(t, []int{4, 7}, []int{drain.Ordinal, drain.Left})
	out := &refused{}
	for pod, status := range map[string]int{"other": 404, "iota-dac-9": 503} {
		require.ErrorAs(t, hook.ask("GET", "/v1/api/drains/iota/"+pod, nil, &drain), &out)
		require.Equal(t, status, out.status)
	}

	b.fails = orders.ErrOutcomeUnknown
	unknown := &uncertain{}
	require.ErrorAs(t, c.ask("POST", c.of("Thing", "/pause"), nil, &any), &unknown)
	require.True(t, strings.HasPrefix(unknown.see, "/v1/api/"))
	require.NoError(t, c.ask("GET", unknown.see, nil, &any), "see is a path to GET")
	b.fails = errors.New("ZooKeeper is away")
	require.ErrorAs(t, c.ask("POST", c.of("Thing", "/pause"), nil, &any), &out)
	require.Equal(t, 503, out.status)
}
