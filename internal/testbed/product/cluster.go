package product

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
	"k8s.io/utils/ptr"

	"github.com/shardscaler/shardscaler/internal/testbed/httpcall"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// Cluster is what Kubernetes holds in the Stack's namespace, read as an administrator.
type Cluster struct {
	Kube    kubernetes.Interface
	control *servers.Kubernetes
	space   string // the namespace
}

// Size is a StatefulSet's: replicas of its spec, existing and ready pods.
type Size struct {
	Spec, Status, Ready int
}

// Size reads a StatefulSet.
func (c *Cluster) Size(ctx context.Context, statefulSet string) (Size, error) {
	set, err := c.Kube.AppsV1().StatefulSets(c.space).Get(ctx, statefulSet, metav1.GetOptions{})
	if err != nil {
		return Size{}, fmt.Errorf("read StatefulSet: %w", err)
	}
	return Size{
		Spec: int(ptr.Deref(set.Spec.Replicas, 0)), Status: int(set.Status.Replicas), Ready: int(set.Status.ReadyReplicas),
	}, nil
}

// Pods reads the pods of a StatefulSet, by name.
func (c *Cluster) Pods(ctx context.Context, statefulSet string) (map[string]corev1.Pod, error) {
	list, err := c.Kube.CoreV1().Pods(c.space).List(ctx, metav1.ListOptions{LabelSelector: "app=" + statefulSet})
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	pods := make(map[string]corev1.Pod, len(list.Items))
	for _, p := range list.Items {
		pods[p.Name] = p
	}
	return pods, nil
}

// ScaleWrite is one write of a StatefulSet's replicas, as the API server recorded it.
type ScaleWrite struct {
	StatefulSet string
	Replicas    int
	User        string
	// Received is when the API server got the request: the new size had no effect before.
	Received time.Time
	// Accepted: it was not refused. Unknown: the caller was gone before the answer, so that it
	// may have been done or not.
	Accepted, Unknown bool
}

// ScaleWrites lists the writes of /scale in this namespace, in the order of the API server.
func (c *Cluster) ScaleWrites() (writes []ScaleWrite, err error) {
	events, err := c.control.Audit(c.space)
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		if e.ObjectRef.Resource != "statefulsets" || e.ObjectRef.Subresource != "scale" || e.RequestObject == nil {
			continue
		}
		var scale autoscalingv1.Scale
		if err := json.Unmarshal(e.RequestObject.Raw, &scale); err != nil {
			return nil, fmt.Errorf("read audit record: %w", err)
		}
		writes = append(writes, ScaleWrite{
			StatefulSet: e.ObjectRef.Name, Replicas: int(scale.Spec.Replicas), User: e.User.Username,
			Received: e.RequestReceivedTimestamp.Time,
			Accepted: e.ResponseStatus != nil && e.ResponseStatus.Code < http.StatusBadRequest,
			Unknown:  e.ResponseStatus == nil || e.ResponseStatus.Code >= http.StatusInternalServerError,
		})
	}
	return writes, nil
}

// Raw asks the API server for any path and query, as an administrator.
func (c *Cluster) Raw(ctx context.Context, path string) ([]byte, error) {
	return c.Kube.Discovery().RESTClient().Get().RequestURI(path).DoRaw(ctx)
}

// Metric reads a custom metric through the aggregation layer: one value per item, by the name of
// the described object. The resource is `pods/*`, `pods/NAME` or `statefulsets.apps/NAME`.
func (c *Cluster) Metric(ctx context.Context, resource, metric string) (map[string]float64, error) {
	raw, err := c.Raw(ctx, fmt.Sprintf("/apis/custom.metrics.k8s.io/v1beta2/namespaces/%s/%s/%s", c.space, resource, metric))
	var list v1beta2.MetricValueList
	if err == nil {
		err = json.Unmarshal(raw, &list)
	}
	if err != nil {
		return nil, fmt.Errorf("read metric %s of %s: %w", metric, resource, err)
	}
	values := make(map[string]float64, len(list.Items))
	for _, item := range list.Items {
		values[item.DescribedObject.Name] = item.Value.AsApproximateFloat64()
	}
	return values, nil
}

