package api

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPodDrain(t *testing.T) {
	s := serve(t, &backend{follower: true})
	status, body := call(t, s, http.MethodGet, "/v1/api/drains/iota/iota-dac-4?wait=20s", "", "")
	require.Equal(t, http.StatusOK, status, "any replica answers, and the hook has no token")
	var d PodDrain
	require.NoError(t, json.Unmarshal([]byte(body), &d))
	require.Equal(t, PodDrain{Kind: "Thing", Pod: "iota-dac-4", Ordinal: 4, State: DrainLeaving, Left: 7, Blocked: "waited 20s in iota"}, d)

	status, body = call(t, s, http.MethodGet, "/v1/api/drains/iota/stranger-1", "", "")
	require.Equal(t, http.StatusNotFound, status)
	require.Contains(t, body, "no such instance")
	status, _ = call(t, s, http.MethodGet, "/v1/api/drains/iota/iota-dac-9", "", "")
	require.Equal(t, http.StatusServiceUnavailable, status, "what cannot be read is not empty")
	for _, wait := range []string{"31s", "-1s", "long", "5"} {
		status, body = call(t, s, http.MethodGet, "/v1/api/drains/iota/iota-dac-4?wait="+wait, "", "")
		require.Equal(t, http.StatusUnprocessableEntity, status, wait)
		require.Contains(t, body, "must be a duration from 0s to 30s")
	}
}

func TestReassign(t *testing.T) {
	b := &backend{}
	s := serve(t, b)
	const path = "/v1/api/orchestrations/Thing/instances/4/reassign"
	for _, c := range []struct {
		path, token, body string
		status            int
		says              string
	}{
		{path, "", `{"assumeDead":true}`, http.StatusUnauthorized, "token"},
		{path, "guest", `{"assumeDead":true}`, http.StatusForbidden, "guest"},
		{path, "operator", `{"assumeDead":false}`, http.StatusUnprocessableEntity, "must be true"},
		{path, "operator", `{}`, http.StatusUnprocessableEntity, "assumeDead"},
		{path, "operator", `{"assumeDead":true,"also":1}`, http.StatusUnprocessableEntity, "also"},
		{"/v1/api/orchestrations/Thing/instances/-1/reassign", "operator", `{"assumeDead":true}`, http.StatusUnprocessableEntity, `ordinal \"-1\": want`},
		{"/v1/api/orchestrations/Thing/instances/+4/reassign", "operator", `{"assumeDead":true}`, http.StatusUnprocessableEntity, `ordinal \"+4\": want`},
		{"/v1/api/orchestrations/Thing/instances/04/reassign", "operator", `{"assumeDead":true}`, http.StatusUnprocessableEntity, `ordinal \"04\": want`},
		{"/v1/api/orchestrations/Thing/instances/%204/reassign", "operator", `{"assumeDead":true}`, http.StatusUnprocessableEntity, `ordinal \" 4\": want`},
		{"/v1/api/orchestrations/Thing/instances/3/reassign", "operator", `{"assumeDead":true}`, http.StatusConflict, "its pod is Ready"},
		{"/v1/api/orchestrations/None/instances/4/reassign", "operator", `{"assumeDead":true}`, http.StatusNotFound, "Thing"},
		{"/v1/api/orchestrations/None/instances/4/reassign", "operator", `{"assumeDead":false}`, http.StatusNotFound, "Thing"},
	} {
		status, body := call(t, s, http.MethodPost, c.path, c.token, c.body)
		require.Equal(t, c.status, status, "%+v: %s", c, body)
		require.Contains(t, body, c.says)
	}
	require.Zero(t, b.calls)
	status, body := call(t, s, http.MethodPost, path, "operator", `{"assumeDead":true}`)
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, `"by":"operator"`)
	require.Equal(t, 1, b.calls)
}
