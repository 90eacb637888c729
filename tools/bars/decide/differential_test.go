package decide

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"strconv"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/kubernetes/pkg/controller/podautoscaler"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/decide/hpa"
)

// One decision after the other is made from the same pods and samples by decide.Decide and by the
// HPA's own calculator. The proposals for cpu and memory must be equal but for two differences on
// purpose, and each of these is proved for the case at hand:
//
//   - whole percent: the HPA cuts a utilisation to whole percent, and a mean to whole units. Then
//     ours lies between what the HPA says of this use and of a use that is larger by one such step;
//     or it is kept, as the HPA would with a tolerance wider by one step.
//   - floating point: the HPA rounds 11.000000000000002 up to 12, and takes an end of the tolerance
//     for outside of it. Then ours is what the HPA says with a tolerance that differs by a
//     billionth, or the load is a whole number of instances and ours is one less.

// reason is how a case came out.
type reason string

const (
	equal         reason = "equal"
	refused       reason = "refused by both"
	wholePercent  reason = "differing by whole percent"
	floatingPoint reason = "differing by floating point"
)

func FuzzAgainstTheRealCalculator(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 7))
	for range 50 {
		f.Add(randomBytes(r))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := compare((&drawn{data}).world())
		require.NoError(t, err)
	})
}

// TestAgainstTheRealCalculator is a short run with the same seed each time; WORLDS makes it longer.
func TestAgainstTheRealCalculator(t *testing.T) {
	worlds := 20_000
	if n, err := strconv.Atoi(os.Getenv("WORLDS")); err == nil {
		worlds = n
	}
	r, counts := rand.New(rand.NewPCG(1, 1)), map[reason]int{}
	for range worlds {
		how, err := compare((&drawn{randomBytes(r)}).world())
		require.NoError(t, err)
		counts[how]++
	}
	fmt.Printf("against the HPA's calculator: %d proposals equal, %d refused by both, %d differing by whole percent, %d by floating point\n",
		counts[equal], counts[refused], counts[wholePercent], counts[floatingPoint])
	require.Greater(t, counts[equal], worlds/2)
	for _, how := range []reason{refused, wholePercent, floatingPoint} {
		require.Positive(t, counts[how], how)
	}
}

// TestComparisonNoticesAFault: a calculator that sees one more milli-core, or a pod less, is
// another one.
func TestComparisonNoticesAFault(t *testing.T) {
	r, noticed := rand.New(rand.NewPCG(1, 1)), map[string]int{}
	for range 2_000 {
		w := (&drawn{randomBytes(r)}).world()
		ours := decide.Decide(w.in).Signals[1]
		if ours.Missing != "" {
			continue
		}
		for fault, change := range map[string]func(*decide.Signal){
			"one too many": func(s *decide.Signal) { s.Proposed++ },
			"one too few":  func(s *decide.Signal) { s.Proposed-- },
			"a refusal":    func(s *decide.Signal) { s.Missing = "no reason" },
		} {
			wrong := ours
			change(&wrong)
			if _, err := w.judge(wrong); err != nil {
				noticed[fault]++
			}
		}
	}
	require.Len(t, noticed, 3)
	for fault, n := range noticed {
		require.Greater(t, n, 500, fault)
	}
}

func randomBytes(r *rand.Rand) []byte {
	data := make([]byte, 40+r.IntN(300))
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	return data
}

// world is one target with one usage signal.
type world struct {
	in   decide.Input
	name v1.ResourceName
	tol  config.Tolerance
}

// drawn turns bytes into a world; when they are used up, everything is 0.
type drawn struct{ data []byte }

func (d *drawn) upTo(n int) int {
	if len(d.data) < 2 {
		return 0
	}
	v := int(d.data[0])<<8 | int(d.data[1])
	d.data = d.data[2:]
	return v % (n + 1)
}

