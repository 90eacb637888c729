package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/tools/bars/rounds"
)

// deadSession is the ZooKeeper session of the instances that die.
const deadSession = 10 * time.Second

// death is a way in which an instance is lost.
type death struct {
	name string
	// begin ends the instance, and returns from when on that could be known.
	begin func(*fleet, context.Context, int) (time.Time, error)
	// revive has it work again; nil: a new pod does.
	revive func(*fleet, context.Context, int) error
}

var (
	gone   = death{name: "gone", begin: (*fleet).removePod}
	ended  = death{name: "ended", begin: (*fleet).endPod}
	fenced = death{"fenced", (*fleet).hang, func(f *fleet, ctx context.Context, n int) error {
		return f.Control.Fault(ctx, thing, n, "resume", 0)
	}}
)

// deaths measures how soon what a dead instance owned is owned by others, each way so many times.
// No node takes the pod that the StatefulSet makes in its place: else that would soon go on with
// what its predecessor had.
func deaths(things, times int) measure {
	adapt := func(o *product.Options) {
		o.WorkloadFlags = append(o.WorkloadFlags, "--fences", "--session-timeout", deadSession.String())
		k := &o.Config.Kinds[0]
		k.HandOff = config.HandOffAcknowledged
		k.Health = config.Health{Action: config.ActionReassign, ReassignAfter: new(config.Duration(0))}
	}
	return inFleetOf(things, 2, wires{}, adapt, func(ctx context.Context, f *fleet) (map[string]float64, error) {
		var all []dead
		for round := range times {
			for i, way := range []death{gone, ended, fenced} {
				one, err := f.die(ctx, way, 7+10*(3*round+i)%scaleInstances, things)
				if err != nil {
					return nil, fmt.Errorf("%s %d: %w", way.name, round+1, err)
				}
				all = append(all, one)
			}
		}
		log, err := f.flights()
		if err != nil {
			return nil, err
		}
		runs, err := f.Runs()
		if err != nil {
			return nil, err
		}
		measured := map[string]float64{"run_twice": float64(len(runs.Overlaps))}
		for _, way := range []death{gone, ended, fenced} {
			seconds, resources, err := f.until(log, all, way)
			if err != nil {
				return nil, err
			}
			measured[way.name+"_p99_s"], measured[way.name+"_p50_s"] = rounds.Quantile(seconds, 0.99), rounds.Median(seconds)
			measured["resources"] = resources
		}
		return measured, nil
	})
}

// dead is an instance that was lost.
type dead struct {
	way     death
	ordinal int
	owned   int
	// at is from when on it could be known; what it owned was owned by others before the end.
	at, end time.Time
}

// until are the times until each resource was owned by others, in seconds.
func (f *fleet) until(log *flights, all []dead, way death) (seconds []float64, resources float64, err error) {
	for _, d := range all {
		if d.way.name != way.name {
			continue
		}
		flown := log.within(span{d.at, d.end}, func(one flight) bool { return one.from == d.ordinal })
		if len(flown) != d.owned {
			return nil, 0, fmt.Errorf("%s: of instance %d were granted %d, it had %d", way.name, d.ordinal, len(flown), d.owned)
		}
		var these []float64
		first, revoked, last := flown[0].revoked, time.Time{}, time.Time{}
		for _, one := range flown {
			these = append(these, one.granted.Sub(d.at).Seconds())
			if one.revoked.Before(first) {
				first = one.revoked
			}
			if one.revoked.After(revoked) {
				revoked = one.revoked
			}
			if one.granted.After(last) {
				last = one.granted
			}
		}
		f.b.tell("%s: %d resources of instance %d: revoked after %.2f to %.2f s, owned elsewhere p50 %s, p99 %s, last %.2f s", way.name, d.owned,
			d.ordinal, first.Sub(d.at).Seconds(), revoked.Sub(d.at).Seconds(), number(rounds.Median(these)), number(rounds.Quantile(these, 0.99)), last.Sub(d.at).Seconds())
		seconds, resources = append(seconds, these...), float64(d.owned)
	}
	return seconds, resources, nil
}

