package workload

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/shardscaler/shardscaler/adapter/informer"
	"github.com/shardscaler/shardscaler/adapter/observed"
)

// Nodes are followed only to tell a pod that cannot be reached from one that is not ready. A node
// that may not be read, or whose watch is silent, holds nothing up: it is neither lost nor sound.
// Kubernetes takes Ready from the pods of a node as it takes it from the node: while all pods are
// ready no node is asked for.

func (s *Source) nodeChanges() cache.ResourceEventHandlerFuncs {
	note := func(any) {
		s.moved.all()
		s.changed.Wake()
	}
	return cache.ResourceEventHandlerFuncs{AddFunc: note, DeleteFunc: note, UpdateFunc: func(old, is any) {
		// of every node every few minutes; what counts is rare
		if !unready(old.(*corev1.Node)).Equal(unready(is.(*corev1.Node))) {
			note(is)
		}
	}}
}

// nodesKnown says whether what is known of the nodes is young enough to be told.
func (s *Source) nodesKnown() bool { return time.Since(s.nodes.Heard()) <= informer.Limit(s.cfg.Renew) }

// askForNodes has the API server tell of the nodes anew, unless it has just done so.
func (s *Source) askForNodes() {
	now := time.Now()
	if now.Sub(s.nodes.Heard()) > s.cfg.Renew && now.Sub(s.nodesAsked) > s.cfg.Renew {
		s.nodesAsked = now
		s.nodes.Reopen()
	}
}

// unwell says whether it counts which nodes are lost.
func unwell(c *observed.Cluster) bool {
	for _, p := range c.Pods {
		if p.Node != "" && !p.Ready || !p.NodeLost.IsZero() {
			return true
		}
	}
	return false
}

// nodeLost is since when the node is not Ready; zero: it is, or that is not known.
func (s *Source) nodeLost(name string) time.Time {
	if name == "" || !s.nodesKnown() {
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
