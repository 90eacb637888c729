package metricsapi

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/metrics/pkg/apis/custom_metrics"
	"k8s.io/metrics/pkg/apis/external_metrics"
	metricsprovider "sigs.k8s.io/custom-metrics-apiserver/pkg/provider"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/adapter/v1alpha1"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/fault"
)

// Labels of a series, for metric selectors and external metrics.
const (
	labelNamespace   = "namespace"
	labelKind        = "kind"
	labelStatefulSet = "statefulset"
)

// provider answers reads from a View.
type provider struct {
	view    func() View
	metrics *metrics
	// selected is shared by all requests.
	selected selected
}

// query is what a read of custom metrics asks for.
type query struct {
	row       metric
	namespace string          // all: ""
	name      string          // all: ""
	objects   labels.Selector // picks by the objects' labels
	series    labels.Selector // picks by the labels of the series
	selected  *selected
}

// described is one object that may have a value.
type described struct {
	ref     custom_metrics.ObjectReference
	subject subject
}

// GetMetricByName reads one object. What is not known is a 404 that says why.
func (p *provider) GetMetricByName(_ context.Context, name types.NamespacedName, info metricsprovider.CustomMetricInfo,
	metricSelector labels.Selector,
) (*custom_metrics.MetricValue, error) {
	fault.Point("metrics.one")
	row, ok := lookup(info.GroupResource, info.Metric)
	if !ok {
		return nil, p.unknownMetric(apiCustom, info.String())
	}
	q := query{row: row, namespace: name.Namespace, name: name.Name, objects: labels.Everything(), series: metricSelector, selected: &p.selected}
	for d := range p.objects(q) {
		got, err := row.read(d.subject)
		if err != nil {
			return nil, p.notKnown(apiCustom, row, name.String(), err)
		}
		fault.Point("metrics.one-read")
		p.metrics.reads.WithLabelValues(apiCustom, row.name, resultServed).Inc()
		value := customValue(row, d, got, asWritten(metricSelector))
		return &value, nil
	}
	return nil, p.notKnown(apiCustom, row, name.String(), fmt.Errorf("%w: it belongs to no kind", observed.ErrUnknown))
}

// GetMetricBySelector reads all objects that match, without those whose value is not known: an HPA
// counts them as missing. None left is an error: an empty list reads as "nothing is running".
func (p *provider) GetMetricBySelector(ctx context.Context, namespace string, selector labels.Selector,
	info metricsprovider.CustomMetricInfo, metricSelector labels.Selector,
) (*custom_metrics.MetricValueList, error) {
	fault.Point("metrics.many")
	row, ok := lookup(info.GroupResource, info.Metric)
	if !ok {
		return nil, p.unknownMetric(apiCustom, info.String())
	}
	list, written := &custom_metrics.MetricValueList{Items: room(ctx)}, asWritten(metricSelector)
	var reasons []error
	for d := range p.objects(query{row: row, namespace: namespace, objects: selector, series: metricSelector, selected: &p.selected}) {
		got, err := row.read(d.subject)
		if err != nil {
			reasons = append(reasons, err)
			continue
		}
		list.Items = append(list.Items, customValue(row, d, got, written))
	}
	keep(ctx, list.Items)
	fault.Point("metrics.many-read")
	if len(list.Items) == 0 {
		return nil, p.notKnown(apiCustom, row, fmt.Sprintf("any in %s matching %q", namespace, selector), reasons...)
	}
	p.metrics.reads.WithLabelValues(apiCustom, row.name, resultServed).Inc()
	return list, nil
}

// ListAllMetrics is what discovery shows.
func (p *provider) ListAllMetrics() []metricsprovider.CustomMetricInfo {
	infos := make([]metricsprovider.CustomMetricInfo, 0, len(table))
	for _, row := range table {
		for _, object := range row.objects() {
			infos = append(infos, metricsprovider.CustomMetricInfo{GroupResource: object, Namespaced: true, Metric: row.name})
		}
	}
	return infos
}

