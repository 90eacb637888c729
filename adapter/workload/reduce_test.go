package workload

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/shardscaler/shardscaler/adapter/observed"
)

func requests(cpu, memory string) corev1.ResourceRequirements {
	list := corev1.ResourceList{}
	if cpu != "" {
		list[corev1.ResourceCPU] = resource.MustParse(cpu)
	}
	if memory != "" {
		list[corev1.ResourceMemory] = resource.MustParse(memory)
	}
	return corev1.ResourceRequirements{Requests: list}
}

// full is a pod with everything that is read and much that is not.
func full() *corev1.Pod {
	always := corev1.ContainerRestartPolicyAlways
	yes := true
	at := metav1.NewTime(time.Unix(1000, 0).UTC())
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "iota-dac-3", Namespace: "iota", UID: "u3", ResourceVersion: "7", CreationTimestamp: at, Labels: map[string]string{"app": "dac"},
			Annotations: map[string]string{"much": "text"}, Finalizers: []string{"f"}, ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m"}},
			OwnerReferences: []metav1.OwnerReference{{Kind: "StatefulSet", Name: "iota-dac", UID: "s", Controller: &yes}},
		},
		Spec: corev1.PodSpec{
			NodeName: "node-1", Volumes: []corev1.Volume{{Name: "v"}},
			Containers: []corev1.Container{
				{Name: "dac", Image: "dac", Env: []corev1.EnvVar{{Name: "E"}}, Resources: requests("500m", "1Gi")},
				{Name: "log", Resources: requests("", "512Mi")},
			},
			InitContainers: []corev1.Container{
				{Name: "once", Resources: requests("4", "8Gi")},
				{Name: "side", RestartPolicy: &always, Resources: requests("100m", "")},
			},
		},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, StartTime: &at, PodIP: "10.0.0.1", Message: "m",
			Conditions: []corev1.PodCondition{
				{Type: corev1.PodScheduled, Status: corev1.ConditionTrue},
				{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(at.Add(time.Minute))},
				{Type: corev1.ContainersReady, Status: corev1.ConditionTrue},
			},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "dac", RestartCount: 2, ImageID: "sha256:…"}, {Name: "log", RestartCount: 1}},
		},
	}
}

func TestAPodIsReducedToWhatIsRead(t *testing.T) {
	at := time.Unix(1000, 0).UTC()
	want := observed.Pod{
		Name: "iota-dac-3", UID: "u3", Labels: map[string]string{"app": "dac"}, Node: "node-1", Phase: "Running", Ready: true,
		ReadyChanged: at.Add(time.Minute), Created: at, Started: at, Restarts: 3,
		CPURequest: 600, MemoryRequest: 1536 << 20, MissingCPURequest: []string{"log"}, MissingMemoryRequest: []string{"side"},
	}
	require.Equal(t, want, reducePod(full()))
	stripped, err := strip(full())
	require.NoError(t, err)
	pod := stripped.(*corev1.Pod)
	require.Equal(t, want, reducePod(pod), "what is kept is all that is read")
	require.True(t, metav1.IsControlledBy(pod, &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{UID: "s"}}))
	require.Less(t, pod.Size(), full().Size())
	require.Empty(t, pod.Annotations)
	require.Empty(t, pod.Spec.Volumes)
	require.Empty(t, pod.Spec.Containers[0].Env)
	require.Empty(t, pod.Status.ContainerStatuses[0].ImageID)
}

// A pod that no StatefulSet controls is no instance: only that it is there, and whether it has
// ended, is kept.
func TestOfOtherPodsLittleIsKept(t *testing.T) {
	for name, owners := range map[string][]metav1.OwnerReference{
		"nobody's": nil, "a job's": {{Kind: "Job", Name: "j", UID: "j", Controller: new(bool)}},
	} {
		t.Run(name, func(t *testing.T) {
			p := full()
			p.OwnerReferences = owners
			stripped, err := strip(p)
			require.NoError(t, err)
			require.Equal(t, &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: "iota", Name: "iota-dac-3", UID: "u3", ResourceVersion: "7"},
				Status:     corev1.PodStatus{Phase: corev1.PodRunning},
			}, stripped)
		})
	}
}

func TestWhyAPodDoesNotRun(t *testing.T) {
	waiting := func(reason string) corev1.ContainerStatus {
		return corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "long"}}}
	}
	for want, change := range map[string]func(p *corev1.Pod){
		"":                 func(*corev1.Pod) {},
		"CrashLoopBackOff": func(p *corev1.Pod) { p.Status.ContainerStatuses[1] = waiting("CrashLoopBackOff") },
		"ImagePullBackOff": func(p *corev1.Pod) {
			p.Status.ContainerStatuses[0] = waiting("PodInitializing")
			p.Status.InitContainerStatuses = []corev1.ContainerStatus{{}, waiting("ImagePullBackOff")}
		},
		"Unschedulable": func(p *corev1.Pod) {
			p.Status.Conditions[0].Status, p.Status.Conditions[0].Reason = corev1.ConditionFalse, "Unschedulable"
		},
		"Evicted": func(p *corev1.Pod) { p.Status.Reason = "Evicted" },
	} {
		p := full()
		change(p)
		stripped, err := strip(p)
		require.NoError(t, err)
		require.Equal(t, want, reducePod(stripped.(*corev1.Pod)).Reason)
	}
}

