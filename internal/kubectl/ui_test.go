package kubectl

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// pageOf is a browser in which `kubectl shardscaler ui` has opened the page.
type pageOf struct {
	t      *testing.T
	server string // where the page is served: http://127.0.0.1:PORT
	base   string // below which the page and its calls are
	http   *http.Client
}

// startUI starts `kubectl shardscaler ui` and returns the address that it prints. env is added to
// the environment.
func startUI(t *testing.T, env []string, args ...string) (address string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], append([]string{"ui"}, args...)...)
	cmd.Env = append(append(os.Environ(), asPlugin+"=1"), env...)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
		require.NoError(t, cmd.Wait(), "an interrupt is how it ends")
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	return strings.TrimSpace(line)
}

// visit opens an address in a browser of its own, and requires that it shows the page.
func visit(t *testing.T, address string) *pageOf {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	p := &pageOf{t: t, http: &http.Client{Jar: jar}}
	resp, err := p.http.Get(address)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s", text)
	require.Contains(t, string(text), `data-mode="live"`, "the address leads to the page")
	require.NotContains(t, resp.Header.Get("Content-Security-Policy"), "unsafe")
	require.Contains(t, resp.Header.Get("Content-Security-Policy"), "default-src 'none'")
	at := resp.Request.URL
	require.Equal(t, "127.0.0.1", at.Hostname())
	require.NotContains(t, address, strings.Split(at.Path, "/")[1], "the address does not tell where the page is")
	p.server = "http://" + at.Host
	p.base = p.server + strings.TrimSuffix(at.Path, "/ui/")
	return p
}

// ask sends a request below the page's base, with pairs of header and value.
func (p *pageOf) ask(method, path, body string, header ...string) (status int, text string, headers http.Header) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.base+path, strings.NewReader(body))
	require.NoError(p.t, err)
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := p.http.Do(req)
	require.NoError(p.t, err)
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	require.NoError(p.t, err)
	return resp.StatusCode, string(all), resp.Header
}

// gets requires an answer that is a document.
func (p *pageOf) gets(path string) string {
	p.t.Helper()
	status, text, _ := p.ask("GET", path, "")
	require.Equal(p.t, http.StatusOK, status, "%s: %s", path, text)
	return text
}

func TestThePageIsForTheBrowserThatCameByTheAddress(t *testing.T) {
	server := newFixed(t)
	config := kubeconfig(t, server.URL, "iota")
	opened := filepath.Join(t.TempDir(), "opened")
	programs := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(programs, "xdg-open"), []byte("#!/bin/sh\necho \"$1\" > "+opened+".new && mv "+opened+".new "+opened+"\n"), 0o700)) //nolint:gosec // it is to be run
	address := startUI(t, []string{"PATH=" + programs + ":/usr/bin:/bin"}, "--kubeconfig", config)
	p := visit(t, address)

	for name, browser := range map[string]*http.Client{"no cookie": {}, "the cookie": p.http} {
		for _, url := range []string{p.server + "/", p.server + "/ui/", p.server + "/v1/api/kinds", p.server + "/enter/guess", p.server + "/enter/"} {
			resp, err := browser.Get(url)
			require.NoError(t, err)
			resp.Body.Close()
			require.Equal(t, http.StatusForbidden, resp.StatusCode, "%s: %s", name, url)
		}
	}
	resp, err := http.Get(p.base + "/v1/api/kinds")
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusForbidden, resp.StatusCode, "to know where it is is not enough")

	status, _, _ := p.ask("GET", "/ui/", "", "Host", "evil.example")
	require.Equal(t, http.StatusForbidden, status)
	for _, foreign := range [][]string{{"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}} {
		status, _, _ = p.ask("POST", "/v1/api/kinds/Thing/pause", "{}", foreign...)
		require.Equal(t, http.StatusForbidden, status, foreign)
	}
	require.Empty(t, server.wrote())
	status, _, _ = p.ask("POST", "/v1/api/kinds/Thing/pause", "{}", "Origin", p.server, "Sec-Fetch-Site", "same-origin")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, []string{"POST kinds/Thing/pause {}"}, server.wrote())

	// What opens the browser is seen by other users of the machine: it is good for once.
	var once []byte
	require.Eventually(t, func() bool { once, err = os.ReadFile(opened); return err == nil }, 20*time.Second, 10*time.Millisecond)
	require.NotContains(t, string(once), address)
	visit(t, strings.TrimSpace(string(once)))
	resp, err = http.Get(strings.TrimSpace(string(once)))
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusForbidden, resp.StatusCode)
	visit(t, address)
}