// REST calls a replica's REST API and decodes the answer into out, if any. token may be empty; with
// one it goes over TLS.
func (v *Server) REST(ctx context.Context, method, path, token string, in, out any) error {
	client, at := httpcall.Once, "http://"+v.Addr
	if token != "" && !(v.PlainTokens && strings.HasPrefix(path, "/v1/api/orchestrations/")) {
		var err error
		if client, err = v.TLSClient(ctx, ""); err != nil {
			return err
		}
		at = "https://" + v.Secure
	}
	if v.Checked != nil {
		client = &http.Client{Transport: v.Checked(client.Transport), CheckRedirect: client.CheckRedirect}
	}
	raw, err := httpcall.Do(ctx, client, method, at+path, token, in)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

// TLSClient is a client of a replica's secure port that checks its certificate. from is the local
// address that it calls from; empty: any.
func (v *Server) TLSClient(ctx context.Context, from string) (*http.Client, error) {
	bundle, err := v.bundle(ctx)
	if err != nil {
		return nil, err
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(bundle)
	dialer := &net.Dialer{}
	if from != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	return &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true, DialContext: dialer.DialContext,
			TLSClientConfig: &tls.Config{RootCAs: trusted, ServerName: v.serverName, MinVersion: tls.VersionTLS12},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// Audience is what tokens of the REST API are for.
const Audience = "shardscaler"

// Operator is the service account of an operator.
const Operator = "operator"

// OperatorToken returns the token of a service account, Operator, that may send POSTs, as a person's
// would.
func (c *Cluster) OperatorToken(ctx context.Context) (string, error) {
	_, err := c.control.Run(ctx, "--namespace", c.space, "create", "rolebinding", Operator,
		"--role=shardscaler-operator", "--serviceaccount="+c.space+":"+Operator)
	if err != nil && !strings.Contains(err.Error(), "already exists") {
		return "", err
	}
	return c.control.Token(ctx, c.space, Operator, Audience)
}

// ConfigureText writes any text into the ConfigMap.
func (c *Cluster) ConfigureText(ctx context.Context, text string) error {
	maps := c.Kube.CoreV1().ConfigMaps(c.space)
	m, err := maps.Get(ctx, configMapName, metav1.GetOptions{})
	if err == nil {
		m.Data[configKey] = text
		_, err = maps.Update(ctx, m, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("change ConfigMap: %w", err)
	}
	return nil
}

// WaitingDeletes is how many deletes of a kind wait for a person, as this replica shows it.
func (v *Server) WaitingDeletes(ctx context.Context, kind string) (int, error) {
	var shown struct{ Waiting struct{ Count int } }
	err := v.REST(ctx, http.MethodGet, "/v1/api/orchestrations/"+kind, "", nil, &shown)
	return shown.Waiting.Count, err
}

// Confirm confirms the deletes that a reconcile of a kind waits for, as a person would: it reads
// the number, and sends it back if it is the one expected.
func (s *Stack) Confirm(ctx context.Context, kind string, want int) error {
	leader, err := s.Leader(ctx)
	if err != nil {
		return err
	}
	shown, err := leader.WaitingDeletes(ctx, kind)
	if err != nil {
		return err
	}
	if shown != want {
		return fmt.Errorf("%d deletes wait for a person, want %d", shown, want)
	}
	token, err := s.OperatorToken(ctx)
	if err != nil {
		return err
	}
	return leader.REST(ctx, http.MethodPost, "/v1/api/orchestrations/"+kind+"/reconcile/confirm", token, map[string]int{"deletes": want}, nil)
}

// Leader is the replica that says that it leads, and that no other can.
func (s *Stack) Leader(ctx context.Context) (*Server, error) {
	var leaders []*Server
	for _, v := range s.Servers {
		if v.Running() && v.leads(ctx) {
			leaders = append(leaders, v)
		}
	}
	switch len(leaders) {
	case 0:
		return nil, errors.New("no replica leads")
	case 1:
		return leaders[0], nil
	}
	return nil, fmt.Errorf("%d replicas say that they lead", len(leaders))
}

// leads asks a replica, which may be frozen, whether it leads.
func (v *Server) leads(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	series, err := v.Text(ctx, "/metrics")
	return err == nil && strings.Contains(series, "\nshardscaler_leading 1\n")
}

// CABundle is what the API server is to trust for the metrics API.
func (s *Stack) CABundle(ctx context.Context) ([]byte, error) {
	if !s.SelfManagedCert {
		return s.Certs.CA, nil
	}
	secret, err := s.Kube.CoreV1().Secrets(s.Namespace).Get(ctx, "shardscaler-self-managed-cert", metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read the self-managed certificate: %w", err)
	}
	return secret.Data["ca.crt"], nil
}

// DirectConfig asks a replica's own port for metrics, past the API server, as an administrator
// whose certificate the replica checks as the API server would. The replica's certificate is
// checked too.
func (s *Stack) DirectConfig(ctx context.Context, v *Server) (*rest.Config, error) {
	bundle, err := s.CABundle(ctx)
	if err != nil {
		return nil, err
	}
	cfg, err := s.control.Config()
	if err != nil {
		return nil, err
	}
	cfg.Host = "https://" + v.Secure
	cfg.CAFile, cfg.CAData = "", bundle
	cfg.ServerName = s.serverName()
	return cfg, nil
}
