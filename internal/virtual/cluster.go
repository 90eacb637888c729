package virtual

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/adapter/v1alpha1"
	"github.com/shardscaler/shardscaler/scaler/actuate"
)

// ClusterConfig is how the pods of a world behave.
type ClusterConfig struct {
	Namespace, StatefulSet string
	// Replicas is the size in the beginning.
	Replicas int
	// Start is how long a pod takes from its creation until its containers run, Ready from then
	// until it is ready, and Stop how long it goes on running once it is to end.
	Start, Ready, Stop time.Duration
	// CPURequest (milli) and MemoryRequest (bytes) are what each pod requests.
	CPURequest, MemoryRequest int64
}

// Cluster is a StatefulSet and its pods, made side by side (podManagementPolicy Parallel). It is
// what a Scaler acts on.
type Cluster struct {
	cfg   ClusterConfig
	clock *Clock

	replicas, revision int
	generation         int64
	// writer is the field manager that wrote replicas last.
	writer string
	// pods are those that there are, by ordinal, nil where there is none; made counts all there
	// ever were.
	pods []*Pod
	made int
	// sized is told of each size that is written; it may be nil.
	sized func(replicas int)
	// moved counts what has changed of the StatefulSet and its pods: as long as it stays, Signal
	// tells nothing new.
	moved int
	// Resized are the sizes that were written, in order; Restarted counts pods that were.
	Resized   []int
	Restarted int
}

// Pod is one pod.
type Pod struct {
	Ordinal int
	UID     string
	created time.Time
	// ends is when it is gone, zero as long as it stays.
	ends time.Time
	// running: its containers run now, also while it is to end, until it is gone. ready: it is
	// ready, as the StatefulSet's controller has seen.
	running, ready bool
}

// NewCluster has the StatefulSet, and no pod yet.
func NewCluster(cfg ClusterConfig, clock *Clock) *Cluster {
	return &Cluster{
		cfg: cfg, clock: clock, replicas: cfg.Replicas, revision: 1, generation: 1,
		moved: 1,
	}
}

// Step lets the controller and the kubelets do what is due. They do it between two ticks.
func (c *Cluster) Step() {
	now := c.clock.Now()
	for _, p := range c.pods {
		if p != nil {
			c.age(p, now)
		}
	}
	for n := range c.replicas {
		if n == len(c.pods) {
			c.pods = append(c.pods, nil)
		}
		if c.pods[n] == nil {
			c.made++
			c.pods[n] = &Pod{Ordinal: n, UID: fmt.Sprintf("pod-%d-%d", n, c.made), created: now}
			c.moved++
		}
	}
}

// age brings one pod up to the time.
func (c *Cluster) age(p *Pod, now time.Time) {
	was := *p
	if p.Ordinal >= c.replicas && p.ends.IsZero() {
		p.ends = now.Add(c.cfg.Stop)
	}
	started := p.created.Add(c.cfg.Start)
	p.running = !now.Before(started)
	p.ready = p.ends.IsZero() && !now.Before(started.Add(c.cfg.Ready))
	if !p.ends.IsZero() && !now.Before(p.ends) {
		p.running = false
		c.pods[p.Ordinal] = nil
		c.moved++
	}
	if *p != was {
		c.moved++
	}
}

// Pod is the pod of an ordinal; nil: there is none.
func (c *Cluster) Pod(ordinal int) *Pod {
	if ordinal >= len(c.pods) {
		return nil
	}
	return c.pods[ordinal]
}

// Pods yields those that there are, by ordinal.
func (c *Cluster) Pods() iter.Seq2[int, *Pod] {
	return func(yield func(int, *Pod) bool) {
		for n, p := range c.pods {
			if p != nil && !yield(n, p) {
				return
			}
		}
	}
}

