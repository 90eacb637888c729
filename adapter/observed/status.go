package observed

import (
	"fmt"
	"time"
)

// StatusLapse is how long an instance may be without a status although it acknowledges: it starts,
// its session has ended, its pod is made again.
const StatusLapse = time.Minute

// NotAcknowledging says why a status is no word of the pod with that uid; "" when it is one. A
// status that is nil is absent, or fault says what stands in its place: "is present and empty".
func NotAcknowledging(s *Status, fault, uid string) string {
	switch {
	case s == nil && fault == "":
		return "its status is absent"
	case s == nil:
		return "its status " + fault
	case uid == "":
		return fmt.Sprintf("its status is of pod %q, and Kubernetes has no pod of it", s.PodUID)
	case s.PodUID != uid:
		return fmt.Sprintf("its status is of pod %q, and it is pod %s", s.PodUID, uid)
	}
	return ""
}

// NotAcknowledging says why the instance's status is no word of its present pod; "" when it is one.
func (i *Instance) NotAcknowledging() string {
	uid, l := "", i.List
	if pod := i.Occupant(); pod != nil {
		uid = pod.UID
	}
	if l == nil {
		l = &List{}
	}
	return NotAcknowledging(l.Status, l.StatusFault, uid)
}
