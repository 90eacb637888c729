package main

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/kubectl/client"
)

// server answers every path with what is given, to callers with the token "secret" where it is a
// POST.
func server(t *testing.T, answers map[string]string, status int) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := status
		answer, ok := answers[r.Method+" "+r.URL.Path]
		switch {
		case !ok:
			status, answer = http.StatusNotFound, `{"status":404,"detail":"kind \"Nothing\" is not configured"}`
		case r.Method != http.MethodGet && r.Header.Get("Authorization") != "Bearer secret":
			status, answer = http.StatusUnauthorized, `{"status":401,"detail":"a bearer token is needed"}`
		}
		if strings.HasPrefix(answer, `{"status"`) || strings.HasPrefix(answer, `{"type"`) {
			w.Header().Set("Content-Type", "application/problem+json")
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(answer))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func command(args ...string) (string, int, error) {
	c := newRootCommand()
	var out bytes.Buffer
	c.SetOut(&out)
	c.SetErr(&out)
	c.SetArgs(args)
	err := c.Execute()
	return out.String(), exitCode(err), err
}

func TestRollbackPauseResume(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("secret\n"), 0o600))
	url := server(t, map[string]string{
		"POST /v1/api/kinds/Thing/rollback": `{"planId":"abc","stayed":1,"returned":2,"undone":3,"kept":4}`,
		"POST /v1/api/kinds/Thing/pause":    `{"change":{"paused":true},"overrides":[],"version":"a"}`,
		"DELETE /v1/api/kinds/Thing/pause":  `{"change":{"paused":false},"overrides":[],"version":"b"}`,
	}, http.StatusOK)
	out, code, err := command("rollback", "Thing", "--server", url, "--token-file", token)
	require.NoError(t, err)
	require.Zero(t, code)
	require.Equal(t, "Thing: plan abc is rolled back: moves cancelled before their start: 1, returned from in flight: 2, moved back: 3, not stopped: 4; voluntary moves are paused\n", out)

	t.Setenv(tokenVariable, "secret")
	out, _, err = command("pause", "Thing", "--server", url)
	require.NoError(t, err)
	require.Equal(t, "Thing: voluntary moves are paused\n", out)
	out, _, err = command("resume", "Thing", "--server", url)
	require.NoError(t, err)
	require.Equal(t, "Thing: voluntary moves go on\n", out)

	foreign := httptest.NewTLSServer(http.NotFoundHandler())
	foreign.Config.ErrorLog = log.New(io.Discard, "", 0)
	defer foreign.Close()
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"unknown kind":  {[]string{"pause", "Nothing", "--server", url}, "kind \"Nothing\" is not configured"},
		"no server":     {[]string{"pause", "Thing"}, `required flag(s) "server" not set`},
		"no URL":        {[]string{"pause", "Thing", "--server", "nonsense"}, `server "nonsense": want a URL`},
		"no HTTP":       {[]string{"pause", "Thing", "--server", "ftp://host"}, `server "ftp://host": want a URL`},
		"not trusted":   {[]string{"pause", "Thing", "--server", foreign.URL}, "failed to verify certificate"},
		"no token file": {[]string{"pause", "Thing", "--server", url, "--token-file", token + "x"}, "read token"},
	} {
		_, code, err := command(c.args...)
		require.ErrorContains(t, err, c.want, name)
		require.Equal(t, 2, code, name)
	}
	t.Setenv(tokenVariable, "forged")
	_, code, err = command("rollback", "Thing", "--server", url)
	require.ErrorContains(t, err, "a bearer token is needed")
	require.Equal(t, 2, code)
}

func TestARollbackOfNothingEndsWithOne(t *testing.T) {
	t.Setenv(tokenVariable, "secret")
	url := server(t, map[string]string{"POST /v1/api/kinds/Thing/rollback": `{"status":409,"detail":"nothing to roll back"}`}, http.StatusConflict)
	_, code, err := command("rollback", "Thing", "--server", url)
	require.ErrorContains(t, err, "nothing to roll back")
	require.Equal(t, 1, code)
}

