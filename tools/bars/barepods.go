package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
)

// barePodsLimit bounds how long it takes to make them.
const barePodsLimit = 10 * time.Minute

// bearPods lets a StatefulSet have n pods that are objects of the API server and nothing else: no
// scheduler places them, no kubelet runs them, and it is written that they are ready. Every other
// one is labelled half=a.
func bearPods(ctx context.Context, s *product.Stack, set string, n int) error {
	patch := fmt.Appendf(nil, `{"spec":{"replicas":%d,"template":{"spec":{"schedulerName":"nobody"}}}}`, n)
	_, err := s.Kube.AppsV1().StatefulSets(s.Namespace).Patch(ctx, set, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		return fmt.Errorf("let %s have %d pods: %w", set, n, err)
	}
	return product.Until(ctx, barePodsLimit, func(ctx context.Context) error {
		pods, err := s.Pods(ctx, set)
		if err != nil {
			return err
		}
		var all errgroup.Group
		all.SetLimit(8)
		for _, p := range pods {
			if p.Status.Phase != corev1.PodRunning {
				all.Go(func() error { return bear(ctx, s, &p) })
			}
		}
		if err := all.Wait(); err != nil {
			return err
		}
		if len(pods) != n {
			return fmt.Errorf("%d of %d pods are there", len(pods), n)
		}
		return nil
	})
}

// bear writes what a kubelet would.
func bear(ctx context.Context, s *product.Stack, p *corev1.Pod) error {
	pods := s.Kube.CoreV1().Pods(s.Namespace)
	ordinal, err := strconv.Atoi(p.Name[strings.LastIndexByte(p.Name, '-')+1:])
	if err != nil {
		return err
	}
	half := "a"
	if ordinal%2 == 1 {
		half = "b"
	}
	label := fmt.Appendf(nil, `{"metadata":{"labels":{%q:%q}}}`, halfLabel, half)
	if _, err := pods.Patch(ctx, p.Name, types.MergePatchType, label, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("label %s: %w", p.Name, err)
	}
	now := time.Now().UTC().Format(time.RFC3339)
	status := fmt.Appendf(nil, `{"status":{"phase":"Running","startTime":%[1]q,"conditions":[`+
		`{"type":"Ready","status":"True","lastTransitionTime":%[1]q}],`+
		`"containerStatuses":[{"name":"instance","image":"iota-dac","imageID":"iota-dac","ready":true,"started":true,`+
		`"restartCount":0,"state":{"running":{"startedAt":%[1]q}}}]}}`, now)
	if _, err := pods.Patch(ctx, p.Name, types.MergePatchType, status, metav1.PatchOptions{}, "status"); err != nil {
		return fmt.Errorf("have %s be ready: %w", p.Name, err)
	}
	return nil
}
