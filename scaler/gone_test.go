package scaler

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/stretchr/testify/require"
)

// flying is a led world of three that acknowledges: something is in flight from instance 2 and its
// pod.
func flying(t *testing.T) (w *world, s *Scaler, uid string) {
	w, s = led(t, 3, 300)
	w.cfg.HandOff = "acknowledged"
	uid = w.pods[2]
	w.flights = []orders.Flight{{From: 2, Pod: uid}}
	return w, s, uid
}

// A StatefulSet is deleted without its pods and created again, as large or smaller. Its pods exist
// all the while.
func TestNothingIsLearntOfPodsWhileTheirStatefulSetIsMadeAnew(t *testing.T) {
	for name, size := range map[string]int{"as large": 3, "smaller": 1} {
		t.Run(name, func(t *testing.T) {
			w, s, uid := flying(t)
			still := func() {
				t.Helper()
				require.False(t, w.orders.GonePods[uid])
				require.Empty(t, w.orders.Gone)
			}
			w.noSet = true
			for range 7 {
				w.tick(s, 2*second)
				require.Contains(t, w.orders.Suspended, "there is no StatefulSet")
				still()
			}
			w.noSet, w.uid, w.orphaned = false, "another set", map[int]bool{0: true, 1: true, 2: true}
			w.setSize(size)
			for range 7 {
				w.tick(s, 2*second)
				require.Empty(t, w.orders.Suspended)
				still()
			}
			require.Equal(t, uid, w.orders.Pods[2], "what is taken from it records it")
			w.orphaned = nil
			// or it would end
			w.terminating = map[int]time.Time{1: w.now.Add(time.Hour), 2: w.now.Add(time.Hour)}
			w.tick(s, 2*second)
			still()
		})
	}
}

// That the snapshot does not show a pod is a reason to ask, and proves nothing.
func TestAPodIsGoneByAPodListAlone(t *testing.T) {
	w, s, uid := flying(t)
	w.tick(s, 2*second)
	require.Zero(t, w.podLists, "the pod is there: nothing is asked")
	require.Zero(t, w.orders.PodsAt)

	w.unseen = map[int]bool{2: true}
	w.tick(s, 2*second)
	require.Equal(t, 1, w.podLists)
	require.False(t, w.orders.GonePods[uid], "the watch is wrong")
	require.Equal(t, w.now, w.orders.PodsAt)

	w.strangers = map[string]string{"renamed-2": uid}
	w.pods[2] = "next"
	w.tick(s, 2*second)
	require.False(t, w.orders.GonePods[uid], "another name has it")
	require.Equal(t, "next", w.orders.Pods[2], "its successor, which the snapshot does not show yet")

	w.strangers = nil
	w.tick(s, 2*second)
	require.True(t, w.orders.GonePods[uid])
	require.Len(t, w.orders.GonePods, 1)
	require.Equal(t, w.now, w.orders.PodsAt)
	require.Equal(t, "next", w.orders.Pods[2])
}

func TestAPodThatHasEndedIsGone(t *testing.T) {
	w, s, uid := flying(t)
	w.ended = map[int]bool{2: true}
	w.tick(s, 2*second)
	require.True(t, w.orders.GonePods[uid])
	require.Equal(t, w.now, w.orders.PodsAt, "a successor would have been found by it")
}

func TestAnOrdinalBeyondTheSizeIsGoneByAPodListAlone(t *testing.T) {
	w, s := byHPA(t, 3, 90)
	w.perStep = 0
	w.setSize(2)
	w.orphaned = map[int]bool{2: true}
	w.tick(s, 2*second)
	require.Empty(t, w.orders.Gone)
	require.NotContains(t, w.events, "EndedWithResources", "it runs")
	w.unseen = map[int]bool{2: true}
	w.tick(s, 2*second)
	require.Empty(t, w.orders.Gone, "the watch is wrong")
	require.Equal(t, 1, w.podLists)
	delete(w.pods, 2)
	w.tick(s, 2*second)
	require.Equal(t, []int{2}, w.orders.Gone)
	require.Equal(t, w.now, w.orders.PodsAt)
}