func (d *drawn) world() world {
	// the calculator reads the clock itself; all ages keep five seconds away from what it compares
	// them with
	now := time.Now()
	c := config.Default("one", "one")
	c.Heartbeat = nil
	up, down := float64(d.upTo(4))/20, float64(d.upTo(4))/20
	c.Tolerance = config.Tolerance{Up: &up, Down: &down}
	k := observed.Kind{Name: "one", Namespace: "one", Workload: &observed.Workload{Replicas: 1 + d.upTo(19)}}
	fresh := observed.Source{At: now}
	k.Sources = observed.Sources{Store: fresh, Cluster: fresh, Metrics: fresh, Catalogue: fresh, Notify: fresh}
	alike := d.upTo(2) > 0 // whole numbers come up more often when all pods are alike
	request := 50 + 50*int64(d.upTo(19))
	target := &config.ResourceTarget{TargetUtilization: int32(5 + 5*d.upTo(39))}
	if d.upTo(3) == 0 {
		target = &config.ResourceTarget{TargetAverageValue: resource.NewMilliQuantity(10+10*int64(d.upTo(99)), resource.DecimalSI)}
	}
	w := world{name: v1.ResourceCPU, tol: c.Tolerance}
	if c.CPU = target; d.upTo(2) == 0 {
		w.name, c.CPU, c.Memory = v1.ResourceMemory, nil, target
		if target.TargetAverageValue != nil {
			target.TargetAverageValue = resource.NewQuantity(1+target.TargetAverageValue.MilliValue(), resource.BinarySI)
		}
	}
	load := d.upTo(150)
	for n := range k.Workload.Replicas {
		if d.upTo(19) != 19 {
			k.Instances = append(k.Instances, d.instance(now, n, request, load, alike))
		}
	}
	w.in = decide.Input{Now: now, Config: c, Observed: k}
	return w
}

func (d *drawn) instance(now time.Time, n int, request int64, load int, alike bool) observed.Instance {
	ago := func(most int) time.Time { return now.Add(-time.Duration(5+10*d.upTo(most)) * time.Second) }
	begun := now.Add(-time.Hour)
	p := &observed.Pod{Name: fmt.Sprintf("one-%d", n), Phase: "Running", Ready: true, Created: begun, Started: begun, ReadyChanged: begun.Add(time.Second)}
	inst := observed.Instance{Ordinal: n, Pod: p, Usage: &observed.Usage{At: ago(4), Window: 15 * time.Second}}
	switch d.upTo(24) {
	case 0, 1:
		p.Started = ago(40)
		p.ReadyChanged = p.Started.Add(time.Duration(1+10*d.upTo(5)) * time.Second)
		p.Ready = d.upTo(1) == 0
	case 2:
		p.Ready, p.ReadyChanged = false, p.Started.Add(time.Duration(5+10*d.upTo(6))*time.Second)
	case 3:
		p.Phase, p.Ready, p.Started, p.ReadyChanged, inst.Usage = "Pending", false, time.Time{}, time.Time{}, nil
	case 4:
		p.Phase = "Failed"
	case 5:
		p.Terminating, p.DeleteBy = true, now
	case 6, 7:
		inst.Usage = nil
	case 8:
		p.ReadyChanged = time.Time{}
	case 9:
		inst.Usage.MissingCPU, inst.Usage.MissingMemory = "a gap", "a gap"
	}
	if !alike {
		request, load = request+int64(d.upTo(500)), load+d.upTo(50)
	}
	p.CPURequest, p.MemoryRequest = request, request
	if u := inst.Usage; u != nil {
		u.CPU = request * int64(load) / 100
		u.Memory = u.CPU
	}
	return inst
}

