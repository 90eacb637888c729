package observed

import (
	"maps"
	"slices"
	"time"
)

// present is the layout with all that is known.
func (ks *kindState) present(name, namespace string) *Kind {
	if ks.dirty {
		ks.build(name, namespace)
	}
	return ks.built
}

// build replaces the layout and never edits the former one, which snapshots handed out share.
func (ks *kindState) build(name, namespace string) {
	k := Kind{
		Name: name, Namespace: namespace,
		Workload: ks.cluster.Workload,
		Assigned: ks.assignment.Assigned, InFlight: ks.assignment.InFlight, Unassigned: ks.assignment.Unassigned,
		Open: ks.assignment.Open, Weights: ks.assignment.Weights,
		Catalogue: ks.catalogued.Count,
		Groups:    ks.groups.Groups, Strangers: ks.groups.Strangers, HPAs: ks.hpas.HPAs,
		Instances: ks.built.Instances,
		Sources: Sources{
			Store: ks.sources[SourceStore], Cluster: ks.sources[SourceCluster], Metrics: ks.sources[SourceMetrics],
			Catalogue: ks.sources[SourceCatalogue], Notify: ks.sources[SourceNotify],
			Groups: ks.sources[SourceGroups], HPAs: ks.sources[SourceHPAs],
		},
	}
	if ks.heartbeat {
		bus := ks.sources[SourceBus]
		k.Sources.Bus = &bus
	}
	switch {
	case ks.moved:
		k.Instances = ks.instances()
	case len(ks.beaten) > 0:
		k.Instances = slices.Clone(k.Instances)
		for _, ordinal := range ks.beaten {
			if inst := k.Instance(ordinal); inst != nil && inst.Pod != nil {
				inst.LastBeat = ks.beats.last(ordinal, inst.Pod)
			}
		}
	}
	ks.built, ks.dirty, ks.moved, ks.beaten = &k, false, false, ks.beaten[:0]
}

// instances lays out every ordinal that has a pod, adopted or not, or a list, ascending.
func (ks *kindState) instances() []Instance {
	all := slices.Collect(maps.Keys(ks.cluster.Pods))
	all = slices.AppendSeq(all, maps.Keys(ks.cluster.Unadopted))
	all = slices.AppendSeq(all, maps.Keys(ks.assignment.Lists))
	slices.Sort(all)
	all = slices.Compact(all)
	instances := make([]Instance, len(all))
	pods, lists, usages := make([]Pod, len(all)), make([]List, len(all)), make([]Usage, len(all))
	for i, ordinal := range all {
		inst := &instances[i]
		inst.Ordinal = ordinal
		if pod, ok := ks.cluster.Pods[ordinal]; ok {
			pods[i] = pod
			inst.Pod = &pods[i]
			inst.LastBeat = ks.beats.last(ordinal, inst.Pod)
			// A sample from before this pod is another pod's. Kubernetes' times are whole seconds.
			if u, ok := ks.usage.Usage[ordinal]; ok && !u.At.Before(pod.Created.Truncate(time.Second)) {
				usages[i] = u
				inst.Usage = &usages[i]
			}
		}
		if pod, ok := ks.cluster.Unadopted[ordinal]; ok {
			inst.Unadopted = &pod
		}
		if list, ok := ks.assignment.Lists[ordinal]; ok {
			list.Unapplied = ks.unapplied.since(ordinal, &list)
			lists[i] = list
			inst.List = &lists[i]
		}
	}
	return instances
}
