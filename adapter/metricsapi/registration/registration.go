// Package registration looks after the APIService objects through which a cluster finds its
// provider of custom metrics, and the API for operators. A cluster has one provider: the Service
// that is named there answers every HPA.
//
// In: the objects, read by name. Out: what is wrong with them, for people, and, where that is
// asked for, a patch that keeps caBundle current. Invariant: an object that leads to another
// provider is left alone unless taking it over was asked for; nothing else is read or written.
package registration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	apiregistration "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset/typed/apiregistration/v1"

	"github.com/shardscaler/shardscaler/adapter/informer"
	"github.com/shardscaler/shardscaler/internal/meter"
)

// Names are those of the objects.
var Names = []string{"v1beta1.custom.metrics.k8s.io", "v1beta2.custom.metrics.k8s.io", "v1beta1.external.metrics.k8s.io", operators}

// operators is the object of the API for operators; the others are of metrics.
const operators = "v1.ops.shardscaler.io"

// Config says where the objects are to lead.
type Config struct {
	// Namespace and Service are where we answer; Port is set only where an object is taken over.
	Namespace, Service string
	Port               int32
	// Bundle returns the CAs that the API server is to trust, as PEM; nil: caBundle is not ours.
	Bundle func() []byte
	// TakeOver changes objects that lead to another provider.
	TakeOver bool
	// ReadOnly: objects are looked at, and what should change is a fault.
	ReadOnly bool
}

// Watcher looks at the objects.
type Watcher struct {
	cfg    Config
	api    apiregistration.APIServiceInterface
	log    *slog.Logger
	report func(fault string)
	ours   *prometheus.GaugeVec
	writes prometheus.Counter

	mu     sync.Mutex
	faults map[string]string // by object; empty: none
}

// New returns a Watcher; report is called with every fault when it is new.
func New(cfg Config, api apiregistration.APIServicesGetter, report func(fault string), log *slog.Logger, reg prometheus.Registerer) *Watcher {
	in := meter.In(reg)
	return &Watcher{
		cfg: cfg, api: api.APIServices(), report: report, log: log, faults: map[string]string{},
		ours: in.Gauges("shardscaler_apiservice_ours",
			"1 if an APIService leads here, 0 if it leads to another provider or does not exist; no series while it cannot be read.", "apiservice"),
		writes: in.Counter("shardscaler_apiservice_patches_total", "Changes made to APIServices: caBundle kept current, or taken over."),
	}
}

// Watches call changed whenever one of the objects may have changed.
func (w *Watcher) Watches(changed func()) (all []*informer.Informer) {
	for _, name := range Names {
		cfg := informer.Config{Renew: informer.QuietRenew, Name: name, Changed: informer.Calling(changed)}
		all = append(all, informer.New(cfg, &apiregistrationv1.APIService{}, w.api, w.api))
	}
	return all
}

const requestTimeout = 10 * time.Second

// Sync looks at each object once. Fault has what is wrong, the error what could not be read.
func (w *Watcher) Sync(ctx context.Context) error {
	var errs []error
	for _, name := range Names {
		if err := w.sync(ctx, name); err != nil {
			w.ours.DeleteLabelValues(name)
			errs = append(errs, fmt.Errorf("look after APIService %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

func (w *Watcher) sync(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	object, err := w.api.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		missing := "it does not exist, so no HPA finds our metrics"
		if name == operators {
			missing = "it does not exist, so kubectl does not find our kinds"
		}
		w.found(name, false, missing)
		return nil
	}
	if err != nil {
		return err
	}
	leads := w.leadsHere(object)
	if !leads && !w.cfg.TakeOver {
		w.found(name, false, "it leads to another provider: "+target(object))
		return nil
	}
	patch := w.patch(object, leads)
	if patch != nil && w.cfg.ReadOnly {
		w.found(name, false, "it should be changed, and the mode of this process writes nothing; it leads to "+target(object))
		return nil
	}
	if patch != nil {
		if _, err := w.api.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "shardscaler"}); err != nil {
			return err
		}
		w.writes.Inc()
		w.log.Info("APIService changed", "apiservice", name, "taken_over", !leads, "led_to", target(object))
	}
	w.found(name, true, "")
	return nil
}

func (w *Watcher) leadsHere(o *apiregistrationv1.APIService) bool {
	to := o.Spec.Service
	return to != nil && to.Namespace == w.cfg.Namespace && to.Name == w.cfg.Service
}

func target(o *apiregistrationv1.APIService) string {
	if o.Spec.Service == nil {
		return "the API server itself"
	}
	return "Service " + o.Spec.Service.Namespace + "/" + o.Spec.Service.Name
}

// patch is what must change; nil: nothing. It names the version that was read, so that it never
// undoes what another client has just done.
func (w *Watcher) patch(o *apiregistrationv1.APIService, leads bool) []byte {
	var bundle []byte
	if w.cfg.Bundle != nil {
		bundle = w.cfg.Bundle()
	}
	spec := map[string]any{}
	if bundle != nil && (!bytes.Equal(o.Spec.CABundle, bundle) || o.Spec.InsecureSkipTLSVerify) {
		spec["caBundle"], spec["insecureSkipTLSVerify"] = bundle, false
	}
	if !leads {
		spec["service"] = map[string]any{"namespace": w.cfg.Namespace, "name": w.cfg.Service, "port": w.cfg.Port}
	}
	if len(spec) == 0 {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"resourceVersion": o.ResourceVersion}, "spec": spec})
	if err != nil {
		panic(err) // maps of text, numbers and bytes
	}
	return patch
}

// found notes an object's state and reports a fault that is new.
func (w *Watcher) found(name string, ours bool, fault string) {
	value := 0.0
	if ours {
		value = 1
	}
	w.ours.WithLabelValues(name).Set(value)
	w.mu.Lock()
	before := w.faults[name]
	w.faults[name] = fault
	w.mu.Unlock()
	switch fault {
	case before:
	case "":
		w.log.Info("APIService leads here again", "apiservice", name)
	default:
		w.log.Warn("APIService does not lead here", "apiservice", name, "error", fault)
		w.report("APIService " + name + ": " + fault)
	}
}

// Fault is what is wrong with the objects, in one line; empty: nothing that is known of.
func (w *Watcher) Fault() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var faults []string
	for _, name := range Names {
		if fault := w.faults[name]; fault != "" {
			faults = append(faults, name+": "+fault)
		}
	}
	return strings.Join(faults, "; ")
}