// String is what `shardscaler decide -f` reads.
func (w *world) String() string {
	text, err := json.Marshal(w.in)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// compare decides w twice.
func compare(w world) (reason, error) {
	if len(w.in.Observed.Instances) == 0 {
		return refused, nil // the HPA has no pods to list, and says so in other words
	}
	d := decide.Decide(w.in)
	if len(d.Signals) != 2 {
		return "", fmt.Errorf("no decision: %s", d.Summary)
	}
	return w.judge(d.Signals[1])
}

// judge compares our signal with theirs.
func (w *world) judge(ours decide.Signal) (reason, error) {
	theirs, err := w.theirs(false, 0)
	switch {
	case err != nil && ours.Missing != "":
		return refused, nil
	case err != nil || ours.Missing != "":
		return "", fmt.Errorf("the HPA says %d, %w; ours is %s\n%s", theirs, err, ours, w)
	case theirs == ours.Proposed:
		return equal, nil
	}
	low, high := theirs, theirs
	for _, raised := range []bool{false, true} {
		for _, edge := range []float64{0, -1e-9, 1e-9} {
			other, err := w.theirs(raised, edge)
			if err != nil {
				return "", err
			}
			if !raised && other == ours.Proposed {
				return floatingPoint, nil
			}
			low, high = min(low, other), max(high, other)
		}
	}
	if low <= ours.Proposed && ours.Proposed <= high {
		return wholePercent, nil
	}
	// What lies within the tolerance uncut lies within a tolerance that is wider by one step when
	// it is cut.
	if kept, err := w.theirs(false, w.step()); ours.Within && err == nil && kept == ours.Proposed && kept == w.in.Observed.Workload.Replicas {
		return wholePercent, nil
	}
	if ours.Proposed == theirs-1 && math.Abs(ours.Need-float64(ours.Proposed)) < 1e-9 {
		return floatingPoint, nil
	}
	return "", fmt.Errorf("the HPA says %d, at most %d; ours is %d: %s\n%s", theirs, high, ours.Proposed, ours, w)
}

// theirs is the HPA's proposal; raised by one step of what it cuts off, and with a tolerance that
// is wider by edge.
func (w *world) theirs(raised bool, edge float64) (int, error) {
	in := []decide.Input{w.in}
	c, err := newCalculator(in)
	if err != nil {
		return 0, err
	}
	c.tolerances = tolerances(*w.tol.Down+edge, *w.tol.Up+edge)
	target := w.target()
	if raised && target.TargetUtilization > 0 {
		c.metrics.more.share = 0.01 * w.allOverMeasured()
	} else if raised {
		c.metrics.more.milli = int64(math.Ceil(w.allOverMeasured()))
	}
	c.metrics.prepare(in)
	return c.usage(context.Background(), 0, w.name, target)
}

// target is that of the one signal.
func (w *world) target() *config.ResourceTarget {
	if w.name == v1.ResourceMemory {
		return w.in.Config.Memory
	}
	return w.in.Config.CPU
}

// step is how much of a ratio the HPA may cut off.
func (w *world) step() float64 {
	if t := w.target(); t.TargetAverageValue == nil {
		return 1 / float64(t.TargetUtilization)
	}
	return 1 / float64(w.target().TargetAverageValue.MilliValue())
}

// allOverMeasured is how many pods there are for each that counts by its sample, by what they
// request for a utilisation: what is cut off is a step of all.
func (w *world) allOverMeasured() float64 {
	var all, measured int64
	for _, inst := range w.in.Observed.Instances {
		p, pod := inst.Pod, hpa.Pod{}
		pod.Deleting, pod.Failed, pod.Pending = p.Terminating, p.Phase == "Failed", p.Phase == "Pending"
		pod.Ready, pod.ReadyChanged, pod.Started = p.Ready, p.ReadyChanged, p.Started
		if u := inst.Usage; u != nil {
			// memory has the same gaps
			pod.Sampled, pod.At, pod.Window = u.MissingCPU == "", u.At, u.Window
		}
		weight := p.CPURequest
		if w.target().TargetAverageValue != nil {
			weight = 1
		}
		all += weight
		if hpa.Classify(pod, w.name == v1.ResourceCPU, w.in.Now, hpa.CPUInitialization, hpa.InitialReadiness) == hpa.Counted {
			measured += weight
		}
	}
	return float64(all) / float64(max(1, measured))
}

// tolerances makes the value that only the HPA's own package can make.
func tolerances(down, up float64) (t podautoscaler.Tolerances) {
	for name, value := range map[string]float64{"scaleDown": down, "scaleUp": up} {
		field := reflect.ValueOf(&t).Elem().FieldByName(name)
		*(*float64)(unsafe.Pointer(field.UnsafeAddr())) = value //nolint:gosec // checked by TestTolerances
	}
	return t
}

func TestTolerances(t *testing.T) {
	require.Equal(t, "[down:5.0%, up:20.0%]", tolerances(0.05, 0.2).String())
}
