package actuate

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/shardscaler/shardscaler/adapter/v1alpha1"
)

// Event is a Kubernetes event. Each comes from a function below: all there are stand in one place.
type Event struct {
	Warning bool
	Reason  string
	Message string
}

// The warnings that say no more than why.
var (
	CannotScale      = warning("CannotScale")     // that replicas could not be written
	CannotRestart    = warning("CannotRestart")   // that a silent pod could not be deleted
	CannotWriteGroup = warning("CannotWrite")     // that the InstanceGroup could not be written
	DrainBlocked     = warning("DrainBlocked")    // what keeps a drain from ending
	InstanceLost     = warning("InstanceLost")    // that instances cannot be reached or do not work, and what becomes of them
	NobodyRestarted  = warning("NobodyRestarted") // that silence is so widespread, or so uncertain, that no instance is restarted
	ClusterFull      = warning("ClusterFull")     // that a scale up would only add Pending pods
	Blind            = warning("Blind")           // that nothing is decided for want of input
	ForeignWriter    = warning("ForeignWriter")   // that another writer keeps writing another size, and that replicas are left to it
	ConflictingHPA   = warning("ConflictingHPA")  // that an HPA writes what is not its own, or that several HPAs stop each other
	RowsUnannounced  = warning("RowsUnannounced") // that rows keep appearing in the catalogue of which no message tells
	NotFollowed      = warning("NotFollowed")     // why an InstanceGroup counts for nothing
)

func warning(reason string) func(why string) Event {
	return func(why string) Event { return Event{Warning: true, Reason: reason, Message: why} }
}

// Scaled says that replicas were written.
func Scaled(from, to int, why string) Event {
	return Event{Reason: "Scaled", Message: fmt.Sprintf("replicas %d -> %d: %s", from, to, why)}
}

// Draining says that leaving instances are being drained.
func Draining(instances, why string) Event {
	return Event{Reason: "Draining", Message: fmt.Sprintf("draining %s: %s", instances, why)}
}

// DrainUndone says that load returned before the scale down was written.
func DrainUndone(why string) Event {
	return Event{Reason: "DrainUndone", Message: "the instances stay: " + why}
}

// TakenWithResources says that another writer lowered replicas and took instances that still own
// resources.
func TakenWithResources(instances string, left int) Event {
	return Event{Warning: true, Reason: "TakenWithResources", Message: fmt.Sprintf("another writer lowered replicas before a drain: terminating %s, resources left: %d; the drain runs now", instances, left)}
}

// EndedWithResources says that instances whose replicas another writer lowered end, or have ended,
// with resources that they still own.
func EndedWithResources(instances string, left int) Event {
	return Event{Warning: true, Reason: "EndedWithResources", Message: fmt.Sprintf("not drained before the end of %s: resources left: %d", instances, left)}
}

// NotKept says that what a successor is to know could not be kept in ZooKeeper.
func NotKept(err error) Event {
	return Event{Warning: true, Reason: "NotKept", Message: fmt.Sprintf("the decision and its history could not be stored: the next leader begins without them, and followers cannot serve them: %v", err)}
}

// AssumedDead says that a pod is assumed dead, on the word of a person.
func AssumedDead(pod, uid, by string, left int) Event {
	return Event{Warning: true, Reason: "AssumedDead", Message: fmt.Sprintf("%s said that pod %s (%s) runs nothing any more: it is assumed dead, resources reassigned: %d", by, pod, uid, left)}
}

// Restarted says that a pod was deleted because it was silent.
func Restarted(pod, why string) Event {
	return Event{Warning: true, Reason: "Restarted", Message: pod + " is restarted: " + why}
}

// BeyondCapacity says that there are resources too many for max instances at capacity.
func BeyondCapacity(excess, most, capacity int) Event {
	return Event{Warning: true, Reason: "BeyondCapacity", Message: fmt.Sprintf("resources too many for %d instances of capacity %d: %d", most, capacity, excess)}
}

// Seeded says that a new InstanceGroup was given the size of its StatefulSet.
func Seeded(replicas int, statefulSet string) Event {
	return Event{Reason: "Seeded", Message: fmt.Sprintf("replicas set to %d, the size of StatefulSet %s; from now on an HPA or a person writes them", replicas, statefulSet)}
}

// ScalingLimited says that another size than the requested one is desired.
func ScalingLimited(reason, why string) Event {
	return Event{Reason: reason, Message: why}
}

// repeatAfter is when an event that says the same as its last one is raised again.
const repeatAfter = time.Hour

type eventKey struct {
	workload Workload
	reason   string
}

type raised struct {
	message string
	at      time.Time
}

// Publish raises e on the StatefulSet or the InstanceGroup. One that says the same as the last of
// its reason is raised once an hour.
func (k *Kubernetes) Publish(w Workload, e Event) {
	if !k.fresh(eventKey{w, e.Reason}, e.Message, time.Now()) {
		return
	}
	object, kind := reference(w), corev1.EventTypeNormal
	k.log.Info("event", strings.ToLower(object.Kind), w.Name, "reason", e.Reason, "message", e.Message)
	if e.Warning {
		kind = corev1.EventTypeWarning
	}
	k.recorder.Event(object, kind, e.Reason, e.Message)
}

func reference(w Workload) *corev1.ObjectReference {
	ref := &corev1.ObjectReference{APIVersion: "apps/v1", Kind: "StatefulSet", Namespace: w.Namespace, Name: w.Name, UID: types.UID(w.UID)}
	if w.Group {
		ref.APIVersion, ref.Kind = v1alpha1.GroupVersion.String(), v1alpha1.Kind
	}
	return ref
}

// fresh notes the event and says whether it is worth raising.
func (k *Kubernetes) fresh(key eventKey, message string, now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if old, ok := k.last[key]; ok && old.message == message && now.Sub(old.at) < repeatAfter {
		return false
	}
	k.last[key] = raised{message, now}
	return true
}
