package api

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/ops"
)

// A value that is refused is named with its field and its bound.
func TestBadQueriesNameFieldValueAndBound(t *testing.T) {
	s := serveAll(t, &backend{}, &operators{})
	for query, want := range map[string][]string{
		"instances?limit=0":         {"query.limit", "0", "1"},
		"instances?limit=501":       {"query.limit", "501", "500"},
		"instances?limit=many":      {"query.limit", "many"},
		"instances?sort=size":       {"query.sort", "size", "-memory"},
		"instances?state=open,dead": {"query.state[1]", "dead", "draining"},
		"instances?health=Ill":      {"query.health[0]", "Ill", "CrashLooping"},
		"instances?continue=x":      {"query.continue", "x", "the page before"},
		"instances/03":              {"path.ordinal", "03"},
		"resource":                  {"query.id", "required"},
		"resource?id=":              {"query.id", "missing"},
		"resources?limit=501":       {"query.limit", "501", "500"},
		"resources?instance=-1":     {"query.instance", "-1"},
		"resources?continue=bm8":    {"query.continue", "bm8", "the page before"},
	} {
		status, body := call(t, s, http.MethodGet, "/v1/api/kinds/Thing/"+query, "", "")
		require.Equal(t, 422, status, "%s: %s", query, body)
		for _, word := range want {
			require.Contains(t, body, word, query)
		}
	}
}

func TestInstancesAreFilteredSortedAndPaged(t *testing.T) {
	s := serveAll(t, &backend{}, &operators{change: func(v *ops.View) {
		v.Snapshot.Instances[1].Usage.CPU = 900
		v.Snapshot.Open = []int{0, 1}
	}})
	list := func(query string) (ordinals []int, total int, next string) {
		status, body := call(t, s, http.MethodGet, "/v1/api/kinds/Thing/instances?"+query, "", "")
		require.Equal(t, 200, status, body)
		var l ops.InstanceList
		require.NoError(t, json.Unmarshal([]byte(body), &l))
		require.Equal(t, 3, l.All)
		for _, i := range l.Items {
			ordinals = append(ordinals, i.Ordinal)
		}
		return ordinals, l.Total, l.Continue
	}
	got, total, next := list("sort=-cpu&limit=2")
	require.Equal(t, []int{1, 0}, got)
	require.Equal(t, 3, total)
	got, _, next = list("sort=-cpu&limit=2&continue=" + next)
	require.Equal(t, []int{2}, got)
	require.Empty(t, next)
	got, total, _ = list("state=open&node=node-1")
	require.Equal(t, []int{1}, got)
	require.Equal(t, 1, total)
	got, _, _ = list("health=Stale")
	require.Empty(t, got)
}

// What is not known is an error that says so, never an empty list.
func TestWhatWasNotReadIsNoAnswer(t *testing.T) {
	s := serveAll(t, &backend{}, &operators{change: func(v *ops.View) { v.State, v.Decision, v.Undecided = nil, nil, "the leader hangs" }})
	for path, want := range map[string]string{
		"resource?id=a": "ZooKeeper has not been read yet", "resources": "ZooKeeper has not been read yet", "decision": "the leader hangs",
	} {
		status, body := call(t, s, http.MethodGet, "/v1/api/kinds/Thing/"+path, "", "")
		require.Equal(t, 503, status, path)
		require.Contains(t, body, want)
	}
	status, body := call(t, s, http.MethodGet, "/v1/api/kinds/Thing", "", "")
	require.Equal(t, 200, status)
	require.Contains(t, body, `"blind":"the leader hangs"`)
}

func TestResourcesAreFoundWhateverTheirID(t *testing.T) {
	s := serveAll(t, &backend{}, &operators{})
	for _, id := range []string{"/", "a/b", "instances", "größe"} {
		status, body := call(t, s, http.MethodGet, "/v1/api/kinds/Thing/resource?id="+url.QueryEscape(id), "", "")
		require.Equal(t, 200, status, id)
		var r ops.Resource
		require.NoError(t, json.Unmarshal([]byte(body), &r))
		require.Equal(t, []any{id, 2, "iota-dac-2"}, []any{r.ID, *r.Instance, r.Pod})
	}
	status, body := call(t, s, http.MethodGet, "/v1/api/kinds/Thing/resources?instance=2&limit=2", "", "")
	require.Equal(t, 200, status)
	var l ops.ResourceList
	require.NoError(t, json.Unmarshal([]byte(body), &l))
	require.Equal(t, []ops.ResourceAt{{ID: "/", Instance: 2}, {ID: "a/b", Instance: 2}}, l.Items)
	require.NotEmpty(t, l.Continue)
}
