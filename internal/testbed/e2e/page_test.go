package e2e

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// TestThePage has two operators, an English and a Chinese one, use the page in a real browser: by
// `kubectl shardscaler ui`, and by the server's own door with a token. What the page says and does
// is compared with ZooKeeper and the StatefulSet. The flows are in internal/ui/test/running.mjs.
func TestThePage(t *testing.T) {
	const size = 3
	w := start(t, func(_ *servers.Env, o *product.Options) {
		k := &o.Config.Kinds[0]
		o.Sizes[thingSet], k.Init = size, size
		k.Catalogue.Interval = config.Duration(2e9)
		k.SettleSeconds, k.Rebalance.MaxInFlight = 3600, 40 // a spread stands still with these in flight
	})
	ids := product.IDs(600, 1)
	require.NoError(t, w.Platform.Import(t.Context(), thing, ids, 1))
	w.settled(thing, thingSet, size, len(ids))
	token, err := w.OperatorToken(t.Context())
	require.NoError(t, err)
	w.mayPauseThing(product.Operator)
	gone := ids[:120]
	world := httptest.NewServer(w.forThePage(gone))
	t.Cleanup(world.Close)

	address, end := w.of(w.newPlugin(), product.Operator).serves()
	servers.RunBrowser(t, "test/running.mjs", "PAGE="+address, "DOOR=https://"+w.Servers[0].Secure, "TRUSTED="+w.keyHash(), "TOKEN="+token,
		"WORLD="+world.URL, "USER=system:serviceaccount:"+w.Namespace+":"+product.Operator)
	end()

	w.holds(w.settled(thing, thingSet, size, len(ids)-len(gone)), ids[len(gone):])
	w.lostNothing(thing, gone)
	require.Positive(t, w.drainedFirst(thing, thingSet, size), "the set size has ended")
}

// keyHash is that of the key of the serving certificate, as browsers write it.
func (w *world) keyHash() string {
	w.t.Helper()
	pair, err := tls.LoadX509KeyPair(w.Certs.ServerCert, w.Certs.ServerKey)
	require.NoError(w.t, err)
	sum := sha256.Sum256(pair.Leaf.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// heldThings is what ZooKeeper and the StatefulSet hold of the Things.
type heldThings struct {
	Replicas   int            `json:"replicas"`
	Ready      int            `json:"ready"`
	Held       map[int]int    `json:"held"`     // by ordinal
	Capacity   map[int]int    `json:"capacity"` // by ordinal
	Open       []int          `json:"open"`
	Unassigned int            `json:"unassigned"`
	InFlight   int            `json:"inFlight"`
	Owner      map[string]int `json:"owner"` // by id
}

func (w *world) heldThings(ctx context.Context) (h heldThings, err error) {
	size, err := w.Size(ctx, thingSet)
	if err != nil {
		return h, err
	}
	h.Replicas, h.Ready = size.Spec, size.Ready
	a, err := w.Assignment(ctx, thing)
	if err != nil {
		return h, err
	}
	h.Held, h.Capacity = map[int]int{}, map[int]int{}
	for n, in := range a.Instances {
		h.Held[n], h.Capacity[n] = len(in.IDs), in.Count
	}
	h.Open, h.Unassigned, h.InFlight, h.Owner = slices.Clone(a.Open), len(a.Pool), a.InFlight(), a.Owners()
	return h, nil
}

// forThePage serves to the script what the page is compared with, and what a page cannot do: end
// and start the product, let moves be as fast as they can, and delete rows with a message that does
// not say which.
func (w *world) forThePage(gone []string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /held", func(rw http.ResponseWriter, r *http.Request) {
		h, err := w.heldThings(r.Context())
		if err == nil {
			err = json.NewEncoder(rw).Encode(h)
		}
		answer(rw, err)
	})
	for name, do := range map[string]func(context.Context) error{
		"kill":  func(context.Context) error { return w.Servers[0].Kill() },
		"start": func(context.Context) error { return w.Servers[0].Start() },
		"hurry": func(ctx context.Context) error {
			return w.Configure(ctx, func(c *config.Config) { c.Kinds[0].SettleSeconds, c.Kinds[0].Rebalance.MaxInFlight = 0, 0 })
		},
		"remove": func(ctx context.Context) error {
			if err := w.Platform.Remove(ctx, thing, gone...); err != nil {
				return err
			}
			return w.Platform.Publish(ctx, product.DeletedWhere(thing))
		},
	} {
		mux.HandleFunc("POST /"+name, func(rw http.ResponseWriter, r *http.Request) { answer(rw, do(r.Context())) })
	}
	return mux
}

// answer tells an error, if there is one.
func answer(rw http.ResponseWriter, err error) {
	if err != nil {
		http.Error(rw, err.Error(), http.StatusInternalServerError)
	}
}
