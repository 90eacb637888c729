package decide

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// The world that is decided: targets of podsPerTarget pods, each with a resource count, cpu and
// memory.
const (
	targets       = 1000
	podsPerTarget = 20
	perInstance   = 100 // resources at target
	cpuTarget     = 70  // percent of the requests
	memoryTarget  = 60  // percent of the requests
	cpuRequest    = 500 // milli
	memoryRequest = 1 << 30
)

// targetName is a target's kind, StatefulSet and namespace.
func targetName(n int) string { return fmt.Sprintf("target-%03d", n) }

// inputs are the targets as decide sees them, watched for hours, with a past of changing
// recommendations. Loads differ between targets and between pods; one pod in fifty is starting.
func inputs(now time.Time, seed uint64) []decide.Input {
	r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a world that can be made again, no secret
	out := make([]decide.Input, targets)
	for n := range out {
		out[n] = decide.Input{Now: now, Config: kindConfig(targetName(n)), Observed: kind(r, now, targetName(n)), History: past(r, now)}
	}
	return out
}

func kindConfig(name string) config.Kind {
	c := config.Default(name, name)
	c.TargetPerInstance, c.Init, c.Max = perInstance, 2, 100
	c.CPU = &config.ResourceTarget{TargetUtilization: cpuTarget}
	c.Memory = &config.ResourceTarget{TargetUtilization: memoryTarget}
	none := 0.0
	// the only one that the calculator's callers outside its package can give
	c.Tolerance = config.Tolerance{Up: &none, Down: &none}
	return c
}

func kind(r *rand.Rand, now time.Time, name string) observed.Kind {
	fresh := observed.Source{At: now.Add(-time.Second)}
	k := observed.Kind{
		Name: name, Namespace: name, Instances: make([]observed.Instance, podsPerTarget),
		Workload: &observed.Workload{UID: name, Replicas: podsPerTarget, StatusReplicas: podsPerTarget, ReadyReplicas: podsPerTarget, UpdatedReplicas: podsPerTarget},
		Sources:  observed.Sources{Store: fresh, Cluster: fresh, Metrics: fresh, Catalogue: fresh, Bus: &fresh, Notify: fresh},
	}
	load := 0.2 + 1.2*r.Float64()
	for n := range k.Instances {
		k.Instances[n] = instance(r, now, name, n, load)
		k.Assigned += k.Instances[n].List.Count
		k.Open = append(k.Open, n)
	}
	k.Unassigned = r.IntN(500)
	return k
}

func instance(r *rand.Rand, now time.Time, name string, n int, load float64) observed.Instance {
	begun, beat := now.Add(-time.Hour), now.Add(-time.Duration(r.IntN(60))*time.Second)
	pod := &observed.Pod{
		Name: fmt.Sprintf("%s-%d", name, n), UID: fmt.Sprintf("%s-%d", name, n), Phase: "Running", Ready: true,
		Created: begun, Started: begun, ReadyChanged: begun.Add(time.Second), CPURequest: cpuRequest, MemoryRequest: memoryRequest,
	}
	if r.IntN(50) == 0 {
		pod.Started, pod.ReadyChanged, pod.Ready = now.Add(-time.Minute), now.Add(-time.Minute), false
	}
	use := load * (0.5 + r.Float64())
	return observed.Instance{
		Ordinal: n, Pod: pod, LastBeat: &beat,
		List: &observed.List{Count: r.IntN(2 * perInstance)},
		Usage: &observed.Usage{
			At: now.Add(-5 * time.Second), Window: 15 * time.Second,
			CPU: int64(use * cpuTarget / 100 * cpuRequest), Memory: int64(use * memoryTarget / 100 * memoryRequest),
		},
	}
}

func past(r *rand.Rand, now time.Time) decide.History {
	h := decide.History{CompleteSince: now.Add(-time.Hour), Adopted: true, BusSince: now.Add(-time.Hour), Own: podsPerTarget, Replicas: podsPerTarget}
	for at := now.Add(-10 * time.Minute); at.Before(now); at = at.Add(20 * time.Second) {
		size := podsPerTarget - r.IntN(8)
		h.Recommendations = append(h.Recommendations, decide.Recommendation{From: at, To: at.Add(19 * time.Second), Size: size, Own: size})
	}
	return h
}
