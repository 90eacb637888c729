//go:build chaos

package chaos

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/shardscaler/shardscaler/internal/api"
)

// mute is an instance that keeps an empty status, as one of a kind with immediate hand-off does,
// while the kind's is acknowledged: nothing says what it has released.
type mute struct {
	ordinal int
	pod     types.UID
	owned   []string // when it became so
	cases   int
}

var (
	upBesideMute = scene{
		work:   "up beside a mute instance",
		points: []string{"create.sent", "scale.sent", "add-ordinal.replied", "open.sent", "move.planned", "revoke.sent", "grant.replied"},
		begin:  func(l *lane, w *wires) { l.atRest(false); w.mute.begin(l, 0) },
		do:     func(l *lane, w *wires) { l.up() },
		end:    func(l *lane, w *wires) { w.mute.keeps(l, "the others settle", l.missing); w.mute.end(l) },
	}
	downOverMute = scene{
		work:   "down over a mute instance",
		points: []string{"delete.sent", "open.sending", "open.replied", "delete.applied", "forget.replied", "open.sent"},
		begin:  func(l *lane, w *wires) { l.atRest(true); w.mute.begin(l, 2) },
		do:     func(l *lane, w *wires) { l.down() },
		end:    func(l *lane, w *wires) { w.mute.holds(l); w.mute.end(l) },
	}
)

// handOffNote is the pod's annotation that dacsim reads when a container starts.
const handOffNote = "dacsim.shardscaler.io/hand-off"

// begin makes an instance mute, and waits until the product knows.
func (m *mute) begin(l *lane, ordinal int) {
	l.t.Helper()
	m.ordinal = ordinal
	m.pod = l.note(ordinal, `"immediate"`)
	l.instance(ordinal, "crash", 100*time.Millisecond)
	l.until(fmt.Sprintf("%d is mute", ordinal), func(ctx context.Context) error {
		o, err := l.orchestration(ctx)
		if why := o.NotAcknowledging[fmt.Sprint(ordinal)]; err == nil && why != "its status is present and empty" {
			err = fmt.Errorf("the product says %q", why)
		}
		return err
	})
	m.owned = slices.Clone(l.assignment().Instances[ordinal].IDs)
	require.NotEmpty(l.t, m.owned)
}

// holds requires that the size does not fall over the instance, that the product says why, and
// that this stays so.
func (m *mute) holds(l *lane) {
	l.t.Helper()
	m.keeps(l, "the product says what keeps the size", func(ctx context.Context) error {
		o, err := l.orchestration(ctx)
		if err == nil && (o.Decision == nil || o.Decision.Drain == nil || !strings.Contains(o.Decision.Drain.Blocked, "it does not acknowledge")) {
			err = fmt.Errorf("decision is %+v", o.Decision)
		}
		return err
	})
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		got, err := l.Size(l.t.Context(), thingSet)
		require.NoError(l.t, err)
		require.Equal(l.t, m.ordinal+1, got.Spec, "the size fell over an instance that does not acknowledge")
	}
}

// keeps requires until something is so that the instance has all that it had, but for what was
// deleted, and that nothing else is taken from it to be given to others.
func (m *mute) keeps(l *lane, what string, try func(context.Context) error) {
	l.t.Helper()
	l.until(what, func(ctx context.Context) error {
		a := l.assignment()
		for _, id := range m.owned {
			if slices.Contains(l.ids, id) {
				require.Contains(l.t, a.Instances[m.ordinal].IDs, id, "it was taken from instance %d, which does not acknowledge", m.ordinal)
			}
		}
		for _, f := range a.Flight {
			given := f.From == m.ordinal && slices.ContainsFunc(f.To, func(to int) bool { return to != toDelete })
			require.False(l.t, given, "%v were taken from instance %d, which does not acknowledge", f.IDs, m.ordinal)
		}
		return try(ctx)
	})
}

// end makes the instance acknowledge: it starts again without the annotation, or another pod
// does.
func (m *mute) end(l *lane) {
	l.t.Helper()
	if m.cases++; m.cases%2 == 1 {
		require.Equal(l.t, m.pod, l.note(m.ordinal, "null"), "the pod was replaced")
		l.instance(m.ordinal, "crash", 100*time.Millisecond)
		return
	}
	name := fmt.Sprintf("%s-%d", thingSet, m.ordinal)
	require.NoError(l.t, l.Kube.CoreV1().Pods(l.Namespace).Delete(l.t.Context(), name, metav1.DeleteOptions{}))
}

// note sets the annotation of an instance's pod to a JSON value, and returns the pod's uid.
func (l *lane) note(ordinal int, value string) types.UID {
	l.t.Helper()
	return l.patchPod(ordinal, fmt.Sprintf(`{"metadata":{"annotations":{%q:%s}}}`, handOffNote, value))
}

// patchPod merges JSON into an instance's pod, and returns the pod's uid.
func (l *lane) patchPod(ordinal int, patch string) types.UID {
	l.t.Helper()
	pod, err := l.Kube.CoreV1().Pods(l.Namespace).Patch(l.t.Context(), fmt.Sprintf("%s-%d", thingSet, ordinal), types.MergePatchType,
		[]byte(patch), metav1.PatchOptions{})
	require.NoError(l.t, err)
	return pod.UID
}

// orchestration is what the product shows of the kind.
func (l *lane) orchestration(ctx context.Context) (o api.Orchestration, err error) {
	if !l.server().Running() {
		return o, errors.New("the product does not run")
	}
	err = l.server().REST(ctx, http.MethodGet, "/v1/api/orchestrations/"+thing, "", nil, &o)
	return o, err
}
