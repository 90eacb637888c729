package aggregated

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/shardscaler/shardscaler/internal/api/access"
)

const kindDocument = `{"name":"Thing","groups":[{"statefulSet":"iota-dac","namespace":"iota","replicas":3,"max":9}],"resources":{"total":7},"worstLag":{"instance":1,"lag":"2s"},"alarms":[{}],"paused":{"value":true},"why":"count asks for 3"}`

// operations answers as the ones below access.Prefix would, and notes what was called by whom.
func operations(called *string) http.Handler {
	mux := http.NewServeMux()
	answer := func(status int, media, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			*called = r.Method + " " + r.URL.RequestURI() + " by " + access.UserFrom(r.Context()).Name + r.Header.Get("Authorization")
			w.Header().Set("Content-Type", media)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	mux.HandleFunc("GET /v1/api/kinds", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("watch") == "true" {
			answer(200, "text/event-stream", "data: {}\n\n")(w, r)
			return
		}
		answer(200, "application/json", `{"items":[`+kindDocument+`],"continue":"next"}`)(w, r)
	})
	mux.HandleFunc("GET /v1/api/nodes/{node}", answer(200, "application/json", `{"node":"n1","items":[{"ordinal":3}]}`))
	mux.HandleFunc("GET /v1/api/kinds/{kind}", answer(200, "application/json", kindDocument))
	mux.HandleFunc("GET /v1/api/kinds/{kind}/decision", answer(200, "application/json", `{"verb":"keep"}`))
	mux.HandleFunc("POST /v1/api/kinds/{kind}/pause", answer(409, "application/problem+json",
		`{"title":"Conflict","status":409,"detail":"changed since","errors":[{"message":"too large","location":"body.for"}]}`))
	return mux
}

// call asks as ann, whom the library has let in with what the path says.
func call(t *testing.T, method, path, accept string) (status int, media, body, called string) {
	t.Helper()
	guard := access.New(access.Config{Namespace: "iota"}, nil, nil, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	r := httptest.NewRequest(method, path, nil)
	r.Header.Set("Accept", accept)
	r.Header.Set("Authorization", "Bearer of-the-library")
	info, err := (&request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}).NewRequestInfo(r)
	require.NoError(t, err)
	r = r.WithContext(request.WithUser(request.WithRequestInfo(r.Context(), info), &user.DefaultInfo{Name: "ann"}))
	w := httptest.NewRecorder()
	Handler(guard, operations(&called)).ServeHTTP(w, r)
	return w.Code, w.Header().Get("Content-Type"), w.Body.String(), called
}

const ours = "/apis/ops.shardscaler.io/v1/namespaces/iota/kinds"

func TestKindsAreObjects(t *testing.T) {
	status, _, body, called := call(t, "GET", ours+"/Thing", "application/json")
	require.Equal(t, 200, status)
	require.Equal(t, "GET /v1/api/kinds/Thing by ann", called, "what proved who it is goes no further")
	require.JSONEq(t, `{"apiVersion":"ops.shardscaler.io/v1","kind":"Kind","metadata":{"name":"Thing","namespace":"iota","creationTimestamp":null},"status":`+kindDocument+`}`, body)

	for _, path := range []string{ours, "/apis/ops.shardscaler.io/v1/kinds"} {
		status, _, body, _ = call(t, "GET", path+"?limit=500", "application/json")
		require.Equal(t, 200, status)
		var list struct{ Metadata metav1.ListMeta }
		require.NoError(t, json.Unmarshal([]byte(body), &list))
		require.JSONEq(t, `{"apiVersion":"ops.shardscaler.io/v1","kind":"KindList","metadata":{"continue":"next","resourceVersion":"`+list.Metadata.ResourceVersion+`"},"items":[{"apiVersion":"ops.shardscaler.io/v1","kind":"Kind",
			"metadata":{"name":"Thing","namespace":"iota","creationTimestamp":null},"status":`+kindDocument+`}]}`, body)
	}
}

func TestAListHasTheKindsThatAreSelected(t *testing.T) {
	for query, rows := range map[string]int{
		"":                                    1,
		"fieldSelector":                       1, // empty
		"fieldSelector=metadata.name%3DThing": 1,
		"fieldSelector=metadata.name%3DThing&watch=false":               1,
		"fieldSelector=metadata.name%3DRule":                            0, // allowed was this kind alone, and the list has no other
		"fieldSelector=metadata.name%21%3DThing":                        0,
		"fieldSelector=metadata.namespace%3Diota":                       1,
		"fieldSelector=metadata.name%3DRule%2Cmetadata.name%21%3DThing": 0,
		"labelSelector=app%3Dx":                                         0,
		"labelSelector=%21app":                                          1,
	} {
		for _, all := range []string{ours, "/apis/ops.shardscaler.io/v1/kinds"} {
			status, _, body, _ := call(t, "GET", all+"?"+query, "application/json;as=Table;v=v1;g=meta.k8s.io")
			require.Equal(t, 200, status, query)
			var table metav1.Table
			require.NoError(t, json.Unmarshal([]byte(body), &table))
			require.Len(t, table.Rows, rows, query)
		}
	}
	for _, query := range []string{"fieldSelector=spec.x%3Dy", "fieldSelector=%21%21", "labelSelector=%3D%3D"} {
		status, _, body, called := call(t, "GET", ours+"?"+query, "application/json")
		require.Equal(t, 400, status, query)
		require.Contains(t, body, "Selector: ", query)
		require.Empty(t, called)
	}
}

