package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/testbed/httpcall"
	"github.com/shardscaler/shardscaler/internal/testbed/openapitest"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
)

// answersAreDescribed asks every replica for all that can be read of settled kinds, and holds each
// answer to the OpenAPI document that this replica serves. id is a resource of the first kind.
func (w *world) answersAreDescribed(id string, kinds ...string) {
	w.t.Helper()
	paths := []string{"/v1/api/kinds", "/v1/api/snapshot", "/v1/api/kinds/" + kinds[0] + "/resource?id=" + url.QueryEscape(id)}
	for _, kind := range kinds {
		paths = append(paths, "/v1/api/orchestrations/"+kind, "/v1/api/orchestrations/"+kind+"/decision")
		for _, below := range []string{"", "/instances?sort=-count", "/instances/0", "/resources?limit=500", "/decision", "/config"} {
			paths = append(paths, "/v1/api/kinds/"+kind+below)
		}
	}
	token, err := w.OperatorToken(w.t.Context())
	require.NoError(w.t, err)
	for _, v := range w.Servers {
		client, err := v.TLSClient(w.t.Context(), "")
		require.NoError(w.t, err)
		text, err := httpcall.Do(w.t.Context(), client, http.MethodGet, "https://"+v.Secure+"/v1/api/openapi.json", token, nil)
		require.NoError(w.t, err)
		doc, err := openapitest.Load(text)
		require.NoError(w.t, err)
		client.Transport = doc.Transport(client.Transport, func(err error) { w.t.Errorf("%s: %v", v.Name, err) })
		for _, path := range paths {
			_, err := httpcall.Do(w.t.Context(), client, http.MethodGet, "https://"+v.Secure+path, token, nil)
			require.NoError(w.t, err, "%s of %s", path, v.Name)
		}
		require.Len(w.t, doc.Seen(), 11, "one of each operation: %v", doc.Seen())
		w.until(v.Name+" shows what ZooKeeper holds", func(ctx context.Context) error { return showsOne(ctx, v, token, kinds[0], id) })
	}
}

// showsOne says how what a replica shows of a settled kind contradicts itself.
func showsOne(ctx context.Context, v *product.Server, token, kind, id string) error {
	var k ops.Kind
	var list ops.InstanceList
	var r ops.Resource
	for path, into := range map[string]any{"": &k, "/instances?limit=500": &list, "/resource?id=" + url.QueryEscape(id): &r} {
		if err := v.REST(ctx, http.MethodGet, "/v1/api/kinds/"+kind+path, token, nil, into); err != nil {
			return err
		}
	}
	owned := 0
	for _, i := range list.Items {
		owned += i.List.Count
		if i.Health.Condition != "Healthy" || i.Health.By == "" {
			return fmt.Errorf("instance %d: %+v", i.Ordinal, i.Health)
		}
	}
	if k.Resources == nil || k.Resources.Assigned != owned {
		return fmt.Errorf("assigned %+v, the lists have %d", k.Resources, owned)
	}
	if r.Place != "list" || r.Instance == nil || r.Pod == "" {
		return fmt.Errorf("resource %s: %+v", id, r)
	}
	return nil
}
