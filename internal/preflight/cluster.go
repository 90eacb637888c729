package preflight

import (
	"context"
	"fmt"
	"os"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	apiregistration "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset/typed/apiregistration/v1"

	"github.com/shardscaler/shardscaler/adapter/metricsapi/registration"
	"github.com/shardscaler/shardscaler/internal/app"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/kubectl/doctor"
)

// cluster finds the API server and the configuration, which other checks need.
func (l *look) cluster(ctx context.Context, f *findings) {
	ctx, cancel := context.WithTimeout(ctx, l.Patience)
	defer cancel()
	const check = "API server"
	cfg, err := l.Kubernetes()
	if err != nil {
		f.add(check, doctor.Critical, "run it in a pod with a service account, or name a file with --kubeconfig", "%v", err)
	} else if kube, err := kubernetes.NewForConfig(cfg); err != nil {
		f.add(check, doctor.Critical, "correct the file of --kubeconfig", "%v", err)
	} else if version, err := kube.Discovery().ServerVersion(); err != nil {
		f.add(check, doctor.Critical, "check its address and the way there: kubectl cluster-info", "it does not answer: %v", err)
	} else {
		f.add(check, doctor.OK, "", "it answers, %s", version.GitVersion)
		l.rest, l.kube, l.apiServices = cfg, kube, apiregistration.NewForConfigOrDie(cfg)
	}
	l.configuration(ctx, f)
}

// configuration reads what operators tune.
func (l *look) configuration(ctx context.Context, f *findings) {
	const check = "configuration"
	text, err := l.text(ctx)
	switch {
	case apierrors.IsNotFound(err):
		f.add(check, doctor.Critical, "install it: helm upgrade --install, or kubectl apply -k, makes the ConfigMap", "configmap %s/%s does not exist", l.Namespace, l.ConfigMap)
		return
	case err != nil:
		f.add(check, doctor.Unknown, "make it readable; the rights are below", "it cannot be read: %v", err)
		return
	}
	tuning, err := config.Parse(text)
	if err != nil {
		f.add(check, doctor.Critical, "correct it; `shardscaler check-config FILE` says the same", "%v", err)
		return
	}
	l.tuning = tuning
	f.add(check, doctor.OK, "", "it is valid; kinds: %d", len(tuning.Kinds))
}

func (l *look) text(ctx context.Context) ([]byte, error) {
	if l.ConfigFile != "" {
		return os.ReadFile(l.ConfigFile)
	}
	if l.kube == nil {
		return nil, fmt.Errorf("configmap %s/%s: the API server cannot be asked", l.Namespace, l.ConfigMap)
	}
	list, err := l.kube.CoreV1().ConfigMaps(l.Namespace).List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + l.ConfigMap})
	if err != nil {
		return nil, err
	}
	if len(list.Items) == 0 {
		return nil, apierrors.NewNotFound(metav1.SchemeGroupVersion.WithResource("configmaps").GroupResource(), l.ConfigMap)
	}
	return []byte(list.Items[0].Data[app.ConfigKey]), nil
}

// workloads looks for the StatefulSets.
func (l *look) workloads(ctx context.Context, f *findings) {
	for _, k := range l.kinds() {
		check := "kind " + k.Name + ": StatefulSet"
		set, err := l.kube.AppsV1().StatefulSets(l.Namespace).Get(ctx, k.StatefulSet, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			f.add(check, doctor.Warning, "make it, or correct statefulSet of the kind; until then nothing is decided for it", "%s/%s does not exist", l.Namespace, k.StatefulSet)
		case err != nil:
			f.add(check, doctor.Unknown, "see the rights below", "%v", err)
		case set.Spec.UpdateStrategy.Type == "OnDelete":
			f.add(check, doctor.OK, "", "%s/%s, strategy OnDelete: pods are replaced when they are deleted", l.Namespace, k.StatefulSet)
		default:
			f.add(check, doctor.OK, "", "%s/%s, replicas: %d", l.Namespace, k.StatefulSet, *set.Spec.Replicas)
		}
	}
	l.groups(f)
}