// GetExternalMetric reads a metric of every kind of the namespace whose labels match. An HPA adds
// the items up: a kind that is not known spoils the sum, and what does not add up matches one kind.
func (p *provider) GetExternalMetric(_ context.Context, namespace string, metricSelector labels.Selector,
	info metricsprovider.ExternalMetricInfo,
) (*external_metrics.ExternalMetricValueList, error) {
	fault.Point("metrics.external")
	row, ok := lookup(statefulSets, info.Metric)
	if !ok || !row.external {
		return nil, p.unknownMetric(apiExternal, info.Metric)
	}
	kinds := p.kinds(namespace, metricSelector)
	if len(kinds) > 1 && !row.additive {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("metric %s does not add up over kinds: selector %q matches %d kinds, want 1; select by %s",
			row.name, metricSelector, len(kinds), labelKind))
	}
	if len(kinds) == 0 {
		return nil, p.notKnown(apiExternal, row, fmt.Sprintf("any kind of namespace %s matching %q", namespace, metricSelector))
	}
	list := &external_metrics.ExternalMetricValueList{}
	for _, s := range kinds {
		got, err := row.read(s)
		if err != nil {
			return nil, p.notKnown(apiExternal, row, "kind "+s.kind.Name, err)
		}
		list.Items = append(list.Items, external_metrics.ExternalMetricValue{
			MetricName:    row.name,
			MetricLabels:  seriesLabels(s.kind, s.config),
			Timestamp:     metav1.NewTime(got.at),
			WindowSeconds: got.seconds(),
			Value:         got.value,
		})
	}
	fault.Point("metrics.external-read")
	p.metrics.reads.WithLabelValues(apiExternal, row.name, resultServed).Inc()
	return list, nil
}

// ListAllExternalMetrics is what discovery shows.
func (p *provider) ListAllExternalMetrics() []metricsprovider.ExternalMetricInfo {
	var infos []metricsprovider.ExternalMetricInfo
	for _, row := range table {
		if row.external {
			infos = append(infos, metricsprovider.ExternalMetricInfo{Metric: row.name})
		}
	}
	return infos
}

// kinds are those of namespace, as rights to read are (all: ""), whose series match.
func (p *provider) kinds(namespace string, series labels.Selector) []subject {
	view := p.view()
	var found []subject
	for i := range view.Snapshot.Kinds {
		kind := &view.Snapshot.Kinds[i]
		if namespace != metav1.NamespaceAll && kind.Namespace != namespace {
			continue
		}
		cfg := view.Configured(i)
		if cfg == nil || !series.Empty() && !series.Matches(seriesLabels(kind, cfg)) {
			continue
		}
		found = append(found, subject{now: view.Snapshot.At, kind: kind, config: cfg, recommended: view.Recommended[kind.Name]})
	}
	return found
}

// visitors yield the objects of one kind.
var visitors = map[schema.GroupResource]func(query, subject, func(*described) bool) bool{
	pods: visitPods, statefulSets: visitStatefulSet, groups: visitGroup,
}

// objects yields what a query asks for; what is yielded is good until the next one.
func (p *provider) objects(q query) iter.Seq[*described] {
	return func(yield func(*described) bool) {
		for _, s := range p.kinds(q.namespace, q.series) {
			if !visitors[q.row.object](q, s, yield) {
				return
			}
		}
	}
}

func visitStatefulSet(q query, s subject, yield func(*described) bool) bool {
	if q.name != "" && q.name != s.config.StatefulSet {
		return true
	}
	d := described{subject: s, ref: custom_metrics.ObjectReference{
		APIVersion: "apps/v1", Kind: "StatefulSet", Namespace: s.kind.Namespace, Name: s.config.StatefulSet,
	}}
	var set labels.Set
	if w := s.kind.Workload; w != nil {
		set, d.ref.UID = w.Labels, types.UID(w.UID)
	}
	return !q.objects.Matches(set) || yield(&d)
}