// refused answers as the API server itself.
func refused(message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { status(w, http.StatusForbidden, message) }
}

// Through the API server the page's calls are answered as by a server, as the kubeconfig's user.
func TestThePagesCallsGoThroughTheAPIServer(t *testing.T) {
	server := newMoving(t)
	config := kubeconfig(t, server.URL, "iota")
	p := visit(t, startUI(t, nil, "--no-browser", "--kubeconfig", config))
	require.JSONEq(t, runAt(t, "status", "-o", "json", "--kubeconfig", config).out, p.gets("/v1/api/kinds"))
	require.JSONEq(t, runAt(t, "status", "Thing", "-o", "json", "--kubeconfig", config).out, p.gets("/v1/api/kinds/Thing"))
	require.Contains(t, p.gets("/v1/api/kinds/Thing/resource?id=device%2F17"), `"id":"device/17"`)
	require.Contains(t, p.gets("/v1/api/nodes/node-a"), `"node":"node-a"`)

	var seen http.Header
	server.answer("GET kinds/Thing/config", func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header.Clone()
		w.Header().Set("Set-Cookie", "of=the-server")
		w.Header().Set("ETag", `"tag"`)
		write(w, 200, "application/json", settings())
	})
	status, text, headers := p.ask("GET", "/v1/api/kinds/Thing/config", "", "Impersonate-User", "root", "Authorization", "Bearer other", "X-Remote-User", "root", "If-None-Match", `"tag"`)
	require.Equal(t, 200, status, text)
	require.Equal(t, "tag", strings.Trim(headers.Get("ETag"), `"`))
	require.Empty(t, headers.Get("Set-Cookie"))
	require.Empty(t, seen.Get("Impersonate-User")+seen.Get("X-Remote-User"))
	require.Empty(t, seen.Get("Cookie"), "the key stays here")
	require.NotContains(t, seen.Get("Authorization"), "other")
	require.Equal(t, `"tag"`, seen.Get("If-None-Match"))

	// An error of Kubernetes is a problem document; what is none of the page's calls is not passed on.
	server.answer("POST kinds/Thing/pause", refused("you cannot create kinds/pause"))
	status, text, headers = p.ask("POST", "/v1/api/kinds/Thing/pause", "{}")
	require.Equal(t, 403, status)
	require.Equal(t, "application/problem+json", headers.Get("Content-Type"))
	require.JSONEq(t, `{"title":"Forbidden","status":403,"detail":"you cannot create kinds/pause"}`, text)
	server.answer("GET kinds/Thing/decision", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://evil.example", http.StatusFound)
	})
	status, text, headers = p.ask("GET", "/v1/api/kinds/Thing/decision", "")
	require.Equal(t, http.StatusBadGateway, status, text)
	require.Empty(t, headers.Get("Location"))
	server.answer("GET /api/v1/secrets", func(w http.ResponseWriter, _ *http.Request) { write(w, 200, "application/json", "reached") })
	for _, path := range []string{
		"/v1/api/kinds/../../../../../../api/v1/secrets", "/v1/api/kinds/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/api/v1/secrets",
		"/v1/api/kinds/..%2f..%2f..%2f..%2f..%2f..%2fapi/v1/secrets", "/v1/api/kindsmen", "/v1/api/orchestrations/Thing", "/v1/api/snapshot", "/apis",
	} {
		status, text, _ = p.ask("GET", path, "")
		require.GreaterOrEqual(t, status, 400, path)
		require.NotContains(t, text, "reached", path)
	}

	server.answer("POST /apis/authentication.k8s.io/v1/selfsubjectreviews", func(w http.ResponseWriter, r *http.Request) {
		var review map[string]any
		_ = json.NewDecoder(r.Body).Decode(&review)
		review["status"] = map[string]any{"userInfo": map[string]any{"username": fmt.Sprint("ann of ", review["kind"]), "groups": []string{"team"}}}
		write(w, 201, "application/json", review)
	})
	require.JSONEq(t, `{"user":"ann of SelfSubjectReview","groups":["team"]}`, p.gets("/v1/api/session"))

	p.showsTheCalls()
	resp, err := p.http.Get(p.base + "/v1/api/kinds?watch=true")
	require.NoError(t, err)
	require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	line := ""
	for events := newLines(resp.Body); !strings.HasPrefix(line, "id: "); { // a stream passes at once
		line = events.next(t)
	}
	require.NoError(t, resp.Body.Close())
	server.Close() // it waits for the stream, which ends when the browser goes
	status, _, headers = p.ask("GET", "/v1/api/kinds/Thing/config", "")
	require.Equal(t, http.StatusBadGateway, status)
	require.Equal(t, "application/problem+json", headers.Get("Content-Type"))
}

