package workload

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	helpers "k8s.io/component-helpers/resource"
)

// Requests is what pod p requests of one resource by its spec, as the HPA of Kubernetes 1.37
// computes it. A pod that requests anything for itself counts with that, with its overhead and with
// its init containers, and its containers need no request. Any other pod counts with the sum over
// its containers; missing names those without a request, for which there is no such sum.
//
// The tests of scaler/decide/hpa run the HPA's own cases against Requests.
func Requests(p *corev1.Pod, name corev1.ResourceName) (sum resource.Quantity, missing []string) {
	if helpers.IsPodLevelRequestsSet(p) {
		if total, ok := helpers.PodRequests(p, helpers.PodResourcesOptions{})[name]; ok {
			return total, nil
		}
	}
	for _, c := range lasting(p) {
		if request, ok := c.Resources.Requests[name]; ok {
			sum.Add(request)
		} else {
			missing = append(missing, c.Name)
		}
	}
	return sum, missing
}

// lasting are the containers that run as long as the pod: all but the init containers that end.
func lasting(p *corev1.Pod) []*corev1.Container {
	all := make([]*corev1.Container, 0, len(p.Spec.Containers)+len(p.Spec.InitContainers))
	for i := range p.Spec.Containers {
		all = append(all, &p.Spec.Containers[i])
	}
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			all = append(all, c)
		}
	}
	return all
}
