package app

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"

	"github.com/shardscaler/shardscaler/internal/api"
	"github.com/shardscaler/shardscaler/internal/config"
)

// setsOnly is an App of which only the reads of StatefulSets work, and the number of these reads.
func setsOnly(replicas int32) (*drainReads, *atomic.Int64) {
	client := fake.NewClientset(&appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: "iota", Name: "iota-dac"}, Spec: appsv1.StatefulSetSpec{Replicas: &replicas},
	})
	reads := &atomic.Int64{}
	client.PrependReactor("get", "statefulsets", func(ktesting.Action) (bool, runtime.Object, error) {
		reads.Add(1)
		time.Sleep(10 * time.Millisecond)
		return false, nil, nil
	})
	a := newDrainReads(client, "iota")
	return &a, reads
}

func TestPodsThatEndTogetherShareOneRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, reads := setsOnly(600)
		begun := time.Now()
		var crowd sync.WaitGroup
		for n := range 900 {
			crowd.Go(func() {
				stays, err := a.staysNow(t.Context(), "iota-dac", n)
				if err != nil || stays != (n < 600) {
					t.Errorf("pod %d: stays %v, %v", n, stays, err)
				}
			})
		}
		crowd.Wait()
		require.LessOrEqual(t, reads.Load(), int64(2), "of 900 questions")
		require.Less(t, time.Since(begun), time.Second)
	})
}

func TestHooksThatHangUpDoNotDelayTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := setsOnly(3)
		for range 2 { // the second crowd comes while the first has just gone
			impatient, hangUp := context.WithCancel(t.Context())
			var crowd sync.WaitGroup
			for n := range 900 {
				crowd.Go(func() { _, _ = a.staysNow(impatient, "iota-dac", n) })
			}
			hangUp()
			crowd.Wait()
		}
		begun := time.Now()
		stays, err := a.staysNow(t.Context(), "iota-dac", 1)
		require.NoError(t, err)
		require.True(t, stays)
		require.Less(t, time.Since(begun), time.Second)
	})
}

func TestOnlyTheNamesThatAStatefulSetGivesAreInstances(t *testing.T) {
	cfg := &config.Config{Kinds: []config.Kind{config.Default("Thing", "iota-dac")}}
	_, n, err := instanceOf(cfg, "iota", "iota", "iota-dac-10")
	require.NoError(t, err)
	require.Equal(t, 10, n)
	for _, name := range []string{"iota-dac-+1", "iota-dac--1", "iota-dac-01", "iota-dac-1_0", "iota-dac-", "iota-dac", "iota-dac-x"} {
		_, _, err := instanceOf(cfg, "iota", "iota", name)
		require.ErrorIs(t, err, api.ErrUnknownPod, name)
	}
	_, _, err = instanceOf(cfg, "iota", "other", "iota-dac-1")
	require.ErrorIs(t, err, api.ErrUnknownPod)
}
