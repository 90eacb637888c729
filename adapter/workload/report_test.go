package workload

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/shardscaler/shardscaler/adapter/informer"
	"github.com/shardscaler/shardscaler/internal/wake"
)

// A pod that is gone, or has ended, is told at once. Other changes wait for more of them, and so do
// many pods that end.
func TestTheEndOfAPodIsToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Source{changed: wake.New(), ended: wake.New()}
		of := s.podChanges()
		pod := func(phase corev1.PodPhase) *corev1.Pod { return &corev1.Pod{Status: corev1.PodStatus{Phase: phase}} }
		var last time.Time
		takes := func() time.Duration {
			began := time.Now()
			require.True(t, await(t.Context(), s.changed, s.ended, last))
			last = time.Now()
			return last.Sub(began)
		}
		time.Sleep(time.Minute)
		of.UpdateFunc(pod(corev1.PodPending), pod(corev1.PodRunning))
		require.Equal(t, informer.Debounce, takes())
		time.Sleep(time.Second)
		of.UpdateFunc(pod(corev1.PodRunning), pod(corev1.PodFailed))
		require.Zero(t, takes())
		of.DeleteFunc(pod(corev1.PodFailed))
		require.Equal(t, informer.Debounce, takes(), "the last report was right now")
		time.Sleep(time.Second)
		of.UpdateFunc(pod(corev1.PodFailed), pod(corev1.PodFailed))
		time.AfterFunc(50*time.Millisecond, func() { of.DeleteFunc(pod(corev1.PodRunning)) })
		require.Equal(t, 50*time.Millisecond, takes(), "it ends the wait for other changes")
		forget(s.changed, s.ended)
		require.Equal(t, informer.Look, takes(), "nothing has changed")
	})
}

// forget takes what woke and was not waited for.
func forget(signals ...wake.Signal) {
	for _, c := range signals {
		select {
		case <-c:
		default:
		}
	}
}
