package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

var record = flag.Bool("record", false, "write testdata/old.json anew: only the build before the operators' API should")

// old is an answer of the build before the operators' API.
type old struct {
	Method      string          `json:"method"`
	Path        string          `json:"path"`
	Token       string          `json:"token,omitempty"`
	Body        string          `json:"body,omitempty"`
	Backend     string          `json:"backend,omitempty"` // as backends has it
	Status      int             `json:"status"`
	ContentType string          `json:"contentType"`
	Answer      json.RawMessage `json:"answer"`
}

const orchestrations = "/v1/api/orchestrations/"

// oldCalls are the calls of docs/formats.md, with what they are refused with.
var oldCalls = []old{
	{Method: "GET", Path: orchestrations + "Thing"},
	{Method: "GET", Path: orchestrations + "Thing", Backend: "plain"},
	{Method: "GET", Path: orchestrations + "Nothing"},
	{Method: "GET", Path: orchestrations + "Thing/thing-1/instances"},
	{Method: "GET", Path: orchestrations + "Thing/pooled/instances"},
	{Method: "GET", Path: orchestrations + "Thing/unknown/instances"},
	{Method: "GET", Path: orchestrations + "Thing/decision"},
	{Method: "GET", Path: "/v1/api/snapshot"},
	{Method: "GET", Path: "/v1/api/drains/iota/iota-dac-4?wait=1s"},
	{Method: "GET", Path: "/v1/api/drains/iota/other"},
	{Method: "GET", Path: "/v1/api/drains/iota/iota-dac-9"},
	{Method: "GET", Path: "/v1/api/drains/iota/iota-dac-4?wait=1h"},
	{Method: "POST", Path: orchestrations + "Thing/orchestrate", Token: "operator"},
	{Method: "POST", Path: orchestrations + "Thing/orchestrate", Token: "operator", Body: `{"maxInstances":50,"resourcePerInstance":400}`},
	{Method: "POST", Path: orchestrations + "Thing/orchestrate", Token: "operator", Body: `{"maxInstances":2}`},
	{Method: "POST", Path: orchestrations + "Thing/orchestrate", Token: "operator", Body: `{"maxInstances":"5"}`},
	{Method: "POST", Path: orchestrations + "Thing/orchestrate", Token: "operator", Body: `{"maxInstances":5,"maxInstances":6}`},
	{Method: "POST", Path: orchestrations + "Thing/orchestrate"},
	{Method: "POST", Path: orchestrations + "Thing/orchestrate", Token: "guest"},
	{Method: "POST", Path: orchestrations + "Thing/orchestrate", Token: "down"},
	{Method: "POST", Path: orchestrations + "Nothing/orchestrate", Token: "operator"},
	{Method: "POST", Path: orchestrations + "Thing/pause", Token: "operator"},
	{Method: "POST", Path: orchestrations + "Thing/resume", Token: "operator"},
	{Method: "POST", Path: orchestrations + "Thing/pause", Token: "operator", Backend: "away"},
	{Method: "POST", Path: orchestrations + "Thing/pause", Token: "operator", Backend: "unknown"},
	{Method: "POST", Path: orchestrations + "Thing/rollback", Token: "operator"},
	{Method: "POST", Path: orchestrations + "Thing/rollback", Token: "operator", Backend: "still"},
	{Method: "POST", Path: orchestrations + "Thing/reconcile/confirm", Token: "operator", Body: `{"deletes":12}`},
	{Method: "POST", Path: orchestrations + "Thing/reconcile/confirm", Token: "operator", Body: `{"deletes":12,"set":1}`},
	{Method: "POST", Path: orchestrations + "Thing/reconcile/confirm", Token: "operator", Body: `{"deletes":13}`},
	{Method: "POST", Path: orchestrations + "Thing/reconcile/confirm", Token: "operator", Body: `{}`},
	{Method: "POST", Path: orchestrations + "Thing/instances/4/reassign", Token: "operator", Body: `{"assumeDead":true}`},
	{Method: "POST", Path: orchestrations + "Thing/instances/4/reassign", Token: "operator", Body: `{"assumeDead":false}`},
	{Method: "POST", Path: orchestrations + "Thing/instances/3/reassign", Token: "operator", Body: `{"assumeDead":true}`},
	{Method: "POST", Path: orchestrations + "Thing/instances/04/reassign", Token: "operator", Body: `{"assumeDead":true}`},
}

// backends are those that the calls are made of.
func backends(name string) *backend {
	switch name {
	case "plain":
		return &backend{}
	case "still":
		return &backend{still: true}
	case "away":
		return &backend{fails: orders.ErrNotSent}
	case "unknown":
		return &backend{fails: orders.ErrOutcomeUnknown}
	}
	return &backend{saved: func() (s decide.Saved) { fill(reflect.ValueOf(&s).Elem(), 0); return s }, trouble: func(v *KindView) {
		fill(reflect.ValueOf(v.Decision).Elem(), 0)
		fill(reflect.ValueOf(&v.Progress).Elem(), 0)
		fill(reflect.ValueOf(v.Waiting).Elem(), 0)
		for _, in := range v.State.Instances {
			fill(reflect.ValueOf(&in.Status).Elem(), 0)
		}
		v.State.Head.Open = []int{3, 4, 5}
	}}
}

