package workload

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/shardscaler/shardscaler/adapter/informer"
	"github.com/shardscaler/shardscaler/internal/wake"
)

// Nodes are followed only to tell a pod that cannot be reached from one that is not ready. A node
// that may not be read, or whose watch is silent, holds nothing up: it is neither lost nor sound.

func nodeChanges(changed wake.Signal) cache.ResourceEventHandlerFuncs {
	events := informer.Waking(changed)
	events.UpdateFunc = func(old, is any) { // of every node every few minutes; what counts is rare
		if !unready(old.(*corev1.Node)).Equal(unready(is.(*corev1.Node))) {
			changed.Wake()
		}
	}
	return events
}

// nodeLost is since when the node is not Ready; zero: it is, or that is not known.
func (s *Source) nodeLost(name string) time.Time {
	if name == "" || time.Since(s.nodes.Heard()) > 2*s.cfg.Probe {
		return time.Time{}
	}
	obj, exists, err := s.nodes.GetStore().GetByKey(name)
	if err != nil || !exists { // a node that is gone takes its pods along: Kubernetes deletes them
		return time.Time{}
	}
	return unready(obj.(*corev1.Node))
}

// unready is since when the condition Ready is not True; zero: it is, or the node has not reported.
func unready(node *corev1.Node) time.Time {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status != corev1.ConditionTrue {
			return c.LastTransitionTime.Time
		}
	}
	return time.Time{}
}
