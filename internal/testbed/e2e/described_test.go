package e2e

import (
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/testbed/openapitest"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
)

// answersAreDescribed asks every replica for all that can be read, and holds each answer to the
// OpenAPI document that this replica serves. id is a resource of the first kind.
func (w *world) answersAreDescribed(id string, kinds ...string) {
	w.t.Helper()
	paths := []string{"/v1/api/kinds", "/v1/api/snapshot", "/v1/api/kinds/" + kinds[0] + "/resource?id=" + url.QueryEscape(id)}
	for _, kind := range kinds {
		paths = append(paths, "/v1/api/orchestrations/"+kind, "/v1/api/orchestrations/"+kind+"/decision")
		for _, below := range []string{"", "/instances?sort=-count", "/instances/0", "/resources?limit=500", "/decision", "/config"} {
			paths = append(paths, "/v1/api/kinds/"+kind+below)
		}
	}
	for _, v := range w.Servers {
		text, err := v.Text(w.t.Context(), "/v1/api/openapi.json")
		require.NoError(w.t, err)
		doc, err := openapitest.Load([]byte(text))
		require.NoError(w.t, err)
		client := &http.Client{Transport: doc.Transport(&http.Transport{DisableKeepAlives: true}, func(err error) { w.t.Errorf("%s: %v", v.Name, err) })}
		for _, path := range paths {
			resp, err := client.Get("http://" + v.Addr + path)
			require.NoError(w.t, err)
			body, err := io.ReadAll(resp.Body)
			require.NoError(w.t, err)
			require.NoError(w.t, resp.Body.Close())
			require.Equal(w.t, http.StatusOK, resp.StatusCode, "%s of %s: %.500s", path, v.Name, body)
		}
		require.Len(w.t, doc.Seen(), 11, "one of each operation")
		w.showsTheSame(v, kinds[0], id)
	}
}

// showsTheSame says that a replica shows of a settled kind what ZooKeeper holds of it.
func (w *world) showsTheSame(v *product.Server, kind, id string) {
	w.t.Helper()
	var k ops.Kind
	require.NoError(w.t, v.REST(w.t.Context(), http.MethodGet, "/v1/api/kinds/"+kind, "", nil, &k))
	var list ops.InstanceList
	require.NoError(w.t, v.REST(w.t.Context(), http.MethodGet, "/v1/api/kinds/"+kind+"/instances?limit=500", "", nil, &list))
	owned := 0
	for _, i := range list.Items {
		owned += i.List.Count
		require.Equal(w.t, string("Healthy"), i.Health.Condition, "%s: %+v", v.Name, i)
		require.NotEmpty(w.t, i.Health.By, "%s says what the health of %s rests on", v.Name, i.Pod)
	}
	require.Equal(w.t, k.Resources.Assigned, owned)
	var r ops.Resource
	require.NoError(w.t, v.REST(w.t.Context(), http.MethodGet, "/v1/api/kinds/"+kind+"/resource?id="+url.QueryEscape(id), "", nil, &r))
	require.Equal(w.t, "list", r.Place)
	require.True(w.t, strings.HasPrefix(r.Pod, list.Items[0].StatefulSet+"-"), r.Pod)
}