// The HPA of Kubernetes 1.37 computes the same. TestUpstream runs its own cases.
func TestRequestsOfThePodItself(t *testing.T) {
	for _, c := range []struct {
		name        string
		pod         corev1.ResourceRequirements
		overhead    corev1.ResourceList
		change      func(*corev1.PodSpec)
		cpu, memory int64
		noCPU       []string
	}{
		{name: "they stand for those of the containers", pod: requests("2", "4Gi"), change: func(s *corev1.PodSpec) { s.InitContainers = nil }, cpu: 2000, memory: 4 << 30},
		{name: "the overhead comes on top", pod: requests("2", "4Gi"), overhead: requests("100m", "1Gi").Requests, cpu: 2100, memory: 5 << 30},
		{
			name: "memory alone: CPU is that of the containers that have one, or of the init container that is larger", pod: requests("", "4Gi"),
			cpu: 4000, memory: 4 << 30,
		},
		{
			name: "memory alone, without larger init containers: the containers without CPU are no fault", pod: requests("", "4Gi"),
			change: func(s *corev1.PodSpec) { s.InitContainers = s.InitContainers[1:] }, cpu: 600, memory: 4 << 30,
		},
		{
			name: "memory alone, and no container has CPU", pod: requests("", "4Gi"),
			change: func(s *corev1.PodSpec) {
				s.InitContainers, s.Containers[0].Resources = nil, requests("", "1Gi")
			}, memory: 4 << 30, noCPU: []string{"dac", "log"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := full()
			p.Spec.Resources, p.Spec.Overhead = &c.pod, c.overhead
			if c.change != nil {
				c.change(&p.Spec)
			}
			stripped, err := strip(p)
			require.NoError(t, err)
			got := reducePod(stripped.(*corev1.Pod))
			require.Equal(t, c.cpu, got.CPURequest)
			require.Equal(t, c.memory, got.MemoryRequest)
			require.Equal(t, c.noCPU, got.MissingCPURequest)
			require.Empty(t, got.MissingMemoryRequest)
		})
	}
}

func TestAResizeIsPendingUntilTheNodeHasMadeIt(t *testing.T) {
	condition := func(of corev1.PodConditionType, reason string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: of, Status: corev1.ConditionTrue, Reason: reason, Message: "…"})
		}
	}
	for want, change := range map[string]func(*corev1.Pod){
		"":                             func(p *corev1.Pod) { p.Generation, p.Status.ObservedGeneration = 2, 2 },
		"PodResizePending: Deferred":   condition(corev1.PodResizePending, corev1.PodReasonDeferred),
		"PodResizePending: Infeasible": condition(corev1.PodResizePending, corev1.PodReasonInfeasible),
		"PodResizeInProgress":          condition(corev1.PodResizeInProgress, ""),
		"PodResizeInProgress: Error":   condition(corev1.PodResizeInProgress, corev1.PodReasonError),
		"its kubelet has not seen generation 3 yet": func(p *corev1.Pod) { p.Generation, p.Status.ObservedGeneration = 3, 2 },
	} {
		p := full()
		change(p)
		stripped, err := strip(p)
		require.NoError(t, err)
		require.Equal(t, want, reducePod(stripped.(*corev1.Pod)).Resizing)
	}
	old := full()
	old.Generation = 1
	require.Empty(t, reducePod(old).Resizing, "a kubelet before Kubernetes 1.34 tells no generation")
	over := full()
	over.Status.Conditions = append(over.Status.Conditions, corev1.PodCondition{Type: corev1.PodResizePending, Status: corev1.ConditionFalse})
	require.Empty(t, reducePod(over).Resizing)
}

func TestAWorkloadIsReducedToWhatIsRead(t *testing.T) {
	three := int32(3)
	set := &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: "iota-dac", UID: "s", ResourceVersion: "9", Generation: 4, Labels: map[string]string{"l": "v"}},
		Spec: appsv1.StatefulSetSpec{
			Replicas: &three, Ordinals: &appsv1.StatefulSetOrdinals{Start: 5},
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "dac"}},
			Template: corev1.PodTemplateSpec{Spec: full().Spec},
		},
		Status: appsv1.StatefulSetStatus{Replicas: 3, ReadyReplicas: 2, AvailableReplicas: 1, UpdatedReplicas: 1},
	}
	one := 1
	want := observed.Workload{
		UID: "s", ResourceVersion: "9", Generation: 4, Start: 5, Replicas: 3, StatusReplicas: 3, ReadyReplicas: 2, UpdatedReplicas: 1,
		AvailableReplicas: &one, Selector: "app=dac", Labels: map[string]string{"l": "v"},
	}
	stripped, err := strip(set)
	require.NoError(t, err)
	require.Equal(t, want, reduceSet(stripped.(*appsv1.StatefulSet)))
	set.Spec.Replicas, set.Spec.Ordinals = nil, nil
	require.Equal(t, 1, reduceSet(set).Replicas)
	require.Zero(t, reduceSet(set).Start)
}