func TestAnUnknownOutcomeEndsWithThreeAndSaysWhereToLook(t *testing.T) {
	t.Setenv(tokenVariable, "secret")
	const thing = "/v1/api/kinds/Thing"
	unknown := `{"type":"urn:shardscaler:outcome-unknown","status":504,"detail":"outcome unknown: deadline exceeded","see":"` + thing + `/decision"}`
	for _, args := range [][]string{{"pause", "Thing"}, {"resume", "Thing"}, {"rollback", "Thing"}, {"reassign", "Thing", "3", "--assume-dead"}} {
		path := "POST " + thing + "/" + args[0]
		if args[0] == "resume" {
			path = "DELETE " + thing + "/pause"
		}
		run := func(url string) (int, error) {
			_, code, err := command(append(args, "--server", url)...)
			return code, err
		}
		url := server(t, map[string]string{path: unknown}, http.StatusGatewayTimeout)
		code, err := run(url)
		require.Equal(t, 3, code, args)
		require.ErrorContains(t, err, "the outcome is unknown, it may have been carried out or not: outcome unknown")
		require.Contains(t, client.Next(err), "look before you ask again")

		// of what is between
		url = server(t, map[string]string{path: "upstream timed out"}, http.StatusGatewayTimeout)
		code, err = run(url)
		require.Equal(t, 3, code, args)
		require.Contains(t, client.Next(err), "look before you ask again")

		for _, between := range []struct {
			status int
			text   string
		}{
			{http.StatusServiceUnavailable, "upstream connect error or disconnect/reset before headers. reset reason: connection termination"},
			{http.StatusServiceUnavailable, `{"kind":"Status","status":"Failure","message":"error trying to reach service: EOF","code":503}`},
			{http.StatusInternalServerError, "<html>proxy error</html>"},
			{http.StatusOK, "<html>welcome</html>"},
		} {
			url = server(t, map[string]string{path: between.text}, between.status)
			code, err = run(url)
			require.Equal(t, 3, code, between.text)
			require.Contains(t, client.Next(err), "look before you ask again")
		}

		url = server(t, map[string]string{path: `{"status":503,"detail":"not carried out"}`}, http.StatusServiceUnavailable)
		code, err = run(url)
		require.Equal(t, 2, code, args)
		require.NotContains(t, err.Error(), "unknown")
	}
	for breaks, handler := range map[string]http.HandlerFunc{
		"before an answer": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"within its answer": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = w.Write([]byte("{"))
		},
	} {
		s := httptest.NewServer(handler)
		_, code, err := command("pause", "Thing", "--server", s.URL)
		require.Equal(t, 3, code, breaks)
		require.Contains(t, client.Next(err), "look before you ask again", breaks)
		s.Close()
		_, code, err = command("pause", "Thing", "--server", s.URL)
		require.Equal(t, 2, code, "no server has heard of it")
		require.NotContains(t, err.Error(), "unknown")
	}
}

func TestCheckConfigSaysWhichHandOffIsPossible(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(file, []byte("kinds:\n- {name: Thing, statefulSet: a, capacity: 10, init: 1, max: 3}\n- {name: Rule, statefulSet: b, capacity: 10, init: 1, max: 3}\n"), 0o600))
	out, code, err := command("check-config", file)
	require.NoError(t, err)
	require.Zero(t, code)
	require.NotContains(t, out, "acknowledge:")
	url := server(t, map[string]string{
		"GET /v1/api/orchestrations/Thing": `{"handOff":{"mode":"immediate","instances":3,"acknowledging":3,"hint":"every instance acknowledges: handOff can be acknowledged"}}`,
		"GET /v1/api/orchestrations/Rule":  `{"handOff":{"mode":"immediate","instances":3,"acknowledging":1}}`,
	}, http.StatusOK)
	out, _, err = command("check-config", file, "--server", url)
	require.NoError(t, err)
	require.Contains(t, out, "Thing: 3 of 3 instances acknowledge: handOff can be acknowledged\n")
	require.Contains(t, out, "Rule: 1 of 3 instances acknowledge: handOff must be immediate\n")
	require.NotContains(t, out, "not acknowledging")

	// It warns before the first drain finds out.
	acknowledged := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(acknowledged, []byte("kinds:\n- {name: Thing, statefulSet: a, capacity: 10, init: 1, max: 30}\n- {name: Rule, statefulSet: b, capacity: 10, init: 1, max: 3, handOff: acknowledged}\n"), 0o600))
	mixed := server(t, map[string]string{
		"GET /v1/api/orchestrations/Thing": `{"handOff":{"mode":"immediate","instances":11,"acknowledging":9},"mute":{"10":"its status is absent","2":"its status is present and empty"}}`,
		"GET /v1/api/orchestrations/Rule":  `{"handOff":{"mode":"immediate","instances":3,"acknowledging":2},"mute":{"1":"its status is persistent"}}`,
	}, http.StatusOK)
	out, code, err = command("check-config", acknowledged, "--server", mixed)
	require.NoError(t, err)
	require.Zero(t, code, "the configuration is valid")
	require.Contains(t, out, "Thing: instances not acknowledging: 2 of 11: 2 (its status is present and empty), 10 (its status is absent)\n")
	require.Contains(t, out, "warning: Rule: instances not acknowledging: 1 of 3: 1 (its status is persistent); with handOff: acknowledged nothing is moved out of them")
	_, code, err = command("check-config", file, "--server", url+"/elsewhere")
	require.Error(t, err)
	require.Equal(t, 2, code)
}
