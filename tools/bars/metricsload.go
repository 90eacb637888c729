package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	certutil "k8s.io/client-go/util/cert"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// contender is one server that is asked.
type contender struct {
	role     string
	pid      int
	url      string
	client   *http.Client
	upstream *upstream
	stop     func()
}

// start starts a server as a process and returns when it answers rightly.
func (f *field) start(ctx context.Context, role string) (c *contender, err error) {
	dir := filepath.Join(f.dir, role)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	ports, err := servers.FreePorts(2)
	if err != nil {
		return nil, err
	}
	c = &contender{role: role}
	if c.upstream, err = newUpstream(f.admin); err != nil {
		return nil, err
	}
	cert, key, err := selfSigned(dir)
	if err != nil {
		return nil, err
	}
	kubeconfig, err := c.upstream.kubeconfig(dir)
	if err != nil {
		return nil, err
	}
	cmd, err := f.command(ctx, role, ports, cert, key, kubeconfig)
	if err != nil {
		return nil, err
	}
	end, err := launch(cmd, filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	c.pid, c.stop = cmd.Process.Pid, sync.OnceFunc(func() {
		end()
		c.upstream.close()
	})
	f.contenders = append(f.contenders, c)
	reader := rest.CopyConfig(f.reader)
	reader.Host, reader.QPS, reader.TLSClientConfig = fmt.Sprintf("https://127.0.0.1:%d", ports[0]), -1, rest.TLSClientConfig{CAFile: cert}
	if c.client, err = rest.HTTPClientFor(reader); err != nil {
		return nil, err
	}
	c.url = reader.Host + "/apis/custom.metrics.k8s.io/v1beta2/namespaces/" + f.population.Namespace + "/pods/*/" + theMetric +
		"?labelSelector=" + halfLabel + "%3Da"
	if role == roleTestAdapter {
		if err := f.teach(ctx, ports[1]); err != nil {
			return nil, err
		}
	}
	err = product.Until(ctx, time.Minute, func(ctx context.Context) error {
		_, err := f.read(ctx, c)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("start %s: %w; its log is in %s", role, err, dir)
	}
	return c, nil
}

// command is that of the server; the second port takes the test adapter's values.
func (f *field) command(ctx context.Context, role string, ports []int, cert, key, kubeconfig string) (*exec.Cmd, error) {
	if role == roleTestAdapter {
		program, err := f.b.buildTestAdapter(ctx)
		if err != nil {
			return nil, err
		}
		flags := append(libraryFlags(ports[0], cert, key, kubeconfig), "--client-qps=1000", "--client-burst=1000")
		cmd := f.b.env.Command(context.Background(), program, flags...)
		cmd.Env = append(cmd.Env, testAdapterPort+"="+strconv.Itoa(ports[1]))
		return cmd, nil
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	options, err := json.Marshal(serverOptions{role, f.population, ports[0], cert, key, kubeconfig})
	return f.b.env.Command(context.Background(), self, serveCommand, string(options)), err
}

func selfSigned(dir string) (certFile, keyFile string, err error) {
	cert, key, err := certutil.GenerateSelfSignedCertKey("127.0.0.1", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	if err == nil {
		err = errors.Join(os.WriteFile(certFile, cert, 0o600), os.WriteFile(keyFile, key, 0o600))
	}
	return certFile, keyFile, err
}

// cpu is the processor time that the process has taken, in seconds.
func (c *contender) cpu() (float64, error) {
	proc, err := procfs.NewProc(c.pid)
	if err != nil {
		return 0, fmt.Errorf("read processor time: %w", err)
	}
	stat, err := proc.Stat()
	return stat.CPUTime(), err
}

// read asks once and checks every value; it returns the time until the last byte had come, in ms.
func (f *field) read(ctx context.Context, c *contender) (ms float64, err error) {
	return f.readSince(ctx, c, time.Now())
}

func (f *field) readSince(ctx context.Context, c *contender, began time.Time) (ms float64, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, nil)
	if err != nil {
		return 0, err
	}
	response, err := c.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	ms = time.Since(began).Seconds() * 1e3
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("HTTP %d: %.200s", response.StatusCode, body)
	}
	return ms, f.population.check(body)
}

// ask asks at that rate whether or not earlier requests are done, and returns how long each took
// from when it was due, in ms.
func (f *field) ask(ctx context.Context, c *contender, rate float64, long time.Duration) ([]float64, error) {
	n := int(rate * long.Seconds())
	took := make([]float64, n)
	var all errgroup.Group
	began := time.Now()
	for i := range n {
		due := began.Add(time.Duration(float64(i) / rate * float64(time.Second)))
		time.Sleep(time.Until(due))
		all.Go(func() (err error) {
			took[i], err = f.readSince(ctx, c, due)
			return err
		})
	}
	return took, all.Wait()
}

// createPods puts the population into the cluster, for a server that looks there. No scheduler is
// asked to place them.
func (f *field) createPods(ctx context.Context) error {
	cfg := rest.CopyConfig(f.admin)
	cfg.QPS = -1
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return err
	}
	err = product.Until(ctx, time.Minute, func(ctx context.Context) error {
		_, err := client.CoreV1().ServiceAccounts(f.population.Namespace).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	if err != nil {
		return err
	}
	return f.eachPod(func(set, n int) error {
		_, err := client.CoreV1().Pods(f.population.Namespace).Create(ctx, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: podName(set, n), Labels: podLabels(set, n)},
			Spec:       corev1.PodSpec{SchedulerName: "nobody", Containers: []corev1.Container{{Name: "dac", Image: "dac"}}},
		}, metav1.CreateOptions{})
		return err
	})
}

// teach gives the test adapter its values.
func (f *field) teach(ctx context.Context, port int) error {
	base := fmt.Sprintf("http://127.0.0.1:%d/write-metrics/namespaces/%s/pods/", port, f.population.Namespace)
	post := func(set, n int) error {
		body := strings.NewReader(strconv.Quote(strconv.Itoa(count(set, n))))
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+podName(set, n)+"/"+theMetric, body)
		if err != nil {
			return err
		}
		request.Header.Set("Content-Type", "application/json")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("teach the test adapter: HTTP %d", response.StatusCode)
		}
		return nil
	}
	if err := product.Until(ctx, time.Minute, func(context.Context) error { return post(0, 0) }); err != nil {
		return err
	}
	return f.eachPod(post)
}

