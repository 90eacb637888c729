package product

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
)

// Size is a StatefulSet's: wanted, existing and ready pods.
type Size struct {
	Spec, Status, Ready int
}

// Size reads a StatefulSet.
func (s *Stack) Size(ctx context.Context, statefulSet string) (Size, error) {
	set, err := s.Kube.AppsV1().StatefulSets(s.Namespace).Get(ctx, statefulSet, metav1.GetOptions{})
	if err != nil {
		return Size{}, fmt.Errorf("read StatefulSet: %w", err)
	}
	size := Size{Status: int(set.Status.Replicas), Ready: int(set.Status.ReadyReplicas)}
	if set.Spec.Replicas != nil {
		size.Spec = int(*set.Spec.Replicas)
	}
	return size, nil
}

// Pods reads the pods of a StatefulSet, by name.
func (s *Stack) Pods(ctx context.Context, statefulSet string) (map[string]corev1.Pod, error) {
	list, err := s.Kube.CoreV1().Pods(s.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=" + statefulSet})
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
	// Received is when the API server got the request: before it nobody can have acted on the new size.
	Received time.Time
	// Accepted: it was not refused. Unknown: whoever asked was gone before the answer, so that it may have been done or not.
	Accepted, Unknown bool
}

// ScaleWrites lists the writes of /scale in this namespace, in the order in which the API server got them.
func (s *Stack) ScaleWrites() ([]ScaleWrite, error) {
	events, err := s.Env.Kubernetes.Audit(s.Namespace)
	if err != nil {
		return nil, err
	}
	var writes []ScaleWrite
	for _, e := range events {
		if e.ObjectRef.Subresource != "scale" || e.ObjectRef.Resource != "statefulsets" || e.RequestObject == nil {
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

// PodDeletion is one deletion of a pod, as the API server recorded it.
type PodDeletion struct {
	Pod, User string
	Received  time.Time
}

// PodDeletions lists the accepted deletions of pods in this namespace.
func (s *Stack) PodDeletions() ([]PodDeletion, error) {
	events, err := s.Env.Kubernetes.Audit(s.Namespace)
	if err != nil {
		return nil, err
	}
	var found []PodDeletion
	for _, e := range events {
		if e.Verb == "delete" && e.ObjectRef.Resource == "pods" && e.ResponseStatus != nil && e.ResponseStatus.Code < http.StatusBadRequest {
			found = append(found, PodDeletion{Pod: e.ObjectRef.Name, User: e.User.Username, Received: e.RequestReceivedTimestamp.Time})
		}
	}
	return found, nil
}

// User is the product's name in the audit log.
func (s *Stack) User() string {
	return "system:serviceaccount:" + s.Namespace + ":" + serviceAccountName
}

// Events lists the reasons of the events in the namespace.
func (s *Stack) Events(ctx context.Context) ([]corev1.Event, error) {
	list, err := s.Kube.CoreV1().Events(s.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	return list.Items, nil
}

// Raw asks the API server for any path and query, as an administrator.
func (s *Stack) Raw(ctx context.Context, path string) ([]byte, error) {
	return s.Kube.Discovery().RESTClient().Get().RequestURI(path).DoRaw(ctx)
}

// Metric reads a custom metric through the aggregation layer: one value per item, by the name of the described object. The
// resource is `pods/*`, `pods/NAME` or `statefulsets.apps/NAME`.
func (s *Stack) Metric(ctx context.Context, resource, metric string) (map[string]float64, error) {
	raw, err := s.Raw(ctx, fmt.Sprintf("/apis/custom.metrics.k8s.io/v1beta2/namespaces/%s/%s/%s", s.Namespace, resource, metric))
	if err != nil {
		return nil, fmt.Errorf("read metric %s of %s: %w", metric, resource, err)
	}
	var list v1beta2.MetricValueList
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("read metric %s of %s: %w", metric, resource, err)
	}
	values := make(map[string]float64, len(list.Items))
	for _, item := range list.Items {
		values[item.DescribedObject.Name] = item.Value.AsApproximateFloat64()
	}
	return values, nil
}

// MetricOf reads the metric of one object.
func (s *Stack) MetricOf(ctx context.Context, resource, metric string) (float64, error) {
	values, err := s.Metric(ctx, resource, metric)
	if err != nil {
		return 0, err
	}
	_, name, _ := strings.Cut(resource, "/")
	value, ok := values[name]
	if !ok {
		return 0, fmt.Errorf("read metric %s of %s: no item among %d", metric, resource, len(values))
	}
	return value, nil
}

// StatusError is an HTTP answer that is an error.
type StatusError struct {
	Code int
	Body string
}

func (e *StatusError) Error() string { return fmt.Sprintf("HTTP %d: %s", e.Code, e.Body) }

// REST calls a replica's REST API and decodes the answer into out (nil: not wanted). The token may be empty.
func (v *Server) REST(ctx context.Context, method, path, token string, in, out any) error {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(raw)
	}
	raw, err := call(ctx, method, "http://"+v.Addr+path, token, body)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

func call(ctx context.Context, method, url, token string, body io.Reader) ([]byte, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // leaves nothing behind
	return callWith(ctx, client, method, url, token, body)
}

func callWith(ctx context.Context, client *http.Client, method, url, token string, body io.Reader) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, url, err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return raw, &StatusError{resp.StatusCode, strings.TrimSpace(string(raw))}
	}
	return raw, nil
}

// OperatorToken returns the token of a service account that may send POSTs, as a person's would.
func (s *Stack) OperatorToken(ctx context.Context) (string, error) {
	const name = "operator"
	if err := s.Env.Kubernetes.ServiceAccountKubeconfig(ctx, s.Namespace, name, s.Dir+"/operator.kubeconfig"); err != nil {
		return "", err
	}
	_, err := s.Env.Kubernetes.Run(ctx, "--namespace", s.Namespace, "create", "rolebinding", name,
		"--role=shardscaler-operator", "--serviceaccount="+s.Namespace+":"+name)
	if err != nil && !strings.Contains(err.Error(), "already exists") {
		return "", err
	}
	token, err := s.Env.Kubernetes.Run(ctx, "--namespace", s.Namespace, "create", "token", name)
	return strings.TrimSpace(token), err
}

// Confirm confirms the deletes that a reconcile of a kind waits for, as a person would: it looks at the number, and sends it
// back if it is the one expected.
func (s *Stack) Confirm(ctx context.Context, kind string, want int) error {
	leader, err := s.Leader(ctx)
	if err != nil {
		return err
	}
	var shown struct {
		Waiting *struct{ Count int }
	}
	if err := leader.REST(ctx, http.MethodGet, "/v1/api/orchestrations/"+kind, "", nil, &shown); err != nil {
		return err
	}
	if shown.Waiting == nil || shown.Waiting.Count != want {
		return fmt.Errorf("waiting for a person: %+v, want %d", shown.Waiting, want)
	}
	token, err := s.OperatorToken(ctx)
	if err != nil {
		return err
	}
	return leader.REST(ctx, http.MethodPost, "/v1/api/orchestrations/"+kind+"/reconcile/confirm", token, map[string]int{"deletes": want}, nil)
}

var errNoLeader = errors.New("no replica leads")

// Leader is the replica that holds the Lease.
func (s *Stack) Leader(ctx context.Context) (*Server, error) {
	lease, err := s.Kube.CoordinationV1().Leases(s.Namespace).Get(ctx, "shardscaler", metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read Lease: %w", err)
	}
	if lease.Spec.HolderIdentity != nil {
		for _, v := range s.Servers {
			if strings.HasPrefix(*lease.Spec.HolderIdentity, v.Name+"@") && v.Running() {
				return v, nil
			}
		}
	}
	return nil, errNoLeader
}