func TestANodeIsAnObject(t *testing.T) {
	for _, accept := range []string{"application/json", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"} {
		status, _, body, _ := call(t, "GET", "/apis/ops.shardscaler.io/v1/namespaces/iota/nodes/n1", accept)
		require.Equal(t, 200, status)
		require.JSONEq(t, `{"apiVersion":"ops.shardscaler.io/v1","kind":"NodeInstances","metadata":{"name":"n1","namespace":"iota","creationTimestamp":null},
			"status":{"node":"n1","items":[{"ordinal":3}]}}`, body)
	}
}

func TestKindsAreATable(t *testing.T) {
	_, _, body, _ := call(t, "GET", ours, "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
	var table metav1.Table
	require.NoError(t, json.Unmarshal([]byte(body), &table))
	require.Equal(t, "Table", table.Kind)
	require.Len(t, table.Rows, 1)
	require.Len(t, table.Rows[0].Cells, len(table.ColumnDefinitions))
	require.Equal(t, []any{"Thing", "3", "<unknown>", "<unknown>", float64(7), float64(0), float64(0), "2s", float64(1), "iota-dac", float64(9), "", true, "count asks for 3"}, table.Rows[0].Cells)
	require.JSONEq(t, `{"apiVersion":"meta.k8s.io/v1","kind":"PartialObjectMetadata","metadata":{"name":"Thing","namespace":"iota","creationTimestamp":null}}`, string(table.Rows[0].Object.Raw))
}

func TestWhatIsNoKindGoesOnAsItIs(t *testing.T) {
	_, _, body, _ := call(t, "GET", ours+"/Thing/decision", "application/json")
	require.JSONEq(t, `{"verb":"keep"}`, body)
	_, media, body, called := call(t, "GET", ours+"?watch=true", "text/event-stream")
	require.Equal(t, "text/event-stream", media)
	require.Equal(t, "data: {}\n\n", body)
	require.Equal(t, "GET /v1/api/kinds?watch=true by ann", called)
	_, _, body, called = call(t, "GET", ours+"?fieldSelector=metadata.name%3DThing&watch=true", "text/event-stream")
	require.Equal(t, "data: {}\n\n", body)
	require.Equal(t, "GET /v1/api/kinds?fieldSelector=metadata.name%3DThing&watch=true by ann", called, "allowed was this kind, and the stream is of no other")
}

func TestErrorsAreInTheCallersForm(t *testing.T) {
	status, media, body, _ := call(t, "POST", ours+"/Thing/pause", "application/json")
	require.Equal(t, 409, status)
	require.Equal(t, "application/json", media)
	var said metav1.Status
	require.NoError(t, json.Unmarshal([]byte(body), &said))
	require.Equal(t, "changed since; body.for: too large", said.Message)
	require.Equal(t, metav1.StatusReasonConflict, said.Reason)
	require.EqualValues(t, 409, said.Code)

	_, media, body, _ = call(t, "POST", ours+"/Thing/pause", "application/json, application/problem+json")
	require.Equal(t, "application/problem+json", media)
	require.Contains(t, body, `"detail":"changed since"`)
}

// What the library has allowed is what is called, or nothing is.
func TestOnlyWhatWasAllowedIsCalled(t *testing.T) {
	for _, path := range []string{
		"/apis/ops.shardscaler.io/v1/namespaces/elsewhere/kinds", "/apis/ops.shardscaler.io/v1/kinds/Thing", "/apis/ops.shardscaler.io/v2/namespaces/iota/kinds",
		"/apis/ops.shardscaler.io/v1/namespaces/iota/secrets", ours + "/Thing%2Fdecision", ours + "//decision", ours + "/../kinds/Thing",
		"/apis/ops.shardscaler.io/v1/watch/namespaces/iota/kinds",
		"/apis/ops.shardscaler.io/v1/namespaces/iota", "/apis/ops.shardscaler.io/v1/nodes/n1",
	} {
		status, _, body, called := call(t, "GET", path, "application/json")
		require.Equal(t, 404, status, path)
		require.Regexp(t, "is no call of this API|is of namespace iota, not", body, path)
		require.Empty(t, called, path)
	}
}
