package virtual

import (
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
)

// Load is what a pod uses that runs so many of the kind's resources: milli-CPU and bytes.
type Load func(at time.Time, ordinal, runs int) (cpu, memory int64)

// usageWindow is over how long metrics.k8s.io measures.
const usageWindow = 15 * time.Second

// usage is a sample of every pod that runs.
func (w *World) usage() observed.PodUsage {
	now := w.clock.Now()
	samples := make(map[int]observed.Usage, len(w.instances))
	for n, in := range w.instances {
		if in == nil {
			continue
		}
		cpu, memory := w.cfg.Load(now, n, in.Runs())
		samples[n] = observed.Usage{At: now, Window: usageWindow, CPU: cpu, Memory: memory}
	}
	return observed.PodUsage{Kind: w.cfg.Kind.Name, At: now, Usage: samples}
}
