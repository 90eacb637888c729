package access

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestRightOfACall(t *testing.T) {
	for call, want := range map[string]string{
		"GET /v1/api/kinds":                                                   "list kinds.ops.shardscaler.io in namespace iota",
		"GET /v1/api/kinds?watch=true":                                        "watch kinds.ops.shardscaler.io in namespace iota",
		"GET /v1/api/kinds?watch=1&limit=x":                                   "watch kinds.ops.shardscaler.io in namespace iota",
		"GET /v1/api/kinds?watch=true&fieldSelector=metadata.name%3DThing":    `watch kinds.ops.shardscaler.io "Thing" in namespace iota`,
		"GET /v1/api/kinds?watch=true&fieldSelector=metadata.name%21%3DThing": "watch kinds.ops.shardscaler.io in namespace iota",
		"GET /v1/api/kinds?watch=true&fieldSelector=%3D%3D%3D":                "watch kinds.ops.shardscaler.io in namespace iota",
		"GET /v1/api/kinds?watch=false&fieldSelector=metadata.name%3DThing":   "list kinds.ops.shardscaler.io in namespace iota",
		"GET /v1/api/kinds?fieldSelector=metadata.name%3DThing":               "list kinds.ops.shardscaler.io in namespace iota",
		"GET /v1/api/kinds/Thing":                                             `get kinds.ops.shardscaler.io "Thing" in namespace iota`,
		"GET /v1/api/kinds/Thing?watch=true":                                  `get kinds.ops.shardscaler.io "Thing" in namespace iota`,
		"HEAD /v1/api/kinds/Thing":                                            `get kinds.ops.shardscaler.io "Thing" in namespace iota`,
		"GET /v1/api/kinds/Thing/instances/3":                                 `get kinds/instances.ops.shardscaler.io "Thing" in namespace iota`,
		"GET /v1/api/kinds/Thing/resource?id=a%2Fpause":                       `get kinds/resource.ops.shardscaler.io "Thing" in namespace iota`,
		"POST /v1/api/kinds/Thing/pause":                                      `create kinds/pause.ops.shardscaler.io "Thing" in namespace iota`,
		"DELETE /v1/api/kinds/Thing/pause":                                    `delete kinds/pause.ops.shardscaler.io "Thing" in namespace iota`,
		"DELETE /v1/api/kinds/Thing/drains/3":                                 `delete kinds/drains.ops.shardscaler.io "Thing" in namespace iota`,
		"PUT /v1/api/kinds/Thing/size":                                        `update kinds/size.ops.shardscaler.io "Thing" in namespace iota`,
		"PATCH /v1/api/kinds/Thing/size":                                      `patch kinds/size.ops.shardscaler.io "Thing" in namespace iota`,
		"DELETE /v1/api/kinds":                                                "deletecollection kinds.ops.shardscaler.io in namespace iota",
		"GET /v1/api/nodes/n1":                                                `get nodes.ops.shardscaler.io "n1" in namespace iota`,
		"GET /v1/api/kinds/Thing%2Fpause":                                     "",
		"GET /v1/api/kinds/Th%69ng":                                           "",
		"GET /v1/api/kinds/":                                                  "",
		"GET /v1/api//kinds":                                                  "",
		"GET /v1/api/kinds/../nodes":                                          "",
		"GET /v1/api/status":                                                  "",
		"GET /v1/api/secrets/x":                                               "",
		"GET /v1/kinds":                                                       "",
		"OPTIONS /v1/api/kinds":                                               "",
	} {
		method, target, _ := strings.Cut(call, " ")
		at, err := url.Parse(target)
		require.NoError(t, err)
		right, err := RightOf(method, at, "iota")
		if want == "" {
			require.Error(t, err, call)
			continue
		}
		require.NoError(t, err, call)
		require.Equal(t, want, right.String(), call)
	}
}

// Whatever the path: a right is of the very kind and subresource that a mux would route to.
func TestARightIsOfWhatIsCalled(t *testing.T) {
	var kind, sub string
	mux := http.NewServeMux()
	seen := func(_ http.ResponseWriter, r *http.Request) { kind, sub = r.PathValue("kind"), r.PathValue("sub") }
	mux.HandleFunc("POST /v1/api/kinds/{kind}/{sub}", seen)
	mux.HandleFunc("POST /v1/api/kinds/{kind}/{sub}/{more...}", seen)
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.SampledFrom([]string{"kinds", "Thing", "pause", "..", ".", "", "%2f", "%2F..", "watch", "proxy", "namespaces", "a%20b", "é", "status", "%2e%2e"}), 1, 6).Draw(t, "parts")
		at, err := url.Parse("/v1/api/" + strings.Join(parts, "/"))
		if err != nil {
			return
		}
		right, err := RightOf(http.MethodPost, at, "iota")
		if err != nil {
			return
		}
		kind, sub = "", ""
		mux.ServeHTTP(discard{}, &http.Request{Method: http.MethodPost, URL: at, Host: "x"})
		if kind == "" {
			return // nothing is called
		}
		if right.Resource != "kinds" || right.Name != kind || right.Subresource != sub || right.Verb != "create" {
			t.Fatalf("%s asks for %v and calls %s/%s", at, right, kind, sub)
		}
	})
}

type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}
