package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/internal/testbed/servers/certs"
)

// doors are both servers of a replica that reaches nothing but an API server, which knows the token
// operator of the audience shardscaler.
type doors struct {
	*testing.T
	plain, secure string // host:port
	trusted       *x509.CertPool
	reviews       atomic.Int64
	log           *bytes.Buffer
}

func (d *doors) apiServer() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.Method == http.MethodPost:
			d.reviews.Add(1)
			text, _ := io.ReadAll(r.Body)
			object, _, err := scheme.Codecs.UniversalDeserializer().Decode(text, nil, nil)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			switch review := object.(type) {
			case *authentication.TokenReview:
				review.Status.Authenticated = review.Spec.Token == "operator"
				review.Status.Audiences, review.Status.User.Username = review.Spec.Audiences, "ann"
			case *authorization.SubjectAccessReview:
				review.Status.Allowed = true
			}
			_ = json.NewEncoder(w).Encode(object)
		case r.URL.Query().Get("watch") != "":
			<-r.Context().Done()
		case strings.HasSuffix(r.URL.Path, "/configmaps"):
			_, _ = io.WriteString(w, `{"apiVersion":"v1","kind":"ConfigMapList","metadata":{"resourceVersion":"1"},"items":[]}`)
		default: // it holds no CA: no client has a certificate
			_, _ = io.WriteString(w, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"extension-apiserver-authentication"}}`)
		}
	})
}

// openDoors starts them.
func openDoors(t *testing.T, change func(*Options)) *doors {
	t.Helper()
	d := &doors{T: t, log: &bytes.Buffer{}, trusted: x509.NewCertPool()}
	kube := httptest.NewServer(d.apiServer())
	t.Cleanup(kube.Close)
	o := offline(t)
	require.NoError(t, os.WriteFile(o.Kubeconfig, []byte(`{"apiVersion":"v1","kind":"Config","clusters":[{"name":"c","cluster":{"server":"`+kube.URL+`"}}],`+
		`"contexts":[{"name":"c","context":{"cluster":"c","user":""}}],"current-context":"c"}`), 0o600))
	files, err := certs.Write(t.TempDir(), "shardscaler")
	require.NoError(t, err)
	ports, err := servers.FreePorts(1)
	require.NoError(t, err)
	o.TLSCertFile, o.TLSKeyFile, o.BindAddress, o.SecurePort = files.ServerCert, files.ServerKey, "127.0.0.1", ports[0]
	o.MetricsService, o.MetricsServicePort, o.TokenAudience = "shardscaler-metrics", 443, "shardscaler"
	if change != nil {
		change(&o)
	}
	d.trusted.AppendCertsFromPEM(files.CA)
	var mu sync.Mutex
	log := slog.New(slog.NewTextHandler(writer(func(text []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return d.log.Write(text)
	}), nil))
	a, err := newApp(t.Context(), o, log, prometheus.NewRegistry())
	require.NoError(t, err)
	d.plain, d.secure = a.listener.Addr().String(), a.metricsAPI.Addr().String()
	a.live.offer(offered{text: []byte("kinds:\n- {name: Thing, statefulSet: iota-dac, capacity: 10, init: 3, max: 50, replicas: {owner: shardscaler}}\n")})
	ctx, stop := context.WithCancel(context.Background())
	a.leadership.Lead(ctx)
	var serving sync.WaitGroup
	serving.Go(func() { _ = a.serveHTTP(ctx) })
	serving.Go(func() { _ = a.metricsAPI.Run(ctx) })
	t.Cleanup(func() {
		stop()
		serving.Wait()
		a.store.Close()
		a.kube.close()
	})
	require.Eventually(t, func() bool { return a.metricsAPI.Ready() == nil }, time.Minute, 5*time.Millisecond)
	return d
}

type writer func([]byte) (int, error)

func (w writer) Write(text []byte) (int, error) { return w(text) }

// client calls from an address of its own.
func (d *doors) client(from string) *http.Client {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, DisableKeepAlives: true,
			TLSClientConfig: &tls.Config{RootCAs: d.trusted, ServerName: "localhost", MinVersion: tls.VersionTLS12},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       time.Minute,
	}
}

// call sends a request with that header, and returns the status and what came of the body.
func (d *doors) call(method, url string, body io.Reader, header ...string) (int, string, error) {
	req, err := http.NewRequestWithContext(d.Context(), method, url, body)
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := d.client("127.0.0.9").Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// answersOthers: callers at another address notice nothing.
func (d *doors) answersOthers() {
	d.Helper()
	status, _, err := d.call(http.MethodGet, "http://"+d.plain+"/livez", nil)
	require.NoError(d, err)
	require.Contains(d, []int{200, 503}, status) // it has no ZooKeeper
	status, text, err := d.call(http.MethodGet, "https://"+d.secure+"/v1/api/kinds", nil, "Authorization", "Bearer operator")
	require.NoError(d, err)
	require.Equal(d, 200, status, text)
}

// dial opens a connection to a door; tls.Conn for the secure one.
func (d *doors) dial(door, from string) (net.Conn, error) {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	if door == d.plain {
		return dialer.Dial("tcp", door)
	}
	return tls.DialWithDialer(dialer, "tcp", door, &tls.Config{RootCAs: d.trusted, ServerName: "localhost", MinVersion: tls.VersionTLS12})
}

func TestConnectionsThatDoNothingLeaveRoomForOthers(t *testing.T) {
	d := openDoors(t, nil)
	for door, bound := range map[string]int{d.plain: 512, d.secure: 500} {
		for what, begin := range map[string]string{"nothing": "", "slow headers": "GET /v1/api/kinds HTTP/1.1\r\nHost: localhost\r\nX: "} {
			var mine []net.Conn
			open := 0
			for range 1_000 {
				conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.4")}}).Dial("tcp", door)
				require.NoError(t, err)
				_, _ = io.WriteString(conn, begin) // on the secure door that is no handshake, and it waits for one
				mine = append(mine, conn)
			}
			d.answersOthers()
			for _, conn := range mine {
				_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
				if _, err := conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
					open++
				}
				conn.Close()
			}
			require.LessOrEqual(t, open, bound, "%s: connections of one address", what)
		}
	}
}

// Headers that never end are cut off; on the secure door the library waits 32 s for them, and the
// connections of one address are few.
func TestASlowHeaderIsCutOff(t *testing.T) {
	d := openDoors(t, nil)
	conn, err := d.dial(d.plain, "127.0.0.4")
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ")
	require.NoError(t, err)
	d.answersOthers()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
	_, err = io.ReadAll(conn)
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the server closes it")
}

func TestSlowBodiesAreCutOff(t *testing.T) {
	d := openDoors(t, nil)
	const head = "POST /v1/api/orchestrations/Thing/orchestrate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n"
	for door, header := range map[string]string{d.plain: "", d.secure: "Authorization: Bearer operator\r\n"} {
		conn, err := d.dial(door, "127.0.0.4")
		require.NoError(t, err)
		defer conn.Close()
		_, err = io.WriteString(conn, head+header+"\r\n{")
		require.NoError(t, err)
		d.answersOthers()
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
		answer := make([]byte, 12)
		_, err = io.ReadFull(conn, answer)
		require.NoError(t, err)
		require.Contains(t, []string{"HTTP/1.1 403", "HTTP/1.1 408"}, string(answer))
	}
}

// counting counts what is taken of a body.
type counting struct {
	io.Reader
	taken atomic.Int64
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.taken.Add(int64(n))
	return n, err
}

func TestHugeRequestsAreNotRead(t *testing.T) {
	d := openDoors(t, nil)
	const size = 100 << 20
	for _, base := range []string{"http://" + d.plain, "https://" + d.secure} {
		body := &counting{Reader: io.LimitReader(zeros{}, size)}
		status, text, err := d.call(http.MethodPost, base+"/v1/api/orchestrations/Thing/orchestrate", body, "Authorization", "Bearer operator")
		if err == nil { // or the connection is cut off while it is being written
			require.Contains(t, []int{http.StatusForbidden, http.StatusRequestEntityTooLarge}, status, text)
		}
		require.Less(t, body.taken.Load(), int64(16<<20))
		for _, header := range []string{strings.Repeat("x", 100<<10), strings.Repeat("x", 2<<20)} {
			status, text, err = d.call(http.MethodGet, base+"/v1/api/kinds", nil, "X-Flood", header)
			if err == nil {
				require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, status, text)
			}
		}
		d.answersOthers()
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}

func TestWhatCanBeReadInTwoWaysIsRefused(t *testing.T) {
	d := openDoors(t, nil)
	for _, base := range []string{"http://" + d.plain, "https://" + d.secure} {
		for _, path := range []string{
			"//v1/api/kinds", "/v1/api/kinds/", "/v1/api/kinds//Thing", "/v1/api/kinds/../kinds", "/v1/api/kinds/%2e%2e/kinds", "/v1/api/kinds/Thing%2Fconfig",
			"/v1/api/kinds/Th%69ng", "/v1/api/kinds/Thing%00", "/v1/api/kinds/Thing/config/..", "/v1/api/kinds/Thing;x", "/v1/../v1/api/kinds", "/V1/api/kinds",
			"/v1/api/nodes/..%2f..%2fkinds", "/v1/api/kinds/" + strings.Repeat("x", 20_000),
		} {
			status, text, err := d.call(http.MethodGet, base+path, nil, "Authorization", "Bearer operator")
			require.NoError(t, err, path)
			require.True(t, status >= 300 && status < 500, "%s: %d %s", path, status, text)
		}
	}
	for _, body := range []string{
		strings.Repeat(`{"maxInstances":`, 200), strings.Repeat("[", 4_000), `{"maxInstances":20,"maxInstances":30}`, `{"maxInstances":20,"MaxInstances":30}`,
		`{"__proto__":{"maxInstances":20}}`, "\xff\xfe{}", `{"maxInstances":1e999}`,
	} {
		status, text, err := d.call(http.MethodPost, "https://"+d.secure+"/v1/api/orchestrations/Thing/orchestrate", strings.NewReader(body), "Authorization", "Bearer operator")
		require.NoError(t, err)
		require.Contains(t, []int{400, 413, 415, 422}, status, "%.40s: %s", body, text)
	}
	d.answersOthers()
}

func TestAPageOfAnotherSiteChangesNothing(t *testing.T) {
	d := openDoors(t, func(o *Options) { o.PlainHTTPTokens = true })
	for _, base := range []string{"http://" + d.plain, "https://" + d.secure} {
		for _, header := range [][2]string{{"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}} {
			status, text, err := d.call(http.MethodPost, base+"/v1/api/orchestrations/Thing/pause", nil, header[0], header[1], "Authorization", "Bearer operator")
			require.NoError(t, err)
			require.Equal(t, 403, status, text)
			require.Contains(t, text, "another site")
		}
	}
	require.Zero(t, d.reviews.Load(), "nothing was asked for them")
}

// What carries a token goes over TLS. Nothing looks at one that came another way.
func TestATokenOverPlainHTTPIsRefusedBeforeAnyReview(t *testing.T) {
	d := openDoors(t, nil)
	for _, q := range [][2]string{
		{"POST", "/v1/api/orchestrations/Thing/pause"}, {"GET", "/v1/api/orchestrations/Thing"}, {"GET", "/v1/api/kinds"}, {"GET", "/v1/api/snapshot"}, {"GET", "/"},
	} {
		for _, header := range [][2]string{{"Authorization", "Bearer operator"}, {"Authorization", "Basic x"}, {"Cookie", "__Host-shardscaler=x"}} {
			status, text, err := d.call(q[0], "http://"+d.plain+q[1], nil, header[0], header[1])
			require.NoError(t, err)
			require.Equal(t, 403, status, text)
			require.Contains(t, text, "urn:shardscaler:tls-needed")
			require.Contains(t, text, "use https://shardscaler-metrics.iota.svc"+q[1])
		}
	}
	for path, want := range map[string]int{"/metrics": 200, "/v1/api/drains/iota/iota-dac-0": 503, "/v1/api/orchestrations/Thing": 404, "/v1/api/openapi.json": 200} {
		status, text, err := d.call(http.MethodGet, "http://"+d.plain+path, nil)
		require.NoError(t, err)
		require.NotContains(t, []int{401, 403}, status, "%s: %s", path, text)
		if path != "/v1/api/drains/iota/iota-dac-0" {
			require.Equal(t, want, status, "%s: %s", path, text)
		}
	}
	status, text, err := d.call(http.MethodGet, "http://"+d.plain+"/v1/api/drains/iota/iota-dac-0", nil, "Authorization", "Bearer x")
	require.NoError(t, err)
	require.NotContains(t, []int{401, 403}, status, "a hook would give up: %s", text)
	require.Zero(t, d.reviews.Load())
	require.NotContains(t, d.log.String(), "operator")
	d.answersOthers()
	require.NotZero(t, d.reviews.Load(), "the counter counts")
}

func TestOldReadsCanBeClosed(t *testing.T) {
	d := openDoors(t, func(o *Options) { o.OldReads = oldReadsClosed })
	for _, path := range []string{"/v1/api/orchestrations/Thing", "/v1/api/snapshot"} {
		status, text, err := d.call(http.MethodGet, "http://"+d.plain+path, nil)
		require.NoError(t, err)
		require.Equal(t, 403, status, text)
		status, text, err = d.call(http.MethodGet, "https://"+d.secure+path, nil)
		require.NoError(t, err)
		require.Equal(t, 401, status, text)
		status, text, err = d.call(http.MethodGet, "https://"+d.secure+path, nil, "Authorization", "Bearer operator")
		require.NoError(t, err)
		require.NotContains(t, []int{401, 403}, status, text)
	}
	status, _, err := d.call(http.MethodGet, "http://"+d.plain+"/v1/api/drains/iota/iota-dac-0", nil)
	require.NoError(t, err)
	require.NotContains(t, []int{401, 403}, status)
	require.NotContains(t, d.log.String(), "old reads are answered")
}

// answered is what came back, without its body.
type answered struct {
	StatusCode int
	Header     http.Header
	Cookies    []*http.Cookie
}

// A browser behind an ingress keeps the token as a cookie.
func TestASessionOfTheSecureDoor(t *testing.T) {
	d := openDoors(t, func(o *Options) { o.AllowedHosts = []string{"scaler.example.com"} })
	do := func(method, path string, header ...string) (*answered, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, "https://"+d.secure+path, nil)
		require.NoError(t, err)
		req.Host = "scaler.example.com"
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		if host := req.Header.Get("Host"); host != "" {
			req.Host = host
		}
		resp, err := d.client("127.0.0.9").Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return &answered{resp.StatusCode, resp.Header, resp.Cookies()}, string(text)
	}
	resp, text := do("GET", "/v1/api/session")
	require.Equal(t, 200, resp.StatusCode, text)
	require.Contains(t, text, `"user":""`)
	require.Contains(t, text, `"stranger":"a bearer token is needed; make one with: kubectl -n `)
	for _, method := range []string{"GET", "POST"} {
		resp, text = do(method, "/v1/api/session", "Authorization", "Bearer forged")
		require.Equal(t, 401, resp.StatusCode, text)
	}
	resp, text = do("POST", "/v1/api/session", "Authorization", "Bearer operator")
	require.Equal(t, 200, resp.StatusCode, text)
	require.Contains(t, text, `"user":"ann"`)
	require.Len(t, resp.Cookies, 1)
	cookie := resp.Cookies[0]
	require.Equal(t, "__Host-shardscaler", cookie.Name)
	session := cookie.Name + "=" + cookie.Value

	resp, text = do("GET", "/v1/api/session", "Cookie", session)
	require.Equal(t, 200, resp.StatusCode, text)
	require.Contains(t, text, `"until":"`)
	for _, c := range []struct {
		method, path, name, value string
		status                    int
	}{
		{"GET", "/v1/api/kinds", "Sec-Fetch-Site", "same-origin", 200},
		{"GET", "/v1/api/kinds", "Sec-Fetch-Site", "cross-site", 403},
		{"GET", "/v1/api/kinds", "Host", "evil.example", 403},
		{"POST", "/v1/api/orchestrations/Thing/pause", "Origin", "https://evil.example", 403},
		{"POST", "/v1/api/orchestrations/Thing/pause", "Sec-Fetch-Site", "cross-site", 403},
		{"POST", "/v1/api/orchestrations/Thing/pause", "Origin", "https://scaler.example.com", 404},
		{"POST", "/v1/api/session", "Sec-Fetch-Site", "same-origin", 422}, // a cookie makes no other cookie
	} {
		resp, text = do(c.method, c.path, "Cookie", session, c.name, c.value)
		require.Equal(t, c.status, resp.StatusCode, "%v: %s", c, text)
		require.Contains(t, resp.Header.Get("Content-Security-Policy"), "default-src 'self'")
		require.NotContains(t, resp.Header.Get("Content-Security-Policy"), "unsafe")
	}
	resp, _ = do("GET", "/v1/api/kinds", "Cookie", cookie.Name+"=AAAA"+cookie.Value[4:])
	require.Equal(t, 401, resp.StatusCode)
	resp, text = do("GET", "/v1/api/session", "Cookie", cookie.Name+"=AAAA"+cookie.Value[4:])
	require.Equal(t, 200, resp.StatusCode, text)
	require.Contains(t, text, `"user":"","stranger":"the session has ended: sign in again"`)
	resp, _ = do("GET", "/v1/api/session", "Cookie", session, "Sec-Fetch-Site", "cross-site")
	require.Equal(t, 403, resp.StatusCode)
	resp, text = do("DELETE", "/v1/api/session", "Cookie", session)
	require.Equal(t, 204, resp.StatusCode, text)
	require.Contains(t, resp.Header.Get("Set-Cookie"), "Max-Age=0")
	require.NotContains(t, d.log.String(), cookie.Value)
}
