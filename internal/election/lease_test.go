package election

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/utils/ptr"
)

func lockOf(client kubernetes.Interface, identity string) resourcelock.Interface {
	return &resourcelock.LeaseLock{
		LeaseMeta: metav1.ObjectMeta{Namespace: "iota", Name: "shardscaler"}, Client: client.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
	}
}

// former is a build that elects by the Lease, with its default times.
type former struct {
	leads atomic.Bool
	stop  func()
}

func startFormer(t *testing.T, client kubernetes.Interface, releases bool) *former {
	f := &former{}
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: lockOf(client, "former/1:2@1:3"), LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: 2 * time.Second,
		ReleaseOnCancel: releases,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) { f.leads.Store(true) }, OnStoppedLeading: func() { f.leads.Store(false) },
		},
	})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			elector.Run(ctx)
		}
	}()
	f.stop = func() { stop(); <-done }
	t.Cleanup(f.stop)
	return f
}

func TestBuildsOfBothSortsNeverLeadTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, e := fake.NewClientset(), newEnsemble()
		start := func(name string) *replica {
			return e.start(t, name, NewLease(lockOf(client, Marked(name+"/1:2@1:3")), slog.New(slog.DiscardHandler)))
		}
		// pass checks at each moment of that time who leads.
		pass := func(d time.Duration, f *former, all ...*replica) (last string) {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
				synctest.Wait()
				last = ""
				if f.leads.Load() {
					last = "former"
				}
				for _, r := range all {
					if _, leads, _ := r.now(); leads {
						require.Empty(t, last, "it leads beside "+r.name)
						last = r.name
					}
				}
			}
			return last
		}
		old := startFormer(t, client, true)
		time.Sleep(time.Second)
		a := start("a")
		require.Equal(t, "former", pass(time.Minute, old, a))
		old.stop() // as in a roll-out
		require.Equal(t, "a", pass(3*time.Second, old, a))
		old = startFormer(t, client, false)
		require.Equal(t, "a", pass(5*time.Minute, old, a), "it holds the Lease")
		b := start("b")
		a.set(true, false) // it does not know, and renews the Lease that b takes over
		time.Sleep(2 * timeout)
		require.Equal(t, "b", pass(5*time.Minute, old, b))
		leases := client.CoordinationV1().Leases("iota")
		lease, err := leases.Get(t.Context(), "shardscaler", metav1.GetOptions{})
		require.NoError(t, err)
		lease.Spec.HolderIdentity = ptr.To(Marked("a/1:2@1:3")) // as if it had been frozen while it renewed
		_, err = leases.Update(t.Context(), lease, metav1.UpdateOptions{})
		require.NoError(t, err)
		a.set(false, false) // it learns of b, and leaves the Lease to it
		time.Sleep(2 * timeout)
		require.Equal(t, "b", pass(5*time.Minute, old, a, b))
		a.stop()
		b.stop() // as when it is rolled back
		require.Equal(t, "former", pass(10*time.Second, old, a, b))
		c := start("c")
		old.stop() // without a word, as killed
		require.Empty(t, pass(10*time.Second, old, c))
		require.Equal(t, "c", pass(20*time.Second, old, c))
	})
}

// The API server does not answer: an older build that was elected leads on for a while.
func TestTheLeaseCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		client, e := fake.NewClientset(), newEnsemble()
		client.PrependReactor("*", "leases", func(k8stesting.Action) (bool, runtime.Object, error) {
			return away.Load(), nil, errors.New("no answer")
		})
		start := func(name string) *replica {
			return e.start(t, name, NewLease(lockOf(client, Marked(name)), slog.New(slog.DiscardHandler)))
		}
		old := startFormer(t, client, true)
		time.Sleep(time.Second)
		a := start("a")
		// lasts requires that the former alone leads, or nobody, until a does, and returns when that is.
		lasts := func(limit time.Duration) time.Duration {
			for begun := time.Now(); ; time.Sleep(50 * time.Millisecond) {
				synctest.Wait()
				_, leads, _ := a.now()
				require.False(t, leads && old.leads.Load(), "it leads beside the former")
				if leads || time.Since(begun) > limit {
					return time.Since(begun)
				}
			}
		}
		time.Sleep(time.Minute)
		away.Store(true)
		require.Greater(t, lasts(8*time.Second), 8*time.Second)
		away.Store(false)
		require.Greater(t, lasts(time.Minute), time.Minute, "the former has kept it")
		away.Store(true)
		took := lasts(time.Minute)
		require.Greater(t, took, 10*time.Second, "the former leads on for so long")
		require.Less(t, took, 20*time.Second)
		_, trouble := a.told()
		require.NoError(t, trouble)

		b := start("b") // knows nothing yet
		a.set(true, false)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		_, leads, _ := b.now()
		require.False(t, leads)
		_, trouble = b.told()
		require.ErrorContains(t, trouble, "no answer")
		time.Sleep(15 * time.Second)
		synctest.Wait()
		_, leads, _ = b.now()
		require.True(t, leads, "any older build has given up by then")
	})
}

// A leader that is cut off from ZooKeeper does not keep the only other replica, an older build, from
// leading.
func TestWhoDoesNotBeatDoesNotHoldTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, e := fake.NewClientset(), newEnsemble()
		a := e.start(t, "a", NewLease(lockOf(client, Marked("a")), slog.New(slog.DiscardHandler)))
		time.Sleep(time.Second)
		old := startFormer(t, client, true)
		time.Sleep(time.Minute)
		require.False(t, old.leads.Load())
		a.set(true, false)
		time.Sleep(holdFor + 10*time.Second)
		synctest.Wait()
		require.True(t, old.leads.Load())
		a.set(false, false)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		_, leads, _ := a.now()
		require.False(t, leads)
		require.True(t, old.leads.Load())
	})
}

func TestMarked(t *testing.T) {
	for address, want := range map[string]string{
		"pod/10.0.0.1:6443@10.0.0.1:8080": "pod+beat/10.0.0.1:6443@10.0.0.1:8080", "pod@10.0.0.1:8080": "pod+beat@10.0.0.1:8080", "pod": "pod+beat",
	} {
		require.Equal(t, want, Marked(address))
		require.True(t, isMarked(want))
		require.False(t, isMarked(address))
	}
}
