package app

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/record"
	apiregistration "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset/typed/apiregistration/v1"
	metricsclient "k8s.io/metrics/pkg/client/clientset/versioned"
)

// kube holds the clients of the Kubernetes API.
type kube struct {
	client      kubernetes.Interface
	metrics     metricsclient.Interface
	dynamic     dynamic.Interface // for our own types
	metadata    metadata.Interface
	apiServices apiregistration.APIServicesGetter
	recorder    record.EventRecorder
	broadcaster record.EventBroadcaster
	configMap   *corev1.ObjectReference
}

// Requests a second to the API server, and how many may come at once: a tick makes a few.
const (
	kubeQPS   = 50
	kubeBurst = 100
)

// Kubernetes is how the API server is reached.
func (o *Options) Kubernetes() (cfg *rest.Config, err error) {
	if o.Kubeconfig != "" {
		cfg, err = clientcmd.BuildConfigFromFlags("", o.Kubeconfig)
	} else {
		cfg, err = rest.InClusterConfig()
	}
	if err != nil {
		return nil, fmt.Errorf("read the way to Kubernetes: %w", err)
	}
	cfg.UserAgent = "shardscaler"
	cfg.QPS, cfg.Burst = kubeQPS, kubeBurst
	return cfg, nil
}

func newKube(o Options) (*kube, error) {
	cfg, err := o.Kubernetes()
	if err != nil {
		return nil, err
	}
	k := &kube{configMap: &corev1.ObjectReference{APIVersion: "v1", Kind: "ConfigMap", Namespace: o.Namespace, Name: o.ConfigMap}}
	if k.client, err = kubernetes.NewForConfig(cfg); err != nil {
		return nil, fmt.Errorf("make Kubernetes client: %w", err)
	}
	// What one client can be made of, the others can.
	k.metrics, k.dynamic = metricsclient.NewForConfigOrDie(cfg), dynamic.NewForConfigOrDie(cfg)
	k.metadata, k.apiServices = metadata.NewForConfigOrDie(cfg), apiregistration.NewForConfigOrDie(cfg)
	k.broadcaster = record.NewBroadcaster()
	if o.acts() {
		k.broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: k.client.CoreV1().Events(o.Namespace)})
	}
	k.recorder = k.broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "shardscaler", Host: o.PodName})
	return k, nil
}

func (k *kube) close() { k.broadcaster.Shutdown() }

// warn raises an event on the ConfigMap, also of an APIService: that is in no namespace, and only
// there could its events be.
func (k *kube) warn(reason, message string) {
	if k.configMap.Name != "" {
		k.recorder.Event(k.configMap, corev1.EventTypeWarning, reason, message)
	}
}
