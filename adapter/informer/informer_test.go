package informer

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/shardscaler/shardscaler/internal/wake"
)

func TestARenewedWatchWaitsForItsFirstPicture(t *testing.T) {
	inner := watch.NewFake()
	i := Informer{cfg: Config{Renew: time.Millisecond}, reopen: wake.New()}
	w := i.renewed(inner, func() {}, true)
	defer w.Stop()
	end := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"}}}
	var early atomic.Bool
	i.Reopen() // a doubt ends no first list: the next one would take as long
	go func() {
		for range 3 {
			time.Sleep(5 * time.Millisecond) // longer than a renewal
			inner.Add(&corev1.Pod{})
		}
		early.Store(!i.Heard().IsZero())
		inner.Action(watch.Bookmark, end)
	}()
	var got []watch.EventType
	for e := range w.ResultChan() {
		got = append(got, e.Type)
	}
	require.Equal(t, []watch.EventType{watch.Added, watch.Added, watch.Added, watch.Bookmark}, got)
	require.True(t, inner.IsStopped())
	require.False(t, i.Heard().IsZero())
	require.False(t, early.Load(), "what is not complete is not heard")
}

// The age of what was never heard is no number: it would read 2562047h.
func TestSilence(t *testing.T) {
	require.EqualError(t, Silence("the watch has", time.Time{}, time.Minute), "the watch has not been heard yet")
	require.EqualError(t, Silence("the watch has", time.Now().Add(-time.Hour), time.Minute), "the watch has been silent for 1h")
	require.NoError(t, Silence("the watch has", time.Now(), time.Minute))
}

func TestManyChangesMakeOneReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		changed := wake.New()
		begun := time.Now()
		changed.Wake()
		changed.Wake()
		require.True(t, Await(t.Context(), changed, nil))
		require.Equal(t, Debounce, time.Since(begun))
		require.True(t, Await(t.Context(), changed, time.After(time.Hour)), "nothing has changed since: it is the tick's")
		require.Equal(t, time.Hour+Debounce, time.Since(begun))

		ending, end := context.WithTimeout(t.Context(), time.Minute)
		defer end()
		require.False(t, Await(ending, changed, nil))
		changed.Wake()
		require.False(t, Await(ending, changed, nil), "ctx ends while changes are collected")
	})
}

// Only silence ends a watch, or a doubt.
func TestAWatchIsOpenedAnewWhenItIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := Informer{cfg: Config{Renew: time.Minute}, reopen: wake.New()}
		ends := func(what func(*watch.FakeWatcher)) time.Duration {
			inner, begun := watch.NewFake(), time.Now()
			w := i.renewed(inner, func() {}, false)
			defer w.Stop()
			go what(inner)
			for range w.ResultChan() {
			}
			return time.Since(begun)
		}
		require.Equal(t, time.Minute, ends(func(*watch.FakeWatcher) {}))
		require.Equal(t, 90*time.Second, ends(func(inner *watch.FakeWatcher) {
			time.Sleep(30 * time.Second)
			inner.Add(&corev1.Pod{})
		}))
		require.Equal(t, time.Minute, time.Since(i.Heard()))
		require.Equal(t, time.Second, ends(func(*watch.FakeWatcher) {
			time.Sleep(time.Second)
			i.Reopen()
		}))
		heard := i.Heard()
		i.cfg.Proven = true
		ends(func(inner *watch.FakeWatcher) { inner.Action(watch.Bookmark, &corev1.Pod{}) })
		require.Equal(t, heard, i.Heard(), "a bookmark may come from a cache")
		i.HearAt(heard.Add(-time.Second))
		require.Equal(t, heard, i.Heard(), "it never becomes older")
	})
}