// visitGroup yields the InstanceGroup that counts for the kind's StatefulSet, if there is one.
func visitGroup(q query, s subject, yield func(*described) bool) bool {
	g := s.kind.GroupFor(s.config.StatefulSet)
	if g == nil || q.name != "" && q.name != g.Name || !q.objects.Matches(labels.Set(g.Labels)) {
		return true
	}
	return yield(&described{subject: s, ref: custom_metrics.ObjectReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: v1alpha1.Kind, Namespace: s.kind.Namespace, Name: g.Name, UID: types.UID(g.UID),
	}})
}

func visitPods(q query, s subject, yield func(*described) bool) bool {
	d := described{subject: s, ref: custom_metrics.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: s.kind.Namespace}}
	var picked []bool // nil: all
	if !q.objects.Empty() {
		picked = q.selected.of(s.kind, q.objects)
	}
	for i := range s.kind.Instances {
		inst := &s.kind.Instances[i]
		pod := inst.Pod
		if pod == nil || q.name != "" && q.name != pod.Name || picked != nil && !picked[i] {
			continue
		}
		d.subject.instance, d.ref.Name, d.ref.UID = inst, pod.Name, types.UID(pod.UID)
		if !yield(&d) {
			return false
		}
	}
	return true
}

func seriesLabels(kind *observed.Kind, cfg *config.Kind) labels.Set {
	return labels.Set{labelNamespace: kind.Namespace, labelKind: kind.Name, labelStatefulSet: cfg.StatefulSet}
}

func customValue(row metric, d *described, got reading, series *metav1.LabelSelector) custom_metrics.MetricValue {
	return custom_metrics.MetricValue{
		DescribedObject: d.ref,
		Metric:          custom_metrics.MetricIdentifier{Name: row.name, Selector: series},
		Timestamp:       metav1.NewTime(got.at),
		WindowSeconds:   got.seconds(),
		Value:           got.value,
	}
}

// asWritten is the selector of series as answers repeat it. It came as such text: nothing is lost.
func asWritten(series labels.Selector) *metav1.LabelSelector {
	if series.Empty() {
		return nil
	}
	selector, _ := metav1.ParseToLabelSelector(series.String())
	return selector
}

// seconds is the window as the APIs have it; nil: a value of one moment.
func (r reading) seconds() *int64 {
	if r.window == 0 {
		return nil
	}
	seconds := int64(r.window.Seconds())
	return &seconds
}

func (p *provider) unknownMetric(api, name string) error {
	p.metrics.reads.WithLabelValues(api, "", resultNoMetric).Inc()
	return notFound(fmt.Sprintf("there is no metric %s; the resource list of this API names those that exist", name))
}

// notKnown is the error for a value that is not known, for one or more reasons.
func (p *provider) notKnown(api string, row metric, of string, reasons ...error) error {
	result := resultUnknown
	if len(reasons) > 0 && errors.Is(reasons[0], observed.ErrTooOld) {
		result = resultStale
	}
	p.metrics.reads.WithLabelValues(api, row.name, result).Inc()
	return notFound(fmt.Sprintf("metric %s of %s %s: %s", row.name, row.object, of, summarize(reasons)))
}

// maxReasons bounds an error's text: the reasons of a hundred pods are mostly one.
const maxReasons = 3

// summarize joins the first few distinct reasons.
func summarize(reasons []error) string {
	if len(reasons) == 0 {
		return "nothing matches that runs resources of a kind"
	}
	var texts []string
	for _, err := range reasons {
		if text := err.Error(); !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	if more := len(texts) - maxReasons; more > 0 {
		texts = append(texts[:maxReasons], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(texts, "; ")
}

func notFound(message string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound, Message: message,
	}}
}
