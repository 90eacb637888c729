package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/shardscaler/shardscaler/internal/kubectl/client"
)

// Cluster looks at the way through the API server: whether it answers, the APIServices, the
// Deployment and its version beside ours, and the caller's rights. It says whether the API server
// answers at all.
func (r *Report) Cluster(ctx context.Context, kube *client.Kube, namespace, ours string) bool {
	var server struct {
		GitVersion string `json:"gitVersion"`
	}
	if err := kube.Get(ctx, "/version", &server); err != nil && !apierrors.IsForbidden(err) && !apierrors.IsUnauthorized(err) {
		r.failed("API server", Critical, err, "check the cluster's address and your way there: kubectl cluster-info")
		return false
	}
	r.add("API server", OK, "", "it answers, %s", server.GitVersion)
	r.apiService(ctx, kube, client.Version+"."+client.Group, namespace, Critical)
	for _, name := range metricsAPIs {
		r.apiService(ctx, kube, name, "", Warning)
	}
	r.deployment(ctx, kube, namespace, ours)
	r.rights(ctx, kube, namespace)
	return true
}

// metricsAPIs are what HPAs ask; another provider may serve them.
var metricsAPIs = []string{"v1beta1.custom.metrics.k8s.io", "v1beta2.custom.metrics.k8s.io", "v1beta1.external.metrics.k8s.io"}

// apiService is what of an APIService counts here.
type apiService struct {
	Spec struct {
		Service *struct {
			Namespace string `json:"namespace"`
			Name      string `json:"name"`
		} `json:"service"`
	} `json:"spec"`
	Status struct {
		Conditions []struct {
			Type    string `json:"type"`
			Status  string `json:"status"`
			Reason  string `json:"reason"`
			Message string `json:"message"`
		} `json:"conditions"`
	} `json:"status"`
}

// apiService finds out whether requests of a group reach the server. One that is not of the
// namespace leads to another installation.
func (r *Report) apiService(ctx context.Context, kube *client.Kube, name, namespace string, status Status) {
	check := "APIService " + name
	var s apiService
	err := kube.Get(ctx, "/apis/apiregistration.k8s.io/v1/apiservices/"+name, &s)
	switch {
	case apierrors.IsNotFound(err):
		r.add(check, status, "kubectl apply -k manifests/cluster/base", "it does not exist")
		return
	case apierrors.IsForbidden(err):
		r.add(check, Unknown, "ask an administrator: kubectl get apiservice "+name, "you may not see it")
		return
	case err != nil:
		r.failed(check, Unknown, err, "")
		return
	case s.Spec.Service == nil:
		r.add(check, status, "kubectl apply -k manifests/cluster/base", "it leads to no Service")
		return
	}
	leads := s.Spec.Service.Namespace + "/" + s.Spec.Service.Name
	for _, c := range s.Status.Conditions {
		if c.Type == "Available" && c.Status == "True" {
			if namespace != "" && s.Spec.Service.Namespace != namespace {
				r.add(check, Warning, "name that namespace (-n "+s.Spec.Service.Namespace+"), or ask the server with --server URL",
					"it leads to Service %s, and not to namespace %s", leads, namespace)
				return
			}
			r.add(check, OK, "", "available, leads to Service %s", leads)
			return
		}
		if c.Type == "Available" {
			r.add(check, status, nextFor(c.Reason, s.Spec.Service.Namespace), "not available (%s): %s; it leads to Service %s", c.Reason, c.Message, leads)
			return
		}
	}
	r.add(check, Unknown, "wait some seconds and look again", "nothing is said yet of Service %s", leads)
}

// nextFor follows the reasons that the aggregator gives.
func nextFor(reason, namespace string) string {
	pods := fmt.Sprintf("kubectl get pods,endpointslices -n %s -l %s", namespace, client.Selector)
	switch reason {
	case "ServiceNotFound", "ServicePortError":
		return fmt.Sprintf("apply the installation's manifests again; kubectl get services -n %s", namespace)
	case "EndpointsNotFound", "MissingEndpoints":
		return "no pod is ready: " + pods
	case "FailedDiscoveryCheck":
		return "the API server cannot reach the pods, or does not trust their certificate (caBundle): " + pods
	}
	return pods
}

