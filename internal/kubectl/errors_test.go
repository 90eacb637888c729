package kubectl

import (
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/api"
	"github.com/shardscaler/shardscaler/internal/api/access"
)

// status is an answer of the API server itself.
func status(w http.ResponseWriter, code int, message string) {
	write(w, code, "application/json", map[string]any{"kind": "Status", "status": "Failure", "code": code, "message": message})
}

// An error is one line with its cause, and one with the next step where there is one.
func TestErrorsSayTheCauseAndTheNextStep(t *testing.T) {
	server := newFixed(t)
	config := kubeconfig(t, server.URL, "iota")
	const asked, changed = "GET kinds/Thing", "POST kinds/Thing/pause"
	for name, c := range map[string]struct {
		request string
		answer  http.HandlerFunc
		code    int
		want    []string
		lacks   string
	}{
		"no aggregated API": {
			asked, func(w http.ResponseWriter, _ *http.Request) { http.NotFound(w, nil) },
			2,
			[]string{"the API server has no ops.shardscaler.io/v1", "next:  install shardscaler's cluster manifests"},
			"404 page",
		},
		"no server behind it": {
			asked, func(w http.ResponseWriter, _ *http.Request) {
				http.Error(w, "service unavailable", http.StatusServiceUnavailable)
			},
			2,
			[]string{"ops.shardscaler.io/v1 is not available: service unavailable", "next:  see why: kubectl shardscaler doctor"},
			"",
		},
		"a change that was not sent on": {
			changed, func(w http.ResponseWriter, _ *http.Request) {
				http.Error(w, "service unavailable", http.StatusServiceUnavailable)
			},
			2,
			[]string{"ops.shardscaler.io/v1 is not available"},
			"unknown",
		},
		"a change that may have been sent on": {
			changed, func(w http.ResponseWriter, _ *http.Request) { status(w, 503, "error trying to reach service: EOF") },
			3,
			[]string{"the outcome is unknown, it may have been carried out or not", "next:  look before you ask again"},
			"",
		},
		"a change of unknown outcome": {
			changed, func(w http.ResponseWriter, _ *http.Request) {
				write(w, 504, "application/problem+json", map[string]any{"type": api.OutcomeUnknown, "status": 504, "detail": "deadline exceeded"})
			},
			3,
			[]string{"the outcome is unknown, it may have been carried out or not: deadline exceeded"},
			"",
		},
		"a change that was not carried out": {
			changed, func(w http.ResponseWriter, _ *http.Request) { problem(w, 503, "no leader: not carried out") },
			2,
			[]string{"error: pause Thing: no leader: not carried out"},
			"unknown",
		},
		"an answer that breaks off": {
			changed, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "100")
				_, _ = io.WriteString(w, "{")
			},
			3,
			[]string{"the outcome is unknown"},
			"",
		},
		"an answer of something else": {
			changed, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>welcome</html>") },
			3,
			[]string{"the outcome is unknown"},
			"",
		},
		"a redirection": {
			changed, func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
			},
			3,
			[]string{"the outcome is unknown"},
			"",
		},
		"a token over plain HTTP": {
			changed, func(w http.ResponseWriter, _ *http.Request) {
				write(w, 403, "application/problem+json", map[string]any{"type": access.TLSNeeded, "status": 403, "detail": "a token is not taken over plain HTTP"})
			},
			2,
			[]string{"error: pause Thing: a token is not taken over plain HTTP", "next:  give --server the address that begins with https://"},
			"RoleBinding",
		},
		"fields": {
			changed, func(w http.ResponseWriter, _ *http.Request) {
				write(w, 422, "application/problem+json", map[string]any{"status": 422, "detail": "validation failed", "errors": []any{
					map[string]any{"message": "must be between 1s and 8760h", "location": "body.for", "value": "0s"},
				}})
			},
			2,
			[]string{"error: pause Thing: validation failed; body.for: must be between 1s and 8760h (0s)\n"},
			"next",
		},
		"forbidden": {
			changed, func(w http.ResponseWriter, _ *http.Request) {
				status(w, 403, `kinds.ops.shardscaler.io "Thing" is forbidden: User "ann" cannot create resource "kinds/pause"`)
			},
			2,
			[]string{`User "ann" cannot create resource "kinds/pause"`, "next:  see what you may do: kubectl shardscaler doctor"},
			"",
		},
		"not logged in": {
			asked, func(w http.ResponseWriter, _ *http.Request) { status(w, 401, "Unauthorized") },
			2,
			[]string{"Unauthorized", "next:  log in to the cluster again"},
			"",
		},
		"lines and colours": {
			asked, func(w http.ResponseWriter, _ *http.Request) { problem(w, 500, "one\ntwo\x1b[31m") },
			2,
			[]string{"error: ask for Thing: one two [31m\n"},
			"\x1b",
		},
	} {
		t.Run(name, func(t *testing.T) {
			server.answer(c.request, c.answer)
			defer server.answer(c.request, nil)
			line := []string{"status", "Thing", "--kubeconfig", config}
			if c.request == changed {
				line[0] = "pause"
			}
			got := runAt(t, line...)
			require.Equal(t, c.code, got.code, got.err)
			require.Empty(t, got.out)
			for _, want := range c.want {
				require.Contains(t, got.err, want)
			}
			if c.lacks != "" {
				require.NotContains(t, got.err, c.lacks)
			}
			require.LessOrEqual(t, strings.Count(got.err, "\n"), 2, got.err)
		})
	}
	server.Close()
	got := runAt(t, "pause", "Thing", "--kubeconfig", config)
	require.Equal(t, ExitError, got.code, "no server has heard of it")
	require.Contains(t, got.err, "connection refused")
	require.Contains(t, got.err, "next:  check the cluster's address")
}

