package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/shardscaler/shardscaler/internal/testbed/httpcall"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/internal/testbed/servers/certs"
	"github.com/shardscaler/shardscaler/tools/bars/rounds"
)

// contender is one server that is asked.
type contender struct {
	role     string
	server   *servers.Server
	url      string
	client   *http.Client
	upstream *upstream
	check    func(body []byte) error // of an answer
}

// start starts a server as a process and returns when it answers rightly.
func (f *field) start(ctx context.Context, role string) (c *contender, err error) {
	dir := filepath.Join(f.dir, role)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	ports, err := servers.FreePorts(2) // the second takes the test adapter's values
	if err != nil {
		return nil, err
	}
	c = &contender{role: role, check: f.population.check}
	if c.upstream, err = newUpstream(f.admin); err != nil {
		return nil, err
	}
	files, err := certs.Write(dir, role)
	if err != nil {
		return nil, err
	}
	kubeconfig, err := c.upstream.kubeconfig(dir)
	if err != nil {
		return nil, err
	}
	if role == roleTestAdapter {
		flags := append(libraryFlags(ports[0], files.ServerCert, files.ServerKey, kubeconfig), "--client-qps=1000", "--client-burst=1000")
		c.server, err = f.b.testAdapter(ctx, dir, ports[1], flags...)
	} else {
		c.server, err = f.b.self(dir, serverOptions{role, f.population, ports[0], files.ServerCert, files.ServerKey, kubeconfig})
	}
	if err != nil {
		return nil, err
	}
	if err := c.server.Launch(); err != nil {
		return nil, err
	}
	f.contenders = append(f.contenders, c)
	reader := rest.CopyConfig(f.reader)
	reader.Host = fmt.Sprintf("https://127.0.0.1:%d", ports[0])
	reader.TLSClientConfig = rest.TLSClientConfig{CAData: files.CA, ServerName: "localhost"}
	if c.client, err = rest.HTTPClientFor(reader); err != nil {
		return nil, err
	}
	c.url = metricURL(reader.Host, f.population.Namespace)
	if role == roleTestAdapter {
		if err := f.population.teach(ctx, ports[1]); err != nil {
			return nil, err
		}
	}
	err = product.Until(ctx, time.Minute, func(ctx context.Context) error {
		_, err := f.read(ctx, c, time.Now())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("start %s: %w\n%s", role, err, c.server.Tail(20))
	}
	return c, nil
}

// self is this program as one of the servers that are compared.
func (b *bench) self(dir string, o serverOptions) (*servers.Server, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	options, err := json.Marshal(o)
	return b.env.NewProcess(o.Role, dir, program, serveCommand, string(options)), err
}

// stop may be called again.
func (c *contender) stop() {
	_ = c.server.Kill()
	c.upstream.end()
}

// cpu is the processor time that the process has taken, in seconds; NaN when it has ended.
func (c *contender) cpu() float64 { return cpuOf(c.server) }

func cpuOf(server *servers.Server) float64 {
	proc, err := procfs.NewProc(server.Pid())
	if err != nil {
		return math.NaN()
	}
	stat, err := proc.Stat()
	if err != nil {
		return math.NaN()
	}
	return stat.CPUTime()
}

// read asks once and checks every value; it returns the time until the last byte had come, in ms.
func (f *field) read(ctx context.Context, c *contender, began time.Time) (ms float64, err error) {
	body, err := c.get(ctx)
	ms = rounds.Since(began)
	if err != nil {
		return 0, err
	}
	return ms, c.check(body)
}

func (c *contender) get(ctx context.Context) ([]byte, error) {
	return httpcall.Do(ctx, c.client, http.MethodGet, c.url, "", nil)
}

// metricURL asks for the metric of half of the pods.
func metricURL(host, namespace string) string {
	return host + "/apis/custom.metrics.k8s.io/v1beta2/namespaces/" + namespace + "/pods/*/" + theMetric + "?labelSelector=" + halfLabel + "%3Da"
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
			took[i], err = f.read(ctx, c, due)
			return err
		})
	}
	return took, all.Wait()
}

// create puts the population into the cluster, for a server that looks there. No scheduler is asked
// to place it.
func (p population) create(ctx context.Context, kube kubernetes.Interface) error {
	err := product.Until(ctx, time.Minute, func(ctx context.Context) error {
		_, err := kube.CoreV1().ServiceAccounts(p.Namespace).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	if err != nil {
		return err
	}
	return p.each(func(one pod) error {
		_, err := kube.CoreV1().Pods(p.Namespace).Create(ctx, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: one.name(), Labels: one.labels()},
			Spec:       corev1.PodSpec{SchedulerName: "nobody", Containers: []corev1.Container{{Name: "dac", Image: "dac"}}},
		}, metav1.CreateOptions{})
		return err
	})
}

// teach gives the test adapter its values.
func (p population) teach(ctx context.Context, port int) error {
	base := fmt.Sprintf("http://127.0.0.1:%d/write-metrics/namespaces/%s/pods/", port, p.Namespace)
	post := func(one pod) error {
		address, value := base+one.name()+"/"+theMetric, strconv.Itoa(one.count())
		_, err := httpcall.Do(ctx, http.DefaultClient, http.MethodPost, address, "", value)
		return err
	}
	if err := product.Until(ctx, time.Minute, func(context.Context) error { return post(0) }); err != nil {
		return err
	}
	return p.each(post)
}

// each calls do for every pod, several at a time, and returns the first error.
func (p population) each(do func(pod) error) error {
	var all errgroup.Group
	all.SetLimit(8)
	for i := range p.Pods {
		all.Go(func() error { return do(pod(i)) })
	}
	return all.Wait()
}

// upstream stands before the API server and counts what a server asks of it. It lends it the rights
// of a user.
type upstream struct {
	*httptest.Server
	calls, reviews, leases atomic.Int64 // each request is in one of them
}

func newUpstream(user *rest.Config) (*upstream, error) {
	target, err := url.Parse(user.Host)
	if err != nil {
		return nil, err
	}
	u := &upstream{}
	proxy := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	if proxy.Transport, err = rest.TransportFor(user); err != nil {
		return nil, err
	}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case strings.HasSuffix(path, "/tokenreviews") || strings.HasSuffix(path, "/subjectaccessreviews"):
			u.reviews.Add(1)
		case strings.HasPrefix(path, "/apis/coordination.k8s.io/"):
			u.leases.Add(1)
		default:
			u.calls.Add(1)
		}
		proxy.ServeHTTP(w, r)
	}))
	return u, nil
}

// end may be called again.
func (u *upstream) end() {
	u.CloseClientConnections()
	u.Close()
}

func (u *upstream) kubeconfig(dir string) (string, error) {
	file := filepath.Join(dir, "kubeconfig")
	text := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","clusters":[{"name":"c","cluster":{"server":%q}}],`+
		`"contexts":[{"name":"c","context":{"cluster":"c","user":""}}],"current-context":"c"}`, u.URL)
	return file, os.WriteFile(file, []byte(text), 0o600)
}
