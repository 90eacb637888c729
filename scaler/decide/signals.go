package decide

import (
	"cmp"
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/scaler/decide/hpa"
)

// observeSignals takes the proposals: the count always, cpu and memory if they are configured, for
// their mean and for their hottest instance, the request if an InstanceGroup owns the size.
func (d *Decision) observeSignals(in *Input) {
	d.Signals = append(make([]Signal, 0, 6), count(in))
	if in.Config.CPU != nil {
		d.observeUsage(in, &cpu, in.Config.CPU)
	}
	if in.Config.Memory != nil {
		d.observeUsage(in, &memory, in.Config.Memory)
	}
	if in.Config.Replicas.Owner == config.OwnerGroup {
		d.Signals = append(d.Signals, requested(in))
	}
}

func (d *Decision) observeUsage(in *Input, m *measure, cfg *config.ResourceTarget) {
	s := Signal{Name: m.name}
	sample := m.read(in, cfg, &s)
	if s.Missing == "" {
		m.mean(in, cfg, sample, &s)
	}
	d.Signals = append(d.Signals, s)
	if cfg.Hottest == nil {
		return
	}
	hot := Signal{Name: m.hottestName, Missing: s.Missing}
	if s.Missing == "" {
		d.observeHottest(in, m, cfg.Hottest, sample, &hot)
	}
	d.Signals = append(d.Signals, hot)
}

func count(in *Input) Signal {
	n, target := in.Observed.Resources(), in.Config.TargetPerInstance
	work := (n + target - 1) / target
	return Signal{
		Name: ByCount, Proposed: in.sized(in.Observed.Workload.Replicas, work), own: in.sized(in.History.Own, work), Need: float64(n) / float64(target),
		Inputs: fmt.Sprintf("resources %d (%d assigned, %d in flight, %d unassigned) at %d per instance",
			n, in.Observed.Assigned, in.Observed.InFlight, in.Observed.Unassigned, target),
	}
}

// measure is one of the two usage signals: where its numbers stand and how they are written.
type measure struct {
	name, hottestName Reason

	cpu     bool
	use     func(*observed.Usage) (sum int64, missing string)
	request func(*observed.Pod) (sum int64, missing []string)
	show    func(int64) string
}

var (
	cpu = measure{
		name: ByCPU, hottestName: ByHottestCPU, cpu: true,
		use:     func(u *observed.Usage) (int64, string) { return u.CPU, u.MissingCPU },
		request: func(p *observed.Pod) (int64, []string) { return p.CPURequest, p.MissingCPURequest },
		show:    func(milli int64) string { return fmt.Sprintf("%dm", milli) },
	}
	memory = measure{
		name: ByMemory, hottestName: ByHottestMemory,
		use:     func(u *observed.Usage) (int64, string) { return u.Memory, u.MissingMemory },
		request: func(p *observed.Pod) (int64, []string) { return p.MemoryRequest, p.MissingMemoryRequest },
		show:    func(b int64) string { return resource.NewQuantity(b>>20<<20, resource.BinarySI).String() },
	}
)

// target is what is written as a percentage of the requests or as a value, in the unit of the
// samples, and how it is written.
func (m *measure) target(percent int32, value *resource.Quantity, of string) (hpa.Target, string) {
	if value == nil {
		return hpa.Target{Utilization: int64(percent)}, fmt.Sprintf("%d%% of %s", percent, of)
	}
	amount := value.Value()
	if m.cpu {
		amount = value.MilliValue()
	}
	return hpa.Target{AverageValue: amount}, value.String()
}

// read groups the pods' samples, and says in s why there are none to go by.
func (m *measure) read(in *Input, cfg *config.ResourceTarget, s *Signal) sample {
	if src := in.Observed.Sources.Metrics; !src.Fresh(in.Now, in.Config.Freshness.Metrics.Std()) {
		s.Missing = "no usage has been read yet"
		if src.Known() {
			s.Missing = "usage was last read " + ago(src, in.Now)
		}
		s.Missing += src.Because()
		return sample{}
	}
	needRequest := cfg.TargetUtilization > 0 || cfg.Hottest != nil && cfg.Hottest.TargetUtilization > 0
	return m.sample(in, s, needRequest)
}

// mean is the proposal by the mean use, as the HPA computes it, over the pods of the size that is.
func (m *measure) mean(in *Input, cfg *config.ResourceTarget, sample sample, s *Signal) {
	target, written := m.target(cfg.TargetUtilization, cfg.TargetAverageValue, "the requests")
	tol := tolerance(in)
	current := in.Observed.Workload.Replicas
	res, err := hpa.Replicas(in.working(current), sample.loads, target, tol)
	s.Inputs = fmt.Sprintf("%s used by %d pods, target %s; %d unready, %d without sample", m.show(sample.use), res.Pods, written, res.Unready, res.Missing)
	if err != nil {
		s.Missing = err.Error()
		return
	}
	s.Ratio, s.Need, s.Within = res.Ratio, res.Need, res.Kept != ""
	if res.Filled != res.Ratio {
		s.Filled = res.Filled
	}
	s.total = res.Ratio * float64(res.Pods+sample.returning)
	work := res.Replicas
	if s.Within && in.carrying() > work { // the load is on more than those that work
		work, s.Within = settle(work, s.total, s.total/float64(max(1, work)), tol)
		work = max(work, res.Replicas)
	}
	s.Proposed, s.Turned = in.sized(current, work), s.Within && res.Kept == hpa.KeptDirection
	s.own = own(in, &res, tol)
}