func TestPlansThatAreGoneOrChangedSayWhatToDo(t *testing.T) {
	server := newFixed(t)
	config := kubeconfig(t, server.URL, "iota")
	for _, c := range []struct {
		status int
		next   string
	}{{409, "look at what there is now"}, {410, "make the plan again"}} {
		server.answer("POST kinds/Thing/apply", func(w http.ResponseWriter, _ *http.Request) {
			problem(w, c.status, "the list of instance 3 has changed")
		})
		got := runAt(t, "apply", "Thing", "3f2a9c", "--kubeconfig", config)
		require.Equal(t, ExitError, got.code)
		require.Contains(t, got.err, "error: apply 3f2a9c of Thing: the list of instance 3 has changed\nnext:  "+c.next)
	}
	got := runAt(t, "apply", "3f2a9c", "--kubeconfig", config)
	require.Equal(t, ExitError, got.code)
	require.Contains(t, got.err, "no kind has this plan any more")

	server.answer("POST kinds/Thing/rollback", func(w http.ResponseWriter, _ *http.Request) { problem(w, 409, "nothing to roll back") })
	got = runAt(t, "rollback", "Thing", "--yes", "--kubeconfig", config)
	require.Equal(t, ExitFound, got.code)
	require.Contains(t, got.err, "error: roll back Thing: nothing to roll back\n")
}

func TestTheServerItselfIsAskedWithAToken(t *testing.T) {
	var tokens []string
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tokens = append(tokens, r.Header.Get("Authorization"))
		if r.URL.Path != "/v1/api/kinds" {
			http.Redirect(w, r, "https://elsewhere.example"+r.URL.Path, http.StatusFound)
			return
		}
		document, _ := documents("GET", "kinds", r)
		write(w, 200, "application/json", document)
	}))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	authority, token := filepath.Join(t.TempDir(), "ca.crt"), filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600))
	require.NoError(t, os.WriteFile(token, []byte("of-file\n"), 0o600))

	got := runAt(t, "status", "--server", secure.URL)
	require.Equal(t, ExitError, got.code)
	require.Contains(t, got.err, "next:  give the authority of its certificate: --certificate-authority FILE")
	require.Empty(t, tokens)

	cluster := newFixed(t)
	cluster.answer("POST /api/v1/namespaces/iota/serviceaccounts/operator/token", func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		require.Contains(t, string(text), `"audiences":["shardscaler"]`)
		write(w, 201, "application/json", map[string]any{"status": map[string]any{"token": "of-account", "expirationTimestamp": "2099-01-01T00:00:00Z"}})
	})
	t.Setenv(tokenVariable, "of-environment")
	t.Setenv("KUBECONFIG", kubeconfig(t, cluster.URL, "iota"))
	for want, flags := range map[string][]string{
		"Bearer of-flag":        {"--token", "of-flag"},
		"Bearer of-file":        {"--token-file", token},
		"Bearer of-account":     {"--service-account", "operator"},
		"Bearer of-environment": nil,
	} {
		tokens = nil
		got := runAt(t, append([]string{"status", "--server", secure.URL, "--certificate-authority", authority}, flags...)...)
		require.Zero(t, got.code, got.err)
		require.Equal(t, []string{want}, tokens)
		require.Contains(t, got.out, "Thing")
	}
	got = runAt(t, "why", "Thing", "--server", secure.URL, "--certificate-authority", authority, "--token", "of-flag")
	require.Equal(t, ExitError, got.code, "the token does not follow a redirection")

	for flags, want := range map[string]string{
		"--server http://shardscaler.example --token x":                                           "a token is not sent over plain HTTP",
		"--server shardscaler.example":                                                            "want a URL such as https://",
		"--server " + secure.URL + " --token-file nope":                                           "read token",
		"--server " + secure.URL + " --tls-server-name other.example":                             "next:  name the server as its certificate does: --tls-server-name",
		"--server " + secure.URL + " -A":                                                          "leave one out",
		"--server " + secure.URL + " --service-account gone --certificate-authority " + authority: "make a token of service account iota/gone",
	} {
		got := runAt(t, append([]string{"status"}, strings.Fields(flags)...)...)
		require.Equal(t, ExitError, got.code, flags)
		require.Contains(t, got.err, want, flags)
	}
}

