package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"

	"github.com/shardscaler/shardscaler/internal/api/access"
	"github.com/shardscaler/shardscaler/internal/testbed/httpcall"
)

// soon is far less than what a proxy that holds a stream back would need, and far more than one
// that does not.
const soon = 10 * time.Second

// following is a stream that is read.
type following struct {
	w     *world
	lines chan string
}

// follow opens a stream; its answer must have begun.
func (w *world) follow(client *http.Client, url string) *following {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	require.NoError(w.t, err)
	resp, err := client.Do(req)
	require.NoError(w.t, err)
	require.Equal(w.t, http.StatusOK, resp.StatusCode)
	require.Equal(w.t, "text/event-stream", resp.Header.Get("Content-Type"))
	f := &following{w, make(chan string)}
	done := make(chan struct{})
	w.t.Cleanup(func() { cancel(); resp.Body.Close(); <-done })
	go func() {
		defer close(done)
		defer close(f.lines)
		for in := bufio.NewReader(resp.Body); ; {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			select {
			case f.lines <- strings.TrimSpace(line):
			case <-ctx.Done():
				return
			}
		}
	}()
	return f
}

// shows waits for a line that has all of these.
func (f *following) shows(what string, parts ...string) {
	f.w.t.Helper()
	began := time.Now()
	last := ""
	for limit := time.After(soon); ; {
		select {
		case <-limit:
			f.w.t.Fatalf("%s: not within %s; last came %.300s", what, soon, last)
		case line, ok := <-f.lines:
			require.True(f.w.t, ok, "%s: the stream ended before; last came %.300s", what, last)
			last = line
			has := true
			for _, part := range parts {
				has = has && strings.Contains(line, part)
			}
			if has {
				f.w.t.Logf("%s: after %s", what, time.Since(began).Round(time.Millisecond))
				return
			}
		}
	}
}

// ends waits for the end.
func (f *following) ends() {
	f.w.t.Helper()
	for limit := time.After(soon); ; {
		select {
		case <-limit:
			f.w.t.Fatalf("the stream goes on for more than %s", soon)
		case _, ok := <-f.lines:
			if !ok {
				return
			}
		}
	}
}

// streamsThroughTheAPIServer: events come at once though the stream goes on, and it ends in words
// when the replicas do. Nothing runs after it.
func (w *world) streamsThroughTheAPIServer(through *rest.Config) {
	w.t.Helper()
	client, err := rest.HTTPClientFor(through)
	require.NoError(w.t, err)
	at := func(below string) string { return through.Host + access.AggregatedPath(w.Namespace, below) }
	f := w.follow(client, at("kinds?watch=true"))
	f.shows("the first event", "event: state")
	f.shows("its data", "data: ", `"full":true`, thingSet)
	_, err = httpcall.Do(w.t.Context(), client, http.MethodPost, at("kinds/"+thing+"/pause"), "", map[string]string{"for": "1h"})
	require.NoError(w.t, err)
	f.shows("the pause", "data: ", `"paused"`, `"value":true`, "operator")
	for _, v := range w.Servers {
		require.NoError(w.t, v.Stop(w.t.Context()))
	}
	f.shows("a farewell", "event: bye")
	f.shows("its reason", "data: ", `"reason":"shutdown"`)
	f.ends()
}

// serves is `kubectl shardscaler ui` until it is ended; it returns the address that that prints.
func (p *plugin) serves() (address string, end func()) {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), filepath.Join(p.path, "kubectl"), "shardscaler", "ui", "--no-browser")
	cmd.Env = p.env()
	out, err := cmd.StdoutPipe()
	require.NoError(p.t, err)
	require.NoError(p.t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(p.t, err)
	return strings.TrimSpace(line), func() {
		p.t.Helper()
		require.NoError(p.t, cmd.Process.Signal(syscall.SIGINT))
		require.NoError(p.t, cmd.Wait())
	}
}

// opensThePage is `kubectl shardscaler ui`: the page and its calls are answered as the operator's, to
// the browser that came by the address alone.
func (p *plugin) opensThePage() {
	p.t.Helper()
	address, end := p.serves()
	jar, err := cookiejar.New(nil)
	require.NoError(p.t, err)
	browser := &http.Client{Jar: jar}
	ask := func(method, url, origin string) (status int, text string, at string) {
		req, err := http.NewRequestWithContext(p.t.Context(), method, url, http.NoBody)
		require.NoError(p.t, err)
		if origin != "" {
			req.Header.Set("Origin", origin)
		}
		resp, err := browser.Do(req)
		require.NoError(p.t, err)
		defer resp.Body.Close()
		all, err := io.ReadAll(resp.Body)
		require.NoError(p.t, err)
		return resp.StatusCode, string(all), resp.Request.URL.String()
	}
	status, text, at := ask(http.MethodGet, address, "")
	require.Equal(p.t, http.StatusOK, status, text)
	require.Contains(p.t, text, `data-mode="live"`)
	api := strings.TrimSuffix(at, "ui/") + "v1/api/"
	for path, want := range map[string]string{
		"kinds": `"total":800`, "kinds/Thing": `{"name":"Thing"`, "kinds/Thing/instances?limit=1": `"ordinal":0`, "kinds/Thing/history": `"items"`,
		"session": fmt.Sprintf(`"user":"system:serviceaccount:%s:operator"`, p.Namespace),
	} {
		status, text, _ = ask(http.MethodGet, api+path, "")
		require.Equal(p.t, http.StatusOK, status, "%s: %s", path, text)
		require.Contains(p.t, text, want)
	}
	f := p.follow(browser, api+"kinds?watch=true")
	f.shows("the page's first event", "event: state")
	status, _, _ = ask(http.MethodPost, api+"kinds/Thing/pause", "https://elsewhere.example")
	require.Equal(p.t, http.StatusForbidden, status)
	status, text, _ = ask(http.MethodGet, api+"kinds/Thing", "")
	require.Equal(p.t, http.StatusOK, status)
	require.Contains(p.t, text, `"paused":{"value":false`)
	end()
	f.ends()
}