// fill gives everything in v a value, so that its document has every member.
func fill(v reflect.Value, depth int) {
	switch {
	case !v.CanSet() || depth > 12:
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)))
	case v.Type() == reflect.TypeFor[resource.Quantity]():
		v.Set(reflect.ValueOf(resource.MustParse("1Gi")))
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), depth+1)
		}
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth+1)
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), depth+1)
	case v.Kind() == reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, depth+1)
		fill(value, depth+1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case v.Kind() == reflect.String:
		v.SetString("text")
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.CanInt():
		v.SetInt(7)
	case v.CanFloat():
		v.SetFloat(1.5)
	}
}

// answered is the call with its answer.
func (o old) answered(t *testing.T) old {
	t.Helper()
	s := serve(t, backends(o.Backend))
	req, err := http.NewRequest(o.Method, s.URL+o.Path, strings.NewReader(o.Body))
	require.NoError(t, err)
	if o.Token != "" {
		req.Header.Set("Authorization", "Bearer "+o.Token)
	}
	if o.Body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	o.Answer, err = io.ReadAll(resp.Body)
	require.NoError(t, err)
	o.Status, o.ContentType = resp.StatusCode, resp.Header.Get("Content-Type")
	return o
}

func TestOldCallsAnswerAsTheyDid(t *testing.T) {
	const file = "testdata/old.json"
	if *record {
		var all []old
		for _, call := range oldCalls {
			all = append(all, call.answered(t))
		}
		var text bytes.Buffer
		to := json.NewEncoder(&text)
		to.SetEscapeHTML(false)
		to.SetIndent("", " ")
		require.NoError(t, to.Encode(all))
		require.NoError(t, os.WriteFile(file, text.Bytes(), 0o644))
	}
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	var all []old
	require.NoError(t, json.Unmarshal(data, &all))
	require.Len(t, all, len(oldCalls))
	for _, was := range all {
		is := was.answered(t)
		name := fmt.Sprint(was.Method, " ", was.Path, " ", was.Backend, " ", was.Body)
		require.Equal(t, []any{was.Status, was.ContentType}, []any{is.Status, is.ContentType}, "%s: %s", name, is.Answer)
		var before, now any
		require.NoError(t, json.Unmarshal(was.Answer, &before))
		require.NoError(t, json.Unmarshal(is.Answer, &now), name)
		for _, difference := range differences("", before, now, strings.Contains(was.ContentType, "problem")) {
			t.Errorf("%s: %s", name, difference)
		}
	}
}

// differences are what a client of the answer before would miss in the one now: members and
// elements, their types, and their values, but for the words of a problem.
func differences(path string, before, now any, problem bool) (all []string) {
	if reflect.TypeOf(before) != reflect.TypeOf(now) {
		return []string{fmt.Sprintf("%s was %T, is %T", path, before, now)}
	}
	switch before := before.(type) {
	case map[string]any:
		for name, value := range before {
			if is, there := now.(map[string]any)[name]; there {
				all = append(all, differences(path+"."+name, value, is, problem)...)
			} else {
				all = append(all, path+"."+name+" is missing")
			}
		}
	case []any:
		if len(before) != len(now.([]any)) {
			return []string{fmt.Sprintf("%s had %d elements, has %d", path, len(before), len(now.([]any)))}
		}
		for i := range before {
			all = append(all, differences(fmt.Sprintf("%s[%d]", path, i), before[i], now.([]any)[i], problem)...)
		}
	default:
		if before != now && !problem {
			all = append(all, fmt.Sprintf("%s was %v, is %v", path, before, now))
		}
	}
	return all
}

// The comparison finds what a client would miss.
func TestDifferencesAreFound(t *testing.T) {
	before := map[string]any{"a": 1.0, "b": []any{map[string]any{"c": "x"}}, "d": nil}
	for want, now := range map[string]map[string]any{
		"":                          {"a": 1.0, "b": []any{map[string]any{"c": "x", "more": 1.0}}, "d": nil, "more": true},
		".a is missing":             {"b": []any{map[string]any{"c": "x"}}, "d": nil},
		".a was float64, is string": {"a": "1", "b": []any{map[string]any{"c": "x"}}, "d": nil},
		".b[0].c is missing":        {"a": 1.0, "b": []any{map[string]any{}}, "d": nil},
		".b had 1 elements, has 0":  {"a": 1.0, "b": []any{}, "d": nil},
		".a was 1, is 2":            {"a": 2.0, "b": []any{map[string]any{"c": "x"}}, "d": nil},
	} {
		require.Equal(t, want, strings.Join(differences("", before, any(now), false), "; "))
	}
}