// eachPod calls do for every pod, several at a time, and returns the first error.
func (f *field) eachPod(do func(set, ordinal int) error) error {
	var all errgroup.Group
	all.SetLimit(8)
	for i := range f.population.Pods {
		all.Go(func() error { return do(i/podsASet, i%podsASet) })
	}
	return all.Wait()
}

// upstream stands before the API server and counts what a server asks of it. It lends it an
// administrator's rights.
type upstream struct {
	*httptest.Server
	calls, reviews atomic.Int64
}

func newUpstream(admin *rest.Config) (*upstream, error) {
	target, err := url.Parse(admin.Host)
	if err != nil {
		return nil, err
	}
	u := &upstream{}
	proxy := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	if proxy.Transport, err = rest.TransportFor(admin); err != nil {
		return nil, err
	}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/tokenreviews") || strings.HasSuffix(r.URL.Path, "/subjectaccessreviews") {
			u.reviews.Add(1)
		} else {
			u.calls.Add(1)
		}
		proxy.ServeHTTP(w, r)
	}))
	return u, nil
}

func (u *upstream) counts() (calls, reviews int64) { return u.calls.Load(), u.reviews.Load() }

func (u *upstream) close() {
	u.CloseClientConnections()
	u.Server.Close()
}

func (u *upstream) kubeconfig(dir string) (string, error) {
	file := filepath.Join(dir, "kubeconfig")
	text := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","clusters":[{"name":"c","cluster":{"server":%q}}],`+
		`"contexts":[{"name":"c","context":{"cluster":"c","user":""}}],"current-context":"c"}`, u.URL)
	return file, os.WriteFile(file, []byte(text), 0o600)
}