// deployment looks at the replicas of the server, and at its version beside ours.
func (r *Report) deployment(ctx context.Context, kube *client.Kube, namespace, ours string) {
	var list appsv1.DeploymentList
	err := kube.Get(ctx, "/apis/apps/v1/namespaces/"+namespace+"/deployments", &list)
	switch {
	case apierrors.IsForbidden(err):
		r.add("Deployment", Unknown, "ask an administrator: kubectl get deployments -n "+namespace, "you may not list Deployments in namespace %s", namespace)
		return
	case err != nil:
		r.failed("Deployment", Unknown, err, "")
		return
	}
	label, value, _ := strings.Cut(client.Selector, "=")
	found := false
	for _, d := range list.Items {
		if d.Labels[label] != value {
			continue
		}
		found = true
		want := int32(1)
		if d.Spec.Replicas != nil {
			want = *d.Spec.Replicas
		}
		next := fmt.Sprintf("kubectl describe deployment %s -n %s; kubectl logs deployment/%[1]s -n %[2]s", d.Name, namespace)
		switch ready := d.Status.ReadyReplicas; {
		case want == 0 || ready == 0:
			r.add("Deployment "+d.Name, Critical, next, "%d of %d replicas are ready", ready, want)
		case ready < want:
			r.add("Deployment "+d.Name, Warning, next, "%d of %d replicas are ready", ready, want)
		default:
			r.add("Deployment "+d.Name, OK, "", "%d of %d replicas are ready", ready, want)
		}
		for _, c := range d.Spec.Template.Spec.Containers {
			if c.Name == "shardscaler" {
				r.skew(c.Image, ours)
			}
		}
	}
	if !found {
		r.add(noDeployment, Info, "", "none of namespace %s has the label %s: the replicas are not run by one", namespace, client.Selector)
	}
}

// skew compares the server's version, by the tag of its image, with ours: the same minor version,
// or the one before or after, are known to understand each other.
func (r *Report) skew(image, ours string) {
	tag := ""
	if at := strings.LastIndex(image, ":"); at > strings.LastIndex(image, "/") {
		tag, _, _ = strings.Cut(image[at+1:], "@")
	}
	server, err := version.ParseSemantic(tag)
	own, other := version.ParseSemantic(ours)
	if errors.Join(err, other) != nil {
		r.add("version", Info, "", "the server's image is %s, the plugin is %s: they cannot be compared", image, ours)
		return
	}
	apart := int(server.Minor()) - int(own.Minor())
	if server.Major() != own.Major() || apart < -1 || apart > 1 {
		r.add("version", Warning, "kubectl krew upgrade shardscaler, or install the plugin of the server's version", "the server is %s, the plugin %s: more than one minor version apart", tag, ours)
		return
	}
	r.add("version", OK, "", "the server is %s, the plugin %s", tag, ours)
}

// right is one that a command of the plugin needs.
type right struct{ verb, resource, sub, commands string }

var needed = []right{
	{"list", "kinds", "", "status"},
	{"watch", "kinds", "", "top, status --watch"},
	{"get", "kinds", "", "status KIND"},
	{"get", "kinds", "instances", "status KIND, find"},
	{"get", "kinds", "resource", "find"},
	{"get", "kinds", "resources", "find --contains"},
	{"get", "kinds", "decision", "why"},
	{"get", "kinds", "config", "config"},
	{"get", "kinds", "history", "history"},
	{"get", "nodes", "", "find"},
	{"create", "kinds", "plans", "plan"},
	{"create", "kinds", "apply", "apply"},
	{"create", "kinds", "drains", "drain"},
	{"delete", "kinds", "drains", "undrain"},
	{"create", "kinds", "moves", "move"},
	{"create", "kinds", "pins", "pin"},
	{"delete", "kinds", "pins", "unpin"},
	{"update", "kinds", "size", "size"},
	{"delete", "kinds", "size", "size --end"},
	{"create", "kinds", "pause", "pause"},
	{"delete", "kinds", "pause", "resume"},
	{"create", "kinds", "rollback", "rollback"},
	{"create", "kinds", "confirm", "confirm"},
	{"create", "kinds", "reassign", "reassign"},
}

// rights asks what the caller may do. That some may not everything is as it should be.
func (r *Report) rights(ctx context.Context, kube *client.Kube, namespace string) {
	var lacks []string
	reads := true
	for _, n := range needed {
		review := &authorizationv1.SelfSubjectAccessReview{}
		review.APIVersion, review.Kind = "authorization.k8s.io/v1", "SelfSubjectAccessReview"
		review.Spec.ResourceAttributes = &authorizationv1.ResourceAttributes{
			Namespace: namespace, Verb: n.verb, Group: client.Group, Version: client.Version, Resource: n.resource, Subresource: n.sub,
		}
		if err := kube.Create(ctx, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review); err != nil {
			r.failed("rights", Unknown, err, "kubectl auth can-i --list -n "+namespace)
			return
		}
		if !review.Status.Allowed {
			resource := n.resource
			if n.sub != "" {
				resource += "/" + n.sub
			}
			lacks = append(lacks, fmt.Sprintf("%s %s (%s)", n.verb, resource, n.commands))
			reads = reads && n.verb != "list"
		}
	}
	const next = "bind a role of shardscaler to you: docs/operating.md, kubectl"
	switch {
	case len(lacks) == 0:
		r.add("rights", OK, "", "you may do all that the plugin can do in namespace %s", namespace)
	case !reads:
		r.add("rights", Warning, next, "in namespace %s you may not %s", namespace, strings.Join(lacks, ", "))
	default:
		r.add("rights", Info, next, "in namespace %s you may not %s", namespace, strings.Join(lacks, ", "))
	}
}
