//go:build chaos

package chaos

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// orphans are pods whose StatefulSet was deleted without them.
type orphans struct {
	set   *appsv1.StatefulSet // to be created again; nil: it is there
	since time.Time
	// cases counts, so that now the instance's acknowledgement and now its pod's end releases what
	// is in flight.
	cases int
}

const (
	// withoutSet is how long there is no StatefulSet, adopted how long its pods are its own again
	// before anything releases what is in flight: several ticks of the product.
	withoutSet = 5 * time.Second
	adopted    = 3 * time.Second
)

var (
	// orphanedWork is work while there is no StatefulSet; orphanedStart is a start then.
	orphanedWork = scene{
		work: "work without the StatefulSet", points: []string{"create.sent", "delete.replied", "create.applied", "delete.sending"},
		begin: func(l *lane, w *wires) { w.orphans.begin(l) },
		do:    func(l *lane, w *wires) { l.swap() },
		end:   func(l *lane, w *wires) { w.orphans.end(l, true); w.orphans.letGo(l) },
	}
	orphanedStart = scene{
		work: "start without the StatefulSet", points: []string{"lead.sending", "lead.reread", "lead.replied", "lead.sent"},
		begin: func(l *lane, w *wires) { w.orphans.begin(l) },
		do:    func(l *lane, w *wires) { l.again() },
		end:   func(l *lane, w *wires) { w.orphans.end(l, true); w.orphans.letGo(l) },
	}
	// letGo is the release once the pods are adopted again.
	letGo = scene{
		work: "release after the StatefulSet came back", points: []string{"move.released", "assign.sent", "assign.replied"},
		begin: func(l *lane, w *wires) { w.orphans.begin(l); w.orphans.end(l, false) },
		do:    func(l *lane, w *wires) { w.orphans.letGo(l) },
		end:   func(l *lane, w *wires) {},
	}
)

// begin hangs instance 0 with ids in flight, and deletes the StatefulSet without its pods.
func (o *orphans) begin(l *lane) {
	l.t.Helper()
	l.hangTurned()
	sets := l.Kube.AppsV1().StatefulSets(l.Namespace)
	set, err := sets.Get(l.t.Context(), thingSet, metav1.GetOptions{})
	require.NoError(l.t, err)
	orphan := metav1.DeletePropagationOrphan
	require.NoError(l.t, sets.Delete(l.t.Context(), thingSet, metav1.DeleteOptions{PropagationPolicy: &orphan}))
	l.until("the StatefulSet is gone", func(ctx context.Context) error {
		_, err := sets.Get(ctx, thingSet, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(err, errors.New("it is there"))
	})
	o.since = time.Now()
	o.set = &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: set.Name, Labels: set.Labels, Annotations: set.Annotations}, Spec: set.Spec,
	}
}

// end creates the StatefulSet again, waits until it has adopted the pods, and requires that what
// is in flight from the instance that hangs was not granted: its pod was there all the time.
// Where the pod is to be late, it is adopted some seconds after the others: until then its label
// is away.
func (o *orphans) end(l *lane, late bool) {
	l.t.Helper()
	if late {
		l.patchPod(0, `{"metadata":{"labels":{"app":null}}}`)
	}
	time.Sleep(time.Until(o.since.Add(withoutSet)))
	set, err := l.Kube.AppsV1().StatefulSets(l.Namespace).Create(l.t.Context(), o.set, metav1.CreateOptions{})
	require.NoError(l.t, err)
	o.set = nil
	if late {
		time.Sleep(adopted)
		l.patchPod(0, `{"metadata":{"labels":{"app":"`+thingSet+`"}}}`)
	}
	l.until("the pods are adopted", func(ctx context.Context) error {
		pods, err := l.Pods(ctx, thingSet)
		if err == nil && len(pods) < l.size() {
			err = fmt.Errorf("%d have its label", len(pods))
		}
		for _, p := range pods {
			if !metav1.IsControlledBy(&p, set) {
				err = errors.Join(err, fmt.Errorf("%s is not", p.Name))
			}
		}
		return err
	})
	time.Sleep(adopted)
	require.Empty(l.t, l.judgeMoves().faults, "while instance 0 hung, its pod was there, and the StatefulSet was not")
}

// letGo lets the instance that hangs resume, or ends its pod.
func (o *orphans) letGo(l *lane) {
	l.t.Helper()
	if o.cases++; o.cases%2 == 1 {
		l.resume(0)
		return
	}
	require.NoError(l.t, l.Kube.CoreV1().Pods(l.Namespace).Delete(l.t.Context(), thingSet+"-0", metav1.DeleteOptions{}))
}

// swap creates one resource and deletes one of instance 1.
func (l *lane) swap() {
	l.t.Helper()
	ids := l.assignment().Instances[1].IDs
	l.create(1)
	l.take(ids[:1])
}