func TestTheOnlyInstallationIsFoundWhereNoNamespaceIsGiven(t *testing.T) {
	server := newFixed(t)
	got := runAt(t, "status", "-o", "name", "--kubeconfig", kubeconfig(t, server.URL, ""))
	require.Zero(t, got.code, got.err)
	require.Equal(t, "kind.ops.shardscaler.io/Thing\nkind.ops.shardscaler.io/Rule\n", got.out)

	services := func(namespaces ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			require.Equal(t, "app.kubernetes.io/name=shardscaler", r.URL.Query().Get("labelSelector"))
			items := []any{}
			for _, n := range namespaces {
				items = append(items, map[string]any{"metadata": map[string]any{"namespace": n, "name": "shardscaler"}})
			}
			write(w, 200, "application/json", map[string]any{"items": items})
		}
	}
	server.answer("GET /api/v1/services", services("iota", "other"))
	got = runAt(t, "status", "--kubeconfig", kubeconfig(t, server.URL, ""))
	require.Equal(t, ExitError, got.code)
	require.Contains(t, got.err, "installed in the namespaces iota, other\nnext:  name one with -n")
	got = runAt(t, "status", "-n", "iota", "-o", "name", "--kubeconfig", kubeconfig(t, server.URL, ""))
	require.Zero(t, got.code, got.err)

	// One that does not answer leaves the others to be seen.
	got = runAt(t, "status", "-A", "--kubeconfig", kubeconfig(t, server.URL, ""))
	require.Equal(t, ExitError, got.code)
	require.Contains(t, got.out, "iota        Thing")
	require.Contains(t, got.err, "ask for kinds in namespace other: ")

	// Who may not list Services may list Deployments.
	server.answer("GET /api/v1/services", func(w http.ResponseWriter, _ *http.Request) {
		write(w, 403, "application/json", map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "services is forbidden"})
	})
	server.answer("GET /apis/apps/v1/deployments", services("iota"))
	got = runAt(t, "status", "-A", "-o", "name", "--kubeconfig", kubeconfig(t, server.URL, ""))
	require.Zero(t, got.code, got.err)
	server.answer("GET /apis/apps/v1/deployments", nil)
	got = runAt(t, "status", "-A", "--kubeconfig", kubeconfig(t, server.URL, ""))
	require.Equal(t, ExitError, got.code)
	require.Contains(t, got.err, "find installations: services is forbidden\nnext:  name the namespace: -n NAMESPACE")
}

// Long lists come in pages; the plugin joins them.
func TestPagesAreJoined(t *testing.T) {
	server := newFixed(t)
	server.answer("GET kinds/Thing/instances", func(w http.ResponseWriter, r *http.Request) {
		first := 0
		next := "more"
		if r.URL.Query().Get("continue") == "more" {
			first, next = 500, ""
		}
		require.Equal(t, "500", r.URL.Query().Get("limit"))
		items := []any{}
		for i := range 3 {
			items = append(items, map[string]any{"ordinal": first + i, "novelty": true})
		}
		write(w, 200, "application/json", map[string]any{"items": items, "all": 6, "total": 6, "continue": next})
	})
	config := kubeconfig(t, server.URL, "iota")
	got := runAt(t, "status", "Thing", "--instances", "-o", "name", "--kubeconfig", config)
	require.Zero(t, got.code, got.err)
	var want strings.Builder
	for _, n := range []int{0, 1, 2, 500, 501, 502} {
		fmt.Fprintf(&want, "instance.ops.shardscaler.io/%d\n", n)
	}
	require.Equal(t, want.String(), got.out)
	got = runAt(t, "status", "Thing", "--instances", "-o", "json", "--kubeconfig", config)
	require.Equal(t, 6, strings.Count(got.out, `"novelty": true`), "what this plugin does not know is printed")
	require.NotContains(t, got.out, "continue")
}

// Replicas that no Deployment runs, as those of the demo, are not wrong while the API answers.
func TestDoctorNeedsNoDeployment(t *testing.T) {
	server := newFixed(t)
	server.answer("GET /apis/apps/v1/namespaces/iota/deployments", func(w http.ResponseWriter, _ *http.Request) {
		write(w, 200, "application/json", map[string]any{"items": []any{}})
	})
	config := kubeconfig(t, server.URL, "iota")
	finding := func() string {
		for line := range strings.Lines(runAt(t, "doctor", "--kubeconfig", config).out) {
			if strings.HasPrefix(line, "Deployment ") {
				return strings.Join(strings.Fields(line), " ")
			}
		}
		return ""
	}
	require.Equal(t, "Deployment info none of namespace iota has the label app.kubernetes.io/name=shardscaler: the replicas are not run by one", finding())
	server.answer("GET kinds", func(w http.ResponseWriter, _ *http.Request) { status(w, 503, "no endpoints") })
	require.Contains(t, finding(), "Deployment warning none of namespace iota has the label")
	require.Contains(t, runAt(t, "doctor", "--kubeconfig", config).out, "Deployment: next: name the installation's namespace with -n")
}