// The product's own handlers, asked directly, answer the page as they answer without it between.
func TestThePagesCallsReachTheServerItself(t *testing.T) {
	b, server := newThings(t)
	p := visit(t, startUI(t, nil, "--no-browser", "--server", server.URL))
	for _, path := range []string{
		"kinds", "kinds/Thing", "kinds/Thing/instances?limit=5&sort=-count", "kinds/Thing/instances/3", "kinds/Thing/config", "nodes/node-1",
		"kinds/Thing/resource?id=a%2Fb%25%C3%BC+c",
	} {
		resp, err := http.Get(server.URL + "/v1/api/" + path)
		require.NoError(t, err)
		want, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode, path)
		require.JSONEq(t, string(want), p.gets("/v1/api/"+path), path)
	}
	status, text, _ := p.ask("POST", "/v1/api/kinds/Thing/pause", `{"for":"2h"}`, "Content-Type", "application/json")
	require.Equal(t, http.StatusOK, status, text)
	require.Equal(t, []string{"paused true for 2h by ann"}, b.said)
	status, text, headers := p.ask("POST", "/v1/api/kinds/Thing/drains", `{"instance":700}`, "Content-Type", "application/json")
	require.Equal(t, http.StatusUnprocessableEntity, status)
	require.Contains(t, text, "must be one of the instances there are")
	require.Equal(t, "application/problem+json", headers.Get("Content-Type"))
}

// A token of a service account is replaced before it ends, while the page stays open.
func TestThePagesCredentialsAreRenewed(t *testing.T) {
	cluster := newFixed(t)
	var made atomic.Int32
	cluster.answer("POST /api/v1/namespaces/iota/serviceaccounts/operator/token", func(w http.ResponseWriter, _ *http.Request) {
		write(w, 201, "application/json", map[string]any{"status": map[string]any{
			"token": fmt.Sprint("token-", made.Add(1)), "expirationTimestamp": time.Now().Add(time.Minute).UTC().Format(time.RFC3339), // so near that it is replaced already
		}})
	})
	server := newFixed(t)
	var token atomic.Value
	server.answer("GET kinds/Thing/config", func(w http.ResponseWriter, r *http.Request) {
		token.Store(r.Header.Get("Authorization"))
		write(w, 200, "application/json", settings())
	})
	p := visit(t, startUI(t, nil, "--no-browser", "--server", server.URL, "--service-account", "operator", "--kubeconfig", kubeconfig(t, cluster.URL, "iota")))
	before := made.Load()
	for range 2 {
		p.gets("/v1/api/kinds/Thing/config")
		require.Greater(t, made.Load(), before)
		before = made.Load()
		require.Equal(t, fmt.Sprint("Bearer token-", before), token.Load())
	}
}

// showsTheCalls: the page of the API is there, with the calls that are passed on, and asks for no
// token.
func (p *pageOf) showsTheCalls() {
	p.t.Helper()
	status, text, headers := p.ask("GET", "/v1/api/docs", "")
	require.Equal(p.t, http.StatusOK, status)
	require.Contains(p.t, text, "docs/page.js")
	require.Contains(p.t, headers.Get("Content-Security-Policy"), "default-src 'none'")
	status, _, _ = p.ask("GET", "/v1/api/docs/page.js", "")
	require.Equal(p.t, http.StatusOK, status)
	status, text, _ = p.ask("GET", "/v1/api/openapi.json", "")
	require.Equal(p.t, http.StatusOK, status)
	var document struct {
		Paths      map[string]map[string]any
		Components struct{ Schemas, SecuritySchemes map[string]any }
	}
	require.NoError(p.t, json.Unmarshal([]byte(text), &document))
	require.Contains(p.t, document.Paths["/v1/api/kinds/{kind}/pause"], "post")
	require.Contains(p.t, document.Components.Schemas, "Kind")
	require.Empty(p.t, document.Components.SecuritySchemes)
	for path, methods := range document.Paths {
		require.NotContains(p.t, path, "orchestrations")
		if path == "/v1/api/session" {
			require.Len(p.t, methods, 1)
		}
	}
	resp, err := http.Get(p.base + "/v1/api/docs")
	require.NoError(p.t, err)
	require.NoError(p.t, resp.Body.Close())
	require.Equal(p.t, http.StatusForbidden, resp.StatusCode)
}
