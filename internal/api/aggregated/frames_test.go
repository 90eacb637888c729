package aggregated

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/shardscaler/shardscaler/internal/api/access"
	"github.com/shardscaler/shardscaler/internal/api/packed"
	"github.com/shardscaler/shardscaler/internal/api/stream"
	"github.com/shardscaler/shardscaler/internal/api/stream/delta"
	"github.com/shardscaler/shardscaler/internal/ops"
)

// moving are kinds that change, with the product's own stream of them.
type moving struct {
	mu    sync.Mutex
	kinds []delta.Seen
}

func (m *moving) read(time.Time) []delta.Seen {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.kinds)
}

func (m *moving) set(kinds ...delta.Seen) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kinds = kinds
}

func seen(name, why string, instances ...ops.Instance) delta.Seen {
	return delta.Seen{Kind: ops.Kind{Name: name, Why: why, WorstLag: &ops.WorstLag{Lag: why}}, Instances: instances}
}

// watches serves the group's calls for ann, with a stream of what moves.
func watches(t *testing.T, m *moving) (*httptest.Server, *stream.Hub) {
	hub := stream.New(stream.Config{Read: m.read, Log: slog.New(slog.DiscardHandler)})
	mux := http.NewServeMux()
	api := humago.New(mux, huma.DefaultConfig("test", "1"))
	list := huma.Operation{Method: http.MethodGet, Path: "/v1/api/kinds", OperationID: "list-kinds", Middlewares: huma.Middlewares{hub.Instead(api, nil)}}
	huma.Register(api, list, func(context.Context, *struct{}) (*struct{ Body ops.KindList }, error) {
		out := ops.KindList{}
		for _, s := range m.read(time.Now()) {
			out.Items = append(out.Items, s.Kind)
		}
		return &struct{ Body ops.KindList }{out}, nil
	})
	guard := access.New(access.Config{Namespace: "iota"}, nil, nil, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	handler := Handler(guard, mux)
	infos := &request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info, err := infos.NewRequestInfo(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		handler.ServeHTTP(w, r.WithContext(request.WithUser(request.WithRequestInfo(r.Context(), info), &user.DefaultInfo{Name: "ann"})))
	}))
	t.Cleanup(s.Close)
	t.Cleanup(hub.Close)
	return s, hub
}

// event is a frame of a watch.
type event struct {
	Type   string
	Object json.RawMessage
}

// text is the type, and the name and why of the kind.
func (e event) text(t *testing.T) string {
	var o struct {
		Kind     string
		Metadata struct{ Name, Namespace string }
		Status   ops.Kind
	}
	require.NoError(t, json.Unmarshal(e.Object, &o))
	require.Equal(t, []string{"Kind", "iota", o.Metadata.Name}, []string{o.Kind, o.Metadata.Namespace, o.Status.Name})
	return e.Type + " " + o.Metadata.Name + " " + o.Status.Why
}

// watch asks for a watch; next is its next frame.
func watchAs(t *testing.T, s *httptest.Server, query, accept string) (next func() event, body *bufio.Reader) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+ours+"?watch=true"+query, http.NoBody)
	require.NoError(t, err)
	req.Header.Set("Accept", accept)
	resp, err := s.Client().Do(req)
	require.NoError(t, err)
	t.Cleanup(func() { _ = resp.Body.Close() })
	body = bufio.NewReader(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return nil, body
	}
	if accept != "text/event-stream" {
		require.Equal(t, "application/json", resp.Header.Get("Content-Type"))
	}
	return func() (e event) {
		t.Helper()
		line, err := body.ReadBytes('\n')
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(line, &e), string(line))
		return e
	}, body
}

// A watch begins with all there is, and then has what changes of a kind's document, and no more.
func TestAWatchHasTheFramesOfKubernetes(t *testing.T) {
	m := &moving{kinds: []delta.Seen{seen("Thing", "one"), seen("Rule", "one")}}
	s, hub := watches(t, m)
	next, body := watchAs(t, s, "&allowWatchBookmarks=true&resourceVersion=0", "application/json, */*")
	require.Equal(t, "ADDED Thing one", next().text(t))
	require.Equal(t, "ADDED Rule one", next().text(t))

	m.set(seen("Thing", "one", ops.Instance{Ordinal: 1}), seen("Rule", "two")) // an instance changes no kind
	require.Equal(t, "MODIFIED Rule two", next().text(t))
	m.set(seen("Thing", "one"), seen("New", "three"))
	require.Equal(t, "ADDED New three", next().text(t))
	require.Equal(t, "DELETED Rule two", next().text(t))
	hub.Close()
	_, err := body.ReadByte()
	require.ErrorIs(t, err, io.EOF, "it ends, and clients watch again")
}

func TestAWatchIsATableForWhoAsksForOne(t *testing.T) {
	m := &moving{kinds: []delta.Seen{seen("Thing", "one"), seen("Rule", "one")}}
	s, _ := watches(t, m)
	const kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
	next, _ := watchAs(t, s, "&fieldSelector="+url.QueryEscape("metadata.name=Rule"), kubectl)
	m.set(seen("Thing", "two"), seen("Rule", "two"))
	for _, want := range []string{"one", "two"} {
		e := next()
		var table metav1.Table
		require.NoError(t, json.Unmarshal(e.Object, &table))
		require.Equal(t, "Table", table.Kind)
		require.Len(t, table.Rows, 1)
		require.Len(t, table.ColumnDefinitions, len(columns))
		require.Equal(t, []any{"Rule", want}, []any{table.Rows[0].Cells[0], table.Rows[0].Cells[len(columns)-1]})
	}
}

