package api

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/api/docspage"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// browser is a Chromium that is driven by its debugging protocol, over two pipes.
type browser struct {
	t       *testing.T
	to      *os.File
	from    *bufio.Reader
	session string
	last    int
	noise   []string // what it logged
}

func startBrowser(t *testing.T) *browser {
	t.Helper()
	tree, libraries := servers.Debian(t, "chromium")
	for _, dir := range strings.Split(strings.TrimPrefix(libraries, "LD_LIBRARY_PATH="), ":") {
		libraries += ":" + filepath.Join(dir, "pulseaudio")
	}
	theirIn, to, err := os.Pipe()
	require.NoError(t, err)
	from, theirOut, err := os.Pipe()
	require.NoError(t, err)
	profile, err := os.MkdirTemp("", "browser")
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), filepath.Join(tree, "usr", "lib", "chromium", "chromium"),
		"--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-pipe",
		"--user-data-dir="+profile, "about:blank")
	cmd.Env = append(os.Environ(), libraries, "DBUS_SESSION_BUS_ADDRESS=")
	cmd.ExtraFiles = []*os.File{theirIn, theirOut}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, cmd.Start())
	_ = theirIn.Close()
	_ = theirOut.Close()
	b := &browser{t: t, to: to, from: bufio.NewReader(from)}
	t.Cleanup(func() {
		_, _ = fmt.Fprint(to, `{"id":0,"method":"Browser.close"}`+"\x00")
		_ = to.Close()
		_ = from.Close()
		_ = cmd.Wait()
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // its helpers outlive it a little, and write
		require.Eventually(t, func() bool { return os.RemoveAll(profile) == nil }, 10*time.Second, 20*time.Millisecond)
	})
	target := b.call("Target.createTarget", map[string]any{"url": "about:blank"})["targetId"]
	b.session = b.call("Target.attachToTarget", map[string]any{"targetId": target, "flatten": true})["sessionId"].(string)
	for _, domain := range []string{"Page", "Runtime", "Log"} {
		b.call(domain+".enable", nil)
	}
	return b
}

// call sends a command and returns its result; what is logged meanwhile is noted.
func (b *browser) call(method string, params map[string]any) map[string]any {
	b.t.Helper()
	b.last++
	command := map[string]any{"id": b.last, "method": method}
	if params != nil {
		command["params"] = params
	}
	if b.session != "" {
		command["sessionId"] = b.session
	}
	text, err := json.Marshal(command)
	require.NoError(b.t, err)
	_, err = b.to.Write(append(text, 0))
	require.NoError(b.t, err)
	for {
		text, err := b.from.ReadBytes(0)
		require.NoError(b.t, err, "the browser ended")
		var m struct {
			ID     int
			Method string
			Result map[string]any
			Error  *struct{ Message string }
		}
		require.NoError(b.t, json.Unmarshal(text[:len(text)-1], &m))
		switch m.Method {
		case "Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled":
			b.noise = append(b.noise, string(text[:len(text)-1]))
		}
		if m.ID == b.last {
			require.Nil(b.t, m.Error, method)
			return m.Result
		}
	}
}

// value is that of an expression, as text.
func (b *browser) value(expression string) string {
	b.t.Helper()
	result := b.call("Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true})
	require.NotContains(b.t, result, "exceptionDetails", expression)
	return fmt.Sprint(result["result"].(map[string]any)["value"])
}

func (b *browser) until(want, expression string) {
	b.t.Helper()
	require.Eventually(b.t, func() bool { return strings.Contains(b.value(expression), want) }, 20*time.Second, 50*time.Millisecond, "%s", expression)
}

// The page works from this server alone, under its policy: a person finds a call, sends it and
// reads the answer, and the browser has nothing to complain of.
func TestTheAPIPageInARealBrowser(t *testing.T) {
	s := serveAll(t, &backend{}, &operators{})
	b := startBrowser(t)
	b.call("Page.navigate", map[string]any{"url": s.URL + docspage.Path + "#get-resource"})
	b.until("true", `document.getElementById("get-resource")?.open`)
	require.Equal(t, "function", b.value(`typeof send`))

	b.value(`document.getElementById("get-resource-path-kind").value = "Thing"; document.getElementById("get-resource-query-id").value = "a/b"`)
	b.value(`document.querySelector("#get-resource button").click()`)
	b.until("200", `document.querySelector("#get-resource form > pre:last-child").textContent`)
	answer := b.value(`document.querySelector("#get-resource form > pre:last-child").textContent`)
	require.Contains(t, answer, "GET /v1/api/kinds/Thing/resource?id=a%2Fb")
	require.Contains(t, answer, `"pod": "iota-dac-2"`)

	require.Contains(t, b.value(`document.getElementById("drain-body").value`), `"instance": 0`, "a body to begin with")
	b.value(`const f = document.getElementById("filter"); f.value = "nodes"; f.dispatchEvent(new Event("input"))`)
	require.Equal(t, "1", b.value(`[...document.querySelectorAll("main > details")].filter((d) => !d.hidden).length`))

	// Below another path, as the plugin serves it, the calls go to what is beside it.
	room := httptest.NewServer(http.StripPrefix("/room", s.Config.Handler))
	t.Cleanup(room.Close)
	b.call("Page.navigate", map[string]any{"url": room.URL + "/room" + docspage.Path + "#get-kind"})
	b.until("true", `document.getElementById("get-kind")?.open`)
	b.value(`document.getElementById("get-kind-path-kind").value = "Thing"`)
	b.value(`document.querySelector("#get-kind button").click()`)
	b.until(`"name": "Thing"`, `document.querySelector("#get-kind form > pre:last-child").textContent`)
	require.Empty(t, b.noise, "no violation of the policy, no error")

	b.value(`document.body.setAttribute("style", "color: red")`)
	b.call("Runtime.evaluate", map[string]any{"expression": `0`})
	require.Contains(t, strings.Join(b.noise, ""), "Content Security Policy", "a violation would be seen")
}