// own is the proposal relative to the last recommendation. Where the samples ask for less, pods
// without a sample are filled in high: that may keep the recommendation, and never raises it.
func own(in *Input, res *hpa.Result, tol hpa.Tolerance) int {
	last := in.History.Own
	size := in.sized(last, hpa.Ceil(res.Need))
	switch work := in.working(last); {
	case work > 0 && tol.Within(res.Need/float64(work)):
		return last
	case res.Missing > 0 && res.Ratio < 1:
		return min(size, cmp.Or(last, in.Observed.Workload.Replicas))
	}
	return size
}

func tolerance(in *Input) hpa.Tolerance {
	return hpa.Tolerance{Up: *in.Config.Tolerance.Up, Down: *in.Config.Tolerance.Down}
}

type sample struct {
	loads []hpa.Load
	of    []*observed.Instance // of loads, one by one
	use   int64
	// returning counts pods that are not ready but hold resources: their load will be back.
	returning int
	missing   int
}

// sample groups the pods and notes in s what is left out. A pod that counts must have a request if
// needRequest.
func (m *measure) sample(in *Input, s *Signal, needRequest bool) (out sample) {
	w := in.Observed.Workload
	out.loads, out.of = make([]hpa.Load, 0, len(in.Observed.Instances)), make([]*observed.Instance, 0, len(in.Observed.Instances))
	var ready, others, resized []string
	for i := range in.Observed.Instances {
		inst := &in.Observed.Instances[i]
		if inst.Pod == nil {
			continue
		}
		if !w.Has(inst.Ordinal) {
			s.Ignored = append(s.Ignored, inst.Pod.Name+": beyond the size")
			continue
		}
		if in.idle(inst) {
			s.Ignored = append(s.Ignored, inst.Pod.Name+": drained by a person, and empty")
			continue
		}
		load := m.load(in, inst, s)
		out.loads, out.of = append(out.loads, load), append(out.of, inst)
		switch load.Group {
		case hpa.Counted:
			out.use += load.Use
		case hpa.Unready:
			if inst.List != nil && inst.List.Count > 0 {
				out.returning++
			}
		case hpa.Missing:
			out.missing++
			if inst.Pod.Ready {
				ready = append(ready, inst.Pod.Name)
			} else if inst.Pod.Phase != "Succeeded" {
				others = append(others, inst.Pod.Name)
			}
		}
		if needRequest && inst.Pod.Resizing != "" && load.Group != hpa.Ignored {
			resized = append(resized, fmt.Sprintf("%s (%s)", inst.Pod.Name, inst.Pod.Resizing))
		}
		if _, missing := m.request(inst.Pod); needRequest && len(missing) > 0 && load.Group != hpa.Ignored {
			s.Missing = fmt.Sprintf("container %s of %s has no %s request, so it has no utilisation", missing[0], inst.Pod.Name, m.name)
		}
	}
	s.unsure = cmp.Or(listed(ready, "%s is ready and has no fresh sample", "%s are ready and have no fresh sample"),
		listed(others, "%s runs and has no fresh sample", "%s run and have no fresh sample"),
		listed(resized, "%s is not resized in place yet", "%s are not resized in place yet"),
		listed(notRunning(in), "%s owns resources and does not run", "%s own resources and do not run"))
	return out
}

// notRunning names the instances of the size that own resources and have no pod that works on them:
// none at all, or one that has ended or is about to. They use nothing now, and will again.
func notRunning(in *Input) (pods []string) {
	for _, inst := range in.Observed.Instances {
		if !in.Observed.Workload.Has(inst.Ordinal) || inst.List == nil || inst.List.Count == 0 || inst.Unadopted != nil {
			continue
		}
		if p := inst.Pod; p == nil || p.Terminating || p.Ended() {
			pods = append(pods, fmt.Sprintf("%s-%d", in.Config.StatefulSet, inst.Ordinal))
		}
	}
	return pods
}

func (m *measure) load(in *Input, inst *observed.Instance, s *Signal) hpa.Load {
	p := inst.Pod
	pod := hpa.Pod{
		Deleting: p.Terminating, Failed: p.Phase == "Failed", Pending: p.Phase == "Pending",
		Ready: p.Ready, ReadyChanged: p.ReadyChanged, Started: p.Started,
	}
	request, _ := m.request(p)
	load := hpa.Load{Request: request}
	if u := inst.Usage; u != nil {
		use, missing := m.use(u)
		switch age, most := in.Now.Sub(u.At), in.Config.Freshness.Metrics.Std(); {
		case u.At.IsZero():
			missing = "its sample has no timestamp"
		case age > most:
			missing = fmt.Sprintf("its sample is %s old", config.Duration(age))
		case age < -most: // it would be fresh for too long
			missing = fmt.Sprintf("its sample is %s in the future", config.Duration(-age))
		}
		if missing != "" {
			s.Ignored = append(s.Ignored, p.Name+": "+missing)
		} else {
			pod.Sampled, pod.At, pod.Window, load.Use = true, u.At, u.Window, use
		}
	}
	load.Group = hpa.Classify(pod, m.cpu, in.Now, hpa.CPUInitialization, hpa.InitialReadiness)
	if load.Group == hpa.Ignored {
		s.Ignored = append(s.Ignored, p.Name+": terminating or failed")
	}
	return load
}
