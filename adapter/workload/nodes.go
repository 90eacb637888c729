package workload

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/shardscaler/shardscaler/adapter/informer"
)

// Nodes are followed only to tell a pod that cannot be reached from one that is not ready. What is
// not known of a node, because it may not be read or its watch is silent, holds nothing up: the
// node then counts as neither lost nor sound.

func (s *Source) prepareNodes() (err error) {
	kube := s.clients.Kube
	nodes := informer.Config{Example: &corev1.Node{}, Renew: s.cfg.Probe, Strip: strip}
	if s.nodes, err = informer.New(nodes, kube, kube.CoreV1().Nodes()); err != nil {
		return err
	}
	changed := s.changes.Handler()
	changed.UpdateFunc = func(old, is any) { // of every node every few minutes; what counts is rare
		if !unready(old.(*corev1.Node)).Equal(unready(is.(*corev1.Node))) {
			s.changes.Wake()
		}
	}
	_, err = s.nodes.AddEventHandler(changed)
	return err
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