// die loses an instance, awaits that others own what it had, and has all be as before.
func (f *fleet) die(ctx context.Context, way death, ordinal, things int) (d dead, err error) {
	d = dead{way: way, ordinal: ordinal}
	if d.owned, _, err = f.has(ordinal); err != nil {
		return d, err
	}
	if err := f.cordon(ctx, true); err != nil {
		return d, err
	}
	if d.at, err = way.begin(f, ctx, ordinal); err != nil {
		return d, err
	}
	err = product.Until(ctx, movesLimit, func(context.Context) error {
		has, flying, err := f.has(ordinal)
		if err == nil && has+flying > 0 {
			err = fmt.Errorf("it owns %d, pieces in flight: %d", has, flying)
		}
		return err
	})
	if err != nil {
		return d, err
	}
	d.end = time.Now()
	f.b.tell("%s: instance %d is empty after %s s", way.name, ordinal, number(d.end.Sub(d.at).Seconds()))
	if err := f.check(ctx, things); err != nil {
		return d, err
	}
	return d, f.revive(ctx, way, ordinal, things)
}

// revive has an instance that was lost work again, and all be spread as before.
func (f *fleet) revive(ctx context.Context, way death, ordinal, things int) error {
	if err := f.cordon(ctx, false); err != nil {
		return err
	}
	if way.revive != nil {
		if err := way.revive(f, ctx, ordinal); err != nil {
			return err
		}
	}
	err := product.Until(ctx, movesLimit, func(ctx context.Context) error {
		has, flying, err := f.has(ordinal)
		if err == nil && (has < things/scaleInstances || flying > 0) {
			err = fmt.Errorf("instance %d has %d again, pieces in flight: %d", ordinal, has, flying)
		}
		return err
	})
	if err == nil {
		err = f.check(ctx, things)
	}
	return err
}

// cordon has no node take another pod, or all of them.
func (f *fleet) cordon(ctx context.Context, cordoned bool) error {
	nodes := f.Kube.CoreV1().Nodes()
	list, err := nodes.List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, n := range list.Items {
		patch := fmt.Appendf(nil, `{"spec":{"unschedulable":%t}}`, cordoned)
		if _, err := nodes.Patch(ctx, n.Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// removePod deletes a pod, and returns when the API server has said that it is gone.
func (f *fleet) removePod(ctx context.Context, ordinal int) (at time.Time, err error) {
	pods, name := f.Kube.CoreV1().Pods(f.namespace), podName(ordinal)
	w, err := pods.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
	if err != nil {
		return at, err
	}
	defer w.Stop()
	if err := pods.Delete(ctx, name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}); err != nil {
		return at, err
	}
	late := time.After(time.Minute)
	for {
		select {
		case e, open := <-w.ResultChan():
			if !open {
				return at, errors.New("the watch of the pod has ended")
			}
			if e.Type == "DELETED" {
				return time.Now(), nil
			}
		case <-late:
			return at, fmt.Errorf("pod %s does not go", name)
		}
	}
}

// endPod has the containers of a pod terminate for good, as the kubelet tells of an eviction.
func (f *fleet) endPod(ctx context.Context, ordinal int) (at time.Time, err error) {
	patch := []byte(`{"status":{"phase":"` + string(corev1.PodFailed) + `","reason":"Evicted"}}`)
	_, err = f.Kube.CoreV1().Pods(f.namespace).Patch(ctx, podName(ordinal), types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	return time.Now(), err
}

// hang freezes an instance, and returns when ZooKeeper last answered it.
func (f *fleet) hang(ctx context.Context, ordinal int) (at time.Time, err error) {
	if err := f.Control.Fault(ctx, thing, ordinal, "hang", 0); err != nil {
		return at, err
	}
	// what was under way when it froze may still be answered
	if err := pause(ctx, time.Second); err != nil {
		return at, err
	}
	all, err := f.Control.Instances(ctx, false)
	if err != nil {
		return at, err
	}
	for _, in := range all {
		if in.Kind == thing && in.Ordinal == ordinal && in.Answered != nil {
			return *in.Answered, nil
		}
	}
	return at, fmt.Errorf("instance %d: it is not known when ZooKeeper last answered it", ordinal)
}

func podName(ordinal int) string { return fmt.Sprintf("%s-%d", thingSet, ordinal) }