// Signal is what a watch shows of the StatefulSet and its pods.
func (c *Cluster) Signal(kind string) observed.Cluster {
	w := &observed.Workload{
		UID: c.uid(), ResourceVersion: strconv.Itoa(c.revision), Generation: c.generation, Replicas: c.replicas,
		ReplicasWriter: c.writer, Selector: "app=" + c.cfg.StatefulSet,
	}
	pods := make(map[int]observed.Pod, len(c.pods))
	for n, p := range c.Pods() {
		pods[n] = c.show(p)
		if p.ready {
			w.ReadyReplicas++
		}
	}
	w.StatusReplicas, w.UpdatedReplicas = len(pods), len(pods)
	available := w.ReadyReplicas
	w.AvailableReplicas = &available
	return observed.Cluster{Kind: kind, At: c.clock.Now(), Workload: w, Pods: pods}
}

// show is a pod as the API server has it.
func (c *Cluster) show(p *Pod) observed.Pod {
	o := observed.Pod{
		Name: c.podName(p.Ordinal), UID: p.UID, Node: "node-" + strconv.Itoa(p.Ordinal), Phase: "Pending",
		Created: p.created, CPURequest: c.cfg.CPURequest, MemoryRequest: c.cfg.MemoryRequest, Ready: p.ready,
	}
	if p.running {
		o.Phase, o.Started, o.ReadyChanged = "Running", p.created.Add(c.cfg.Start), p.created.Add(c.cfg.Start)
	}
	if p.ready {
		o.ReadyChanged = o.Started.Add(c.cfg.Ready)
	}
	if !p.ends.IsZero() {
		o.Terminating, o.DeleteBy, o.ReadyChanged = true, p.ends, p.ends.Add(-c.cfg.Stop)
	}
	return o
}

func (c *Cluster) podName(ordinal int) string {
	return c.cfg.StatefulSet + "-" + strconv.Itoa(ordinal)
}

func (c *Cluster) uid() string { return "uid-of-" + c.cfg.StatefulSet }

// Claim implements scaler.Actuator.
func (c *Cluster) Claim(context.Context, actuate.Workload, string) error {
	c.revision++
	c.moved++
	return nil
}

// Size implements scaler.Actuator.
func (c *Cluster) Size(context.Context, actuate.Workload) (actuate.Size, error) {
	return actuate.Size{UID: c.uid(), ResourceVersion: strconv.Itoa(c.revision), Replicas: c.replicas}, nil
}

// Resize implements scaler.Actuator.
func (c *Cluster) Resize(_ context.Context, w actuate.Workload, read actuate.Size, replicas int) error {
	if read.ResourceVersion != strconv.Itoa(c.revision) {
		return fmt.Errorf("scale %s to %d: %w", w.Name, replicas, actuate.ErrConflict)
	}
	c.replicas, c.writer = replicas, "shardscaler"
	c.revision++
	c.generation++
	c.moved++
	c.Resized = append(c.Resized, replicas)
	if c.sized != nil {
		c.sized(replicas)
	}
	return nil
}

// Restart implements scaler.Actuator.
func (c *Cluster) Restart(_ context.Context, _ actuate.Workload, _, uid string) error {
	for _, p := range c.Pods() {
		if p.UID == uid && p.ends.IsZero() {
			p.ends = c.clock.Now().Add(c.cfg.Stop)
			c.moved++
			c.Restarted++
		}
	}
	return nil
}

// ListPods implements scaler.Actuator.
func (c *Cluster) ListPods(context.Context) (observed.PodList, error) {
	uids := make(map[string]string, len(c.pods))
	for n, p := range c.Pods() {
		uids[c.podName(n)] = p.UID
	}
	return observed.PodList{Begun: c.clock.Now(), UIDs: uids}, nil
}

// Publish implements scaler.Actuator. The events of a world have no reader.
func (c *Cluster) Publish(actuate.Workload, actuate.Event) {}

// SeedGroup implements scaler.Actuator. A world has no InstanceGroups.
func (c *Cluster) SeedGroup(context.Context, actuate.Workload, int64, int) error {
	return actuate.ErrConflict
}

// UpdateGroupStatus implements scaler.Actuator.
func (c *Cluster) UpdateGroupStatus(
	context.Context, actuate.Workload, func(*v1alpha1.InstanceGroupStatus),
) (v1alpha1.InstanceGroupStatus, error) {
	return v1alpha1.InstanceGroupStatus{}, actuate.ErrConflict
}