// groups looks for the type of InstanceGroups, where a kind follows one.
func (l *look) groups(f *findings) {
	if !slices.ContainsFunc(l.kinds(), func(k config.Kind) bool { return k.Replicas.Owner == config.OwnerGroup }) {
		return
	}
	const check = "InstanceGroup"
	if _, err := l.kube.Discovery().ServerResourcesForGroupVersion("shardscaler.io/v1alpha1"); err != nil {
		f.add(check, doctor.Critical, "kubectl apply -k manifests/cluster/base, or the chart's value cluster.definition", "a kind has replicas.owner group, and the type is not served: %v", err)
		return
	}
	f.add(check, doctor.OK, "", "the type is served")
}

// metrics looks for metrics-server, or what stands in for it, where a kind has targets for CPU or
// memory.
func (l *look) metrics(ctx context.Context, f *findings) {
	const check, name = "pod metrics", "v1beta1.metrics.k8s.io"
	needed := slices.ContainsFunc(l.kinds(), func(k config.Kind) bool { return k.CPU != nil || k.Memory != nil })
	service, fault, err := l.leadsTo(ctx, name)
	switch {
	case !needed && (err != nil || fault != ""):
		f.add(check, doctor.Info, "", "no kind has a target for CPU or memory, and there are none")
	case apierrors.IsNotFound(err):
		f.add(check, doctor.Critical, "install metrics-server, or take cpu and memory out of the configuration", "APIService %s does not exist, and a kind has a target for CPU or memory", name)
	case err != nil:
		f.add(check, doctor.Unknown, "ask an administrator: kubectl get apiservice "+name, "%v", err)
	case fault != "":
		f.add(check, doctor.Critical, "look at its pods: kubectl describe apiservice "+name, "%s", fault)
	default:
		f.add(check, doctor.OK, "", "served by %s", service)
	}
}

// leadsTo is the Service of an APIService, and why it is not available; "": it is.
func (l *look) leadsTo(ctx context.Context, name string) (service, fault string, err error) {
	s, err := l.apiServices.APIServices().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", "", err
	}
	service = "the API server itself"
	if to := s.Spec.Service; to != nil {
		service = to.Namespace + "/" + to.Name
	}
	for _, c := range s.Status.Conditions {
		if c.Type == apiregistrationv1.Available && c.Status != apiregistrationv1.ConditionTrue {
			fault = fmt.Sprintf("APIService %s leads to %s, which is not available (%s): %s", name, service, c.Reason, c.Message)
		}
	}
	return service, fault, nil
}

// registrations looks whom the APIServices lead to that are to lead here.
func (l *look) registrations(ctx context.Context, f *findings) {
	if l.SecurePort == 0 {
		return
	}
	ours := l.Namespace + "/" + l.MetricsService
	for _, name := range registration.Names {
		check := "APIService " + name
		switch service, _, err := l.leadsTo(ctx, name); {
		case apierrors.IsNotFound(err):
			f.add(check, doctor.Warning, "kubectl apply -k manifests/cluster/base, or the chart's value cluster.apiServices", "it does not exist: no HPA and no kubectl finds what is served")
		case err != nil:
			f.add(check, doctor.Unknown, "ask an administrator: kubectl get apiservice "+name, "%v", err)
		case service != ours && l.TakeOverAPIServices:
			f.add(check, doctor.Info, "", "it leads to %s, and will lead to %s", service, ours)
		case service != ours:
			f.add(check, doctor.Warning, "a cluster has one provider: remove that one, or run with --take-over-apiservices and --tls-self-managed",
				"it leads to another provider: %s, not %s", service, ours)
		default:
			f.add(check, doctor.OK, "", "it leads to %s", service)
		}
	}
}
