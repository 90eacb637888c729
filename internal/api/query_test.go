package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/api/access"
)

// through calls as the API server does for a user that it has let in.
func through(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	mux, guard := calls(&backend{}, &operators{})
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	guard.Aggregated(w, r, access.User{Name: "ann"}, access.Right{}, mux)
	return w.Code, w.Body.String()
}

func TestAQueryHasNoParameterThatTheCallDoesNotHave(t *testing.T) {
	s := serveAll(t, &backend{}, &operators{})
	for call1, want := range map[string][]string{
		"GET kinds/Thing/instances?stat=open":              {`"query.stat"`, "there are state, health, node, name, sort, limit, continue"},
		"GET kinds/Thing/instances?State=open":             {`"query.State"`, "is no parameter of this call"},
		"GET kinds/Thing/instances?state=open&state=lost":  {`"query.state"`, "comes 2 times", "separated by commas"},
		"GET kinds/Thing/instances?node=a&nodes=b&sort&x=": {`"query.nodes"`, `"query.x"`},
		"DELETE kinds/Thing/pins?resource=a&resource=b":    {`"query.resource"`, "comes 2 times", "a, b"},
		"DELETE kinds/Thing/pins?resource=a&force=true":    {`"query.force"`, "there are resource"},
		"POST kinds/Thing/orchestrate?dryRun=All":          {`"query.dryRun"`, "which has none"},
		"GET kinds?kinds=Thing":                            {`"query.kinds"`, "there are watch, kind, fieldSelector"},
		"GET kinds?watch=true&kid=Thing":                   {`"query.kid"`, "there are watch, kind, fieldSelector"},
		"GET kinds?watch=false&watch=true":                 {`"query.watch"`, "comes 2 times"},
		"GET nodes/node-1?pretty=true":                     {`"query.pretty"`, "which has none"},
		"GET session?x=1":                                  {`"query.x"`, "which has none"},
		"DELETE session?x=1":                               {`"query.x"`, "which has none"},
		"GET kinds?limit=500":                              {`"query.limit"`, "is no parameter"},
	} {
		method, path, _ := strings.Cut(call1, " ")
		status, body := call(t, s, method, access.Prefix+path, "", "")
		require.Equal(t, 422, status, "%s: %s", call1, body)
		for _, word := range want {
			require.Contains(t, body, word, call1)
		}
	}
	for _, query := range []string{"?sort=%zz", "?a;b"} {
		status, body := call(t, s, http.MethodGet, access.Prefix+"kinds/Thing/instances"+query, "", "")
		require.Equal(t, 400, status, body)
		require.Contains(t, body, "read query: ")
	}
	status, body := call(t, s, http.MethodGet, access.Prefix+"kinds?"+strings.Repeat("kind=&", 1000), "", "")
	require.Equal(t, 422, status)
	require.Contains(t, body, "comes 1000 times")
	many := ""
	for range 1000 {
		many += "&x" + many[max(0, len(many)-20):] + "=1"
	}
	_, body = call(t, s, http.MethodGet, access.Prefix+"kinds/Thing/instances?"+many, "", "")
	require.Less(t, len(body), 8<<10, "however many there are, some are named")
}

// What kubectl and client-go send of themselves is taken through the API server, where it means
// something to them; what would change the meaning of a change is not.
func TestWhatKubernetesSendsOfItselfIsTakenThroughTheAPIServer(t *testing.T) {
	for request, want := range map[string]int{
		"GET kinds?limit=500&resourceVersion=0&resourceVersionMatch=NotOlderThan&timeout=32s&pretty=true": 200,
		"GET kinds?labelSelector=a%3Db&fieldSelector=metadata.name%3DThing&limit=500":                     200,
		"GET kinds/Thing?timeout=32s&resourceVersion=0":                                                   200,
		"GET kinds/Thing?labelSelector=a%3Db":                                                             422,
		"GET kinds/Thing/instances?labelSelector=a%3Db":                                                   422,
		"GET kinds?limits=1": 422,
		"POST kinds/Thing/pause?fieldManager=kubectl-create&fieldValidation=Strict": 200,
		"POST kinds/Thing/pause?dryRun=All":                                         422,
		"DELETE kinds/Thing/pause?dryRun=All":                                       422,
	} {
		method, path, _ := strings.Cut(request, " ")
		status, body := through(t, method, access.Prefix+path, "")
		require.Equal(t, want, status, "%s: %s", request, body)
	}
}

func TestABodyThatCannotBeReadIsExplainedInWords(t *testing.T) {
	s := serveAll(t, &backend{}, &operators{})
	for body, want := range map[string]string{
		`{"capacity":1e3}`:                  `field \"capacity\": 1e3: want a whole number in digits alone`,
		`{"capacity":99999999999999999999}`: `expected number <= 5000`,
		`{"capacity":"10"}`:                 `"expected integer"`,
		`{"capacity":01}`:                   `line 1, byte 14: '1': want numbers without leading zeros`,
		`{"capacity":`:                      `is no JSON: it ends too early`,
		`[]`:                                `expected object`,
	} {
		status, answer := call(t, s, http.MethodPost, access.Prefix+"kinds/Thing/plans", "", body)
		require.Contains(t, []int{400, 422}, status, answer)
		require.Contains(t, answer, want, body)
		require.NotRegexp(t, `json:|Go |unmarshal|struct|invalid character`, answer, body)
	}
}
