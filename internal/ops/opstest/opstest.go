// Package opstest makes views for tests.
package opstest

import (
	"fmt"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// Now is the moment of the views.
var Now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// text has a target that is exactly met.
const text = `kinds:
- name: Thing
  statefulSet: iota-dac
  capacity: 5000
  targetPerInstance: 4500
  init: 3
  max: 100
  cpu: {targetUtilization: 70}
  heartbeat: {}
  rebalance: {movesPerMinute: 0}
`

// View is one of n instances of kind Thing in which nothing is wrong.
func View(n int) (*ops.View, error) {
	c, err := config.Parse([]byte(text))
	if err != nil {
		return nil, err
	}
	fresh := observed.Source{At: Now.Add(-time.Second)}
	v := &ops.View{
		Now: Now, Config: c.Kinds[0], Base: c.Kinds[0], Generation: 2, Version: "77", Written: config.ReadWritten([]byte(text))["Thing"],
		Snapshot: observed.Kind{
			Name: "Thing", Namespace: "iota", Catalogue: 4200 * n,
			Workload: &observed.Workload{Replicas: n, ReadyReplicas: n, StatusReplicas: n, UpdatedReplicas: n},
			Sources: observed.Sources{
				Store: fresh, Cluster: fresh, Metrics: fresh, Catalogue: fresh, Bus: &observed.Source{At: fresh.At}, Notify: fresh, Groups: fresh, HPAs: fresh,
			},
		},
		State: &protocol.State{Head: protocol.Head{Epoch: 9}, ReadAt: Now},
		Input: decide.Input{History: decide.History{CompleteSince: Now.Add(-time.Hour), BusSince: Now.Add(-time.Hour), Adopted: true, Own: n, Replicas: n, Desired: n, Wrote: n}},
	}
	for i := range n {
		beat := Now.Add(-30 * time.Second)
		uid := fmt.Sprint("uid-", i)
		v.Snapshot.Instances = append(v.Snapshot.Instances, observed.Instance{
			Ordinal: i, LastBeat: &beat,
			Pod: &observed.Pod{
				Name: fmt.Sprint("iota-dac-", i), UID: uid, Node: fmt.Sprint("node-", i%3), Phase: "Running", Ready: true, CPURequest: 1000,
				Created: Now.Add(-time.Hour), Started: Now.Add(-time.Hour), ReadyChanged: Now.Add(-time.Hour), MemoryRequest: 1 << 30,
			},
			List:  &observed.List{Count: 4200, Times: 7, Changed: Now.Add(-time.Hour), Status: &observed.Status{Times: 7, PodUID: uid}, SessionSince: Now.Add(-time.Hour)},
			Usage: &observed.Usage{At: Now.Add(-10 * time.Second), Window: 15 * time.Second, CPU: 700, Memory: 1 << 29},
		})
		v.Snapshot.Open = append(v.Snapshot.Open, i)
		v.Snapshot.Assigned += 4200
	}
	Decide(v)
	return v, nil
}

// Decide makes the view's decision anew from what it shows.
func Decide(v *ops.View) {
	v.Input = decide.Input{Now: v.Now, Config: v.Config, Observed: v.Snapshot, History: v.Input.History, Operator: v.Operator}
	v.Decision = outcome.NewReport(decide.Decide(v.Input), outcome.Outcome{})
}
