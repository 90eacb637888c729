package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReassign(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/problem+json")
		switch {
		case r.Header.Get("Authorization") != "Bearer secret":
			w.WriteHeader(http.StatusUnauthorized)
		case r.Method != http.MethodPost || r.URL.Path != "/v1/api/kinds/Thing/reassign" || strings.TrimSpace(string(body)) != `{"instance":3,"assumeDead":true}`:
			w.WriteHeader(http.StatusConflict)
			_, _ = w.Write([]byte(`{"status":409,"detail":"changed since: instance 4 is not dead: its pod is Ready"}`))
		default:
			_, _ = w.Write([]byte(`{"instance":3,"pod":"iota-dac-3","uid":"u","by":"ann","left":12}`))
		}
	}))
	defer server.Close()
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("secret\n"), 0o600))
	reassign := func(args ...string) (string, error) {
		var out bytes.Buffer
		cmd := newRootCommand()
		cmd.SetArgs(append([]string{"reassign"}, args...))
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		err := cmd.ExecuteContext(t.Context())
		return out.String(), err
	}
	out, err := reassign("Thing", "3", "--assume-dead", "--server", server.URL+"/", "--token-file", token)
	require.NoError(t, err)
	require.Equal(t, "pod iota-dac-3 (u) is assumed dead, as ann said; resources to reassign: 12\n", out)

	for want, args := range map[string][]string{
		"changed since: instance 4 is not dead": {"Thing", "4", "--assume-dead", "--server", server.URL, "--token-file", token},
		"Unauthorized":                          {"Thing", "3", "--assume-dead", "--server", server.URL},
		"--assume-dead must be set":             {"Thing", "3", "--server", server.URL},
		`ordinal "x": want a whole`:             {"Thing", "x", "--assume-dead", "--server", server.URL},
		`ordinal "-1": want a whole`:            {"--assume-dead", "--server", server.URL, "--", "Thing", "-1"},
		`ordinal "+3": want a whole`:            {"Thing", "+3", "--assume-dead", "--server", server.URL, "--token-file", token},
		`ordinal "03": want a whole`:            {"Thing", "03", "--assume-dead", "--server", server.URL, "--token-file", token},
		`required flag(s) "server"`:             {"Thing", "3", "--assume-dead"},
		"read token":                            {"Thing", "3", "--assume-dead", "--server", server.URL, "--token-file", token + "x"},
		"accepts 2 arg(s), received 1":          {"Thing", "--assume-dead", "--server", server.URL},
	} {
		_, err := reassign(args...)
		require.ErrorContains(t, err, want)
	}
}
