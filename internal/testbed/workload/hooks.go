package workload

import (
	"bytes"
	"context"
	"os/exec"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// PreStop lets the preStop hooks of the pods run, as a kubelet would: kwok's pods have no
// processes, so the hook's own command is run here for them.
type PreStop struct {
	// Program stands for the first word of a hook's command, which is a path in the pod's
	// container; empty: no hook runs.
	Program string
	// Server is given to it as --server after the arguments that the pod has: the name in there
	// leads nowhere on this machine.
	Server string
}

// Hook is one run of a pod's preStop hook.
type Hook struct {
	Pod string `json:"pod"`
	UID string `json:"uid"`
	// Ended is nil while it runs, and ExitCode is -1 then; a hook that outlived the pod's grace was
	// killed, which is -1 too.
	Began    time.Time  `json:"began"`
	Ended    *time.Time `json:"ended,omitempty"`
	ExitCode int        `json:"exitCode"`
	Output   string     `json:"output"`
}

// defaultGrace is what the API server gives a pod that names no terminationGracePeriodSeconds.
const defaultGrace = 30 * time.Second

// held says whether the pod's hook holds it. The first call for a pod that ends starts the hook;
// when it has ended, the pod is read again. The work goes on meanwhile.
func (s *Sim) held(ctx context.Context, pod *corev1.Pod, in *instance) bool {
	if s.cfg.PreStop.Program == "" || pod.DeletionTimestamp == nil || string(pod.UID) != in.uid {
		return false
	}
	command := hookOf(pod)
	if command == nil || !containersRun(pod) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if hook := s.hooks[in.uid]; hook != nil {
		return hook.Ended == nil
	}
	hook := &Hook{Pod: pod.Name, UID: in.uid, Began: time.Now(), ExitCode: -1}
	s.hooks[in.uid] = hook
	s.ending.Go(func() { s.runHook(ctx, pod, command, hook) })
	return true
}

// runHook runs the hook to its end, or to that of the pod's grace.
func (s *Sim) runHook(ctx context.Context, pod *corev1.Pod, command *corev1.Container, hook *Hook) {
	grace := defaultGrace
	if g := pod.Spec.TerminationGracePeriodSeconds; g != nil {
		grace = time.Duration(*g) * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	args := command.Lifecycle.PreStop.Exec.Command[1:]
	if s.cfg.PreStop.Server != "" {
		args = append(slices.Clone(args), "--server", s.cfg.PreStop.Server)
	}
	cmd := exec.CommandContext(ctx, s.cfg.PreStop.Program, args...)
	cmd.Env = environment(pod, command)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	code := cmd.ProcessState.ExitCode() // -1 if it did not end by itself
	if cmd.ProcessState == nil {
		out = []byte(err.Error()) // it could not be started
	}
	s.log.Info("preStop hook ended", "pod", pod.Name, "code", code, "output", string(bytes.TrimSpace(out)))
	now := time.Now()
	s.mu.Lock()
	hook.Ended, hook.ExitCode, hook.Output = &now, code, string(out)
	s.mu.Unlock()
	s.queue.Add(pod.Name)
}

// hookOf is the container whose preStop hook is a command; nil: none has one.
func hookOf(pod *corev1.Pod) *corev1.Container {
	for i := range pod.Spec.Containers {
		c := &pod.Spec.Containers[i]
		if l := c.Lifecycle; l != nil && l.PreStop != nil && l.PreStop.Exec != nil && len(l.PreStop.Exec.Command) > 0 {
			return c
		}
	}
	return nil
}

// environment is the container's, made of values and of the pod's own name and namespace.
func environment(pod *corev1.Pod, c *corev1.Container) (env []string) {
	for _, e := range c.Env {
		value := e.Value
		if e.ValueFrom != nil && e.ValueFrom.FieldRef != nil {
			switch e.ValueFrom.FieldRef.FieldPath {
			case "metadata.name":
				value = pod.Name
			case "metadata.namespace":
				value = pod.Namespace
			}
		}
		env = append(env, e.Name+"="+value)
	}
	return env
}

// hooked lists the hooks that ran or run, oldest first.
func (s *Sim) hooked() []Hook {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Hook, 0, len(s.hooks))
	for _, h := range s.hooks {
		list = append(list, *h)
	}
	slices.SortFunc(list, func(a, b Hook) int { return a.Began.Compare(b.Began) })
	return list
}