func TestAPodListThatCannotBeHadProvesNothing(t *testing.T) {
	w, s, uid := flying(t)
	w.unseen = map[int]bool{2: true}
	for name, fail := range map[string]func(on bool){
		"the list is refused": func(on bool) {
			if w.podListErr = nil; on {
				w.podListErr = errors.New("forbidden")
			}
		},
		"the StatefulSet is another one by now": func(on bool) {
			if w.sizeErr = nil; on {
				w.sizeErr = errors.New("its uid is another")
			}
		},
	} {
		fail(true)
		w.noPods = true // as an API server has none that has lost its store
		w.tick(s, 2*second)
		require.Empty(t, w.orders.GonePods, name)
		require.Empty(t, w.orders.Gone, name)
		require.Zero(t, w.orders.PodsAt, name)
		require.Contains(t, w.orders.PodsUnknown, "it is not known which pods are gone: ", name)
		fail(false)
	}
	w.noPods = false
	w.tick(s, 2*second)
	require.Empty(t, w.orders.PodsUnknown)
	require.False(t, w.orders.GonePods[uid])
	require.Equal(t, w.now, w.orders.PodsAt)
}

func TestPodsAreListedOncePerPeriod(t *testing.T) {
	w, s, _ := flying(t)
	w.unseen = map[int]bool{2: true}
	for range 20 {
		w.tick(s, 200*time.Millisecond)
	}
	require.Equal(t, 2, w.podLists)
}

// What calls for a list is answered by one in the tick that sees it, and not when a period is over.
func TestPodsAreListedAtOnceForWhatWasNotWantedBefore(t *testing.T) {
	w, s, uid := flying(t)
	s.Every(time.Hour)
	soon := func(lists int, why string) {
		t.Helper()
		for range 3 { // once is enough
			w.tick(s, 200*time.Millisecond)
		}
		require.Equal(t, lists, w.podLists, why)
	}
	soon(0, "all is well")
	w.absent = map[int]bool{2: true}
	soon(1, "the status of the instance is gone, and its pod is shown")
	require.False(t, w.orders.GonePods[uid], "it is there")
	w.unseen = map[int]bool{2: true}
	soon(2, "its pod is not shown")
	w.flights = append(w.flights, w.flights[0])
	soon(3, "more is in flight from it: what was revoked after a list is not judged by it")
	w.unseen[1], w.flights = true, append(w.flights, orders.Flight{From: 1, Pod: w.pods[1]})
	soon(4, "a second pod is not shown")
	w.flights = nil
	soon(4, "nothing is in flight")
	w.flights = []orders.Flight{{From: 2, Pod: uid}}
	soon(5, "something is again")

	w.podListErr = errors.New("the API server is away")
	w.flights = append(w.flights, w.flights[0])
	soon(6, "it is not asked again and again")
	require.NotEmpty(t, w.orders.PodsUnknown)
}

// The watch of the pods may be silent while ZooKeeper shows that an instance has ended.
func TestAPodThatIsShownIsGoneByAPodList(t *testing.T) {
	w, s, uid := flying(t)
	s.Every(time.Hour)
	w.absent, w.noPods = map[int]bool{2: true}, true
	w.tick(s, 200*time.Millisecond)
	require.True(t, w.orders.GonePods[uid])
	require.Equal(t, w.now, w.orders.PodsAt)
	w.cfg.HandOff = config.HandOffImmediate
	w.tick(s, 200*time.Millisecond)
	require.False(t, w.orders.GonePods[uid], "it has no status ever")
	require.Equal(t, 1, w.podLists)
}

// Builds before the pod list kept the uids of the pods they had seen: that is passed over.
func TestADocumentThatHasTheUIDsOfFormerPodsIsRead(t *testing.T) {
	w, s := led(t, 2, 200)
	w.tick(s, 2*second)
	doc := w.docs[KeptName]
	require.NotContains(t, string(doc), `"pods"`)
	older := strings.Replace(string(doc), `{"v":1,`, `{"v":1,"pods":{"uid-1":{"at":"2026-03-01T12:00:00Z","ended":true}},`, 1)
	require.NotEqual(t, string(doc), older)
	was, err := ParseKept(doc)
	require.NoError(t, err)
	is, err := ParseKept([]byte(older))
	require.NoError(t, err)
	require.Equal(t, was, is)
}