// What a list has shown is not sent again, unless it has changed since.
func TestAWatchGoesOnWhereAListEnded(t *testing.T) {
	thing := seen("Thing", "one")
	thing.Kind.At, thing.Kind.Sources = time.Unix(1, 0).UTC(), []ops.Source{{Name: "pods", At: time.Unix(1, 5).UTC(), Age: "1s"}}
	later := thing
	later.Kind.At, later.Kind.WorstLag = time.Unix(9, 0).UTC(), &ops.WorstLag{Lag: "9s", Instance: 4}
	all, err := selectionOf(nil)
	require.NoError(t, err)
	state := func(prev *delta.Frame, kinds ...delta.Seen) (*delta.Frame, []byte) {
		f, err := delta.NextFrame(prev, time.Unix(10, 0), kinds)
		require.NoError(t, err)
		var shots []*delta.Shot
		var parts []packed.Part
		for i := range f.Kinds {
			part, err := delta.Change(nil, f.Kinds[i].Version)
			require.NoError(t, err)
			shots, parts = append(shots, &f.Kinds[i]), append(parts, packed.Own(part))
		}
		data, err := delta.Envelope(true, f.At, shots, parts)
		require.NoError(t, err)
		event := []byte("retry: 1\n\nid: 1\nevent: state\ndata: ")
		for _, part := range data {
			event = append(event, part.Plain...)
		}
		return f, append(event, "\n\n"...)
	}
	listed, err := json.Marshal(ops.KindList{Items: []ops.Kind{thing.Kind, seen("Rule", "one").Kind}})
	require.NoError(t, err)
	for _, table := range []bool{false, true} {
		text, err := convert(listed, "iota", all, table)
		require.NoError(t, err)
		var list struct{ Metadata metav1.ListMeta }
		require.NoError(t, json.Unmarshal(text, &list))
		require.Len(t, list.Metadata.ResourceVersion, 16)

		f := &frames{namespace: "iota", selected: all, since: list.Metadata.ResourceVersion}
		first, same := state(nil, later, seen("Rule", "one"))
		out, err := f.take(same)
		require.NoError(t, err)
		require.Empty(t, string(out), "time alone has changed something")
		_, changed := state(first, later, seen("Rule", "two"))
		out, err = f.take(changed)
		require.NoError(t, err)
		var e event
		require.NoError(t, json.Unmarshal(out, &e))
		require.Equal(t, "MODIFIED Rule two", e.text(t))

		f = &frames{namespace: "iota", selected: all, since: list.Metadata.ResourceVersion}
		out, err = f.take(changed)
		require.NoError(t, err)
		require.Equal(t, 2, strings.Count(string(out), `"ADDED"`), "something has changed: all is sent")
	}
}

func TestAWatchSelectsAndEnds(t *testing.T) {
	m := &moving{kinds: []delta.Seen{seen("Thing", "one"), seen("Rule", "one")}}
	s, _ := watches(t, m)
	next, body := watchAs(t, s, "&labelSelector=app%3Dx&timeoutSeconds=2", "application/json")
	require.NotNil(t, next)
	_, err := body.ReadByte()
	require.ErrorIs(t, err, io.EOF, "no kind has labels, and the client wants two seconds")

	for query, want := range map[string]string{
		"&timeoutSeconds=soon":                    "timeoutSeconds",
		"&fieldSelector=metadata.name%21%3DThing": "only metadata.name=<kind> is taken",
		"&fieldSelector=spec.x%3Dy":               "fieldSelector",
		"&fieldSelector=metadata.name%3DUnknown":  "is not configured; there are Thing, Rule",
	} {
		_, body := watchAs(t, s, query, "application/json")
		var status metav1.Status
		require.NoError(t, json.NewDecoder(body).Decode(&status), query)
		require.Contains(t, status.Message, want, query)
	}
	_, body = watchAs(t, s, "&labelSelector=app%3Dx", "text/event-stream")
	line, err := body.ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "labelSelector: a stream of events takes none")

	_, body = watchAs(t, s, "", "text/event-stream")
	line, err = body.ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "retry: ", "who wants events gets them")
}

// Who may see the kinds no longer is told so.
func TestAWatchThatIsRefusedSaysSo(t *testing.T) {
	f := &frames{namespace: "iota"}
	out, err := f.take([]byte("event: bye\ndata: {\"reason\":\"refused\",\"text\":\"you may not\"}\n"))
	require.NoError(t, err)
	require.Empty(t, out)
	out, err = f.take([]byte("\n"))
	require.NoError(t, err)
	var e event
	require.NoError(t, json.Unmarshal(out, &e))
	require.Equal(t, "ERROR", e.Type)
	require.Contains(t, string(e.Object), `"message":"you may not","reason":"Forbidden"`)
	out, err = f.take([]byte("event: bye\ndata: {\"reason\":\"shutdown\",\"text\":\"this replica ends\"}\n\n: nothing\n\n"))
	require.NoError(t, err)
	require.Empty(t, out)
}
