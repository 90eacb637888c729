// Package page measures the page that operators see, in a real browser, against a server with a fleet
// that changes all the time. docs/bars.md says how.
package page

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/api"
	"github.com/shardscaler/shardscaler/internal/api/kinds"
	"github.com/shardscaler/shardscaler/internal/api/schemas"
	"github.com/shardscaler/shardscaler/internal/api/stream"
	"github.com/shardscaler/shardscaler/internal/api/stream/delta"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/ops/history"
	"github.com/shardscaler/shardscaler/internal/ops/opstest"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/internal/ui"
	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

const (
	instances = 2000
	resources = 500_000
	changed   = 200 // instances that differ each second: heartbeat, use and list
)

// fleet is what the page is shown. It changes once a second.
type fleet struct {
	kinds.Backend // the page, as it is measured, asks for nothing else

	ids       []string // of the resources
	inventory *inventory.Inventory

	mu    sync.Mutex
	view  *ops.View
	moved int64 // the second of the last change
}

func newFleet(b *testing.B) *fleet {
	b.Helper()
	v, err := opstest.View(instances)
	require.NoError(b, err)
	v.Config.Max, v.Base.Max = instances, instances
	v.Config.TargetPerInstance, v.Config.Capacity = resources/instances, 2*resources/instances
	all := v.Snapshot.Instances
	for i := range all {
		all[i].List.Count = resources / instances
	}
	v.Snapshot.Assigned, v.Snapshot.Catalogue = resources, resources
	opstest.Decide(v)
	f := &fleet{view: v, ids: product.IDs(resources, 12), inventory: inventory.New(time.Now(), inTurn)}
	v.State.Instances = map[int]*protocol.Instance{}
	for n := range instances {
		const each = resources / instances
		v.State.Instances[n] = &protocol.Instance{Ordinal: n, IDs: protocol.NewIDs(f.ids[n*each : (n+1)*each])}
	}
	f.inventory.Follow(v.State)
	f.inventory.Indexed() // as a replica does when it has read its first State
	f.inventory.Index.CatchUp()
	return f
}

func inTurn(n int, work func(i int)) {
	for i := range n {
		work(i)
	}
}

func (f *fleet) Kinds() []string { return []string{"Thing"} }

// View implements kinds.Reads.
func (f *fleet) View(kind string) (*ops.View, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	v := *f.view
	v.Now = now
	if second := now.Unix(); second != f.moved {
		f.moved = second
		v.Snapshot.Instances = slices.Clone(v.Snapshot.Instances)
		for k := range changed {
			i := &v.Snapshot.Instances[(int(second)*changed+k)%instances]
			list, usage := *i.List, *i.Usage
			list.Count += 1 - 2*(k%2)
			list.Times++
			usage.At, usage.CPU, usage.Memory = now, usage.CPU+int64(k%7)-3, usage.Memory+int64(k%5-2)<<16
			i.List, i.Usage, i.LastBeat = &list, &usage, &now
		}
		f.view = &v
	}
	return &v, kind == "Thing"
}

// Resource implements kinds.Reads, by the product's index.
func (f *fleet) Resource(kind, id string) (ops.Resource, bool) {
	v, ok := f.View(kind)
	if !ok || !f.inventory.Indexed() {
		return ops.Resource{}, false
	}
	at, ok := f.inventory.Index.Find(id)
	return ops.ResourceOf(v, id, int(at)), ok
}

// History implements kinds.Histories.
func (f *fleet) History(string, history.Query) ops.EntryList {
	return ops.EntryList{Since: time.Now().Add(-24 * time.Hour), Items: []ops.Entry{}}
}

// counted counts what is sent of the page's files, each as often as it is read.
type counted struct {
	http.ResponseWriter
	bytes *atomic.Int64
}

func (c counted) Write(p []byte) (int, error) {
	c.bytes.Add(int64(len(p)))
	return c.ResponseWriter.Write(p)
}

// serve returns the address of the page, of a server that serves what the product does.
func serve(b *testing.B) string {
	b.Helper()
	f := newFleet(b)
	files, err := ui.Handler(ui.Live)
	require.NoError(b, err)
	mux := http.NewServeMux()
	var sent atomic.Int64
	mux.HandleFunc("/ui/", func(w http.ResponseWriter, r *http.Request) {
		http.StripPrefix("/ui", files).ServeHTTP(counted{w, &sent}, r)
	})
	mux.HandleFunc("GET /v1/api/session", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"user":"ann","groups":[]}`))
	})
	mux.HandleFunc("GET /ids", func(w http.ResponseWriter, _ *http.Request) {
		picked := make([]string, 0, 40)
		for i := range cap(picked) {
			picked = append(picked, f.ids[i*len(f.ids)/cap(picked)])
		}
		_ = json.NewEncoder(w).Encode(picked)
	})
	mux.HandleFunc("GET /sent", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(sent.Load()) })
	config := huma.DefaultConfig("bars", "1")
	config.Components.Schemas = schemas.New()
	config.CreateHooks = nil
	log := slog.New(slog.DiscardHandler)
	kinds.Register(kinds.Config{
		API: humago.New(mux, config), Backend: f, Log: log,
		Streams: stream.New(stream.Config{Log: log, Read: func(time.Time) []delta.Seen {
			v, _ := f.View("Thing")
			return []delta.Seen{{Kind: ops.KindOf(v), Instances: ops.InstancesOf(v)}}
		}}),
		User: func(context.Context) string { return "ann" }, Audit: func(context.Context, kinds.Audited) {},
	})
	packed, err := api.Packed()
	require.NoError(b, err)
	server := httptest.NewUnstartedServer(packed(mux))
	server.Config.ConnContext = stream.ConnContext
	server.Start()
	b.Cleanup(server.Close)
	return server.URL
}

// BenchmarkPage has page.mjs use the page, which prints what it measured as one line of JSON.
func BenchmarkPage(b *testing.B) {
	browser, env := servers.Browser(b)
	packages := servers.NodePackages(b, "internal/ui")
	dir := b.TempDir()
	script, err := os.ReadFile("page.mjs")
	require.NoError(b, err)
	require.NoError(b, os.WriteFile(filepath.Join(dir, "page.mjs"), script, 0o600))
	require.NoError(b, os.Symlink(filepath.Join(packages, "node_modules"), filepath.Join(dir, "node_modules")))
	address := serve(b)
	var got map[string]float64
	for b.Loop() {
		cmd := exec.CommandContext(b.Context(), "node", "page.mjs")
		cmd.Dir, cmd.Stderr = dir, os.Stderr
		cmd.Env = append(append(os.Environ(), env...), "BROWSER="+browser, "SERVER="+address)
		out, err := cmd.Output()
		require.NoError(b, err)
		require.NoError(b, json.Unmarshal(out, &got), "%s", out)
	}
	figure := func(name string) float64 {
		require.Contains(b, got, name)
		return got[name]
	}
	b.ReportMetric(figure("gzip_kB"), "gzip_kB")
	b.ReportMetric(figure("usable_at_quarter_speed_s"), "usable_at_quarter_speed_s")
	b.ReportMetric(figure("filter_longest_ms"), "filter_longest_ms")
	b.ReportMetric(figure("updates_frames_per_s"), "updates_frames_per_s")
	b.ReportMetric(figure("update_longest_task_ms"), "update_longest_task_ms")
	b.ReportMetric(figure("find_longest_ms"), "find_longest_ms")
	b.ReportMetric(figure("update_kB"), "update_kB")
	b.ReportMetric(figure("state_kB"), "state_kB")
}
