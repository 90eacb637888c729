package ops

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/spans"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// KindOf is the kind as a view shows it.
func KindOf(v *View) Kind {
	k := Kind{
		Name: v.Config.Name, Mode: string(modeOf(&v.Config)), At: v.Now, Groups: []Group{groupOf(v)}, Resources: resourcesOf(v), WorstLag: worstLag(v),
		Alarms: Alarms(v), Paused: pausedOf(v), Overrides: Over{Override: v.Override, Operator: v.Operator}.List(), Progress: v.Progress, Waiting: v.Waiting,
		Sources: sourcesOf(v), Generation: v.Generation,
	}
	if v.State != nil {
		k.Epoch = v.State.Head.Epoch
	}
	d := v.Decision
	if d == nil {
		k.Blind = cmp.Or(v.Undecided, "no decision has been made yet")
		k.Why = "nothing is decided: " + k.Blind
		return k
	}
	k.Verb, k.Reason, k.Why, k.Blind, k.Drain = string(d.Verb), string(d.Reason), d.Summary, d.Blind, d.Drain
	return k
}

// modeOf is the kind's mode; snapshots of builds that knew none are of kinds that act.
func modeOf(c *config.Kind) config.Mode { return cmp.Or(c.Mode, config.ModeAct) }

// Undated is the kind without what changes by time alone: two that are equal so say the same.
func (k Kind) Undated() Kind {
	k.At = time.Time{}
	k.Progress.PerMinute, k.Progress.EstimatedEnd = 0, nil
	k.Sources = slices.Clone(k.Sources)
	for i := range k.Sources {
		k.Sources[i].At, k.Sources[i].Age = time.Time{}, ""
	}
	if k.WorstLag != nil {
		k.WorstLag = &WorstLag{Instance: k.WorstLag.Instance}
	}
	return k
}

func groupOf(v *View) Group {
	c, w := &v.Config, v.Snapshot.Workload
	g := Group{
		StatefulSet: c.StatefulSet, Namespace: v.Snapshot.Namespace, Init: c.Init, Max: c.Max, Capacity: c.Capacity,
		TargetPerInstance: c.TargetPerInstance, Owner: string(c.Replicas.Owner), Mode: string(c.Replicas.Mode.AtMost(modeOf(c))),
		Open: strings.ReplaceAll(spans.Text(v.Snapshot.Open, "-"), ", ", ","),
	}
	if w != nil {
		g.Start, g.Replicas, g.Ready = w.Start, &w.Replicas, &w.ReadyReplicas
	}
	if v.Decision != nil {
		g.Owner = string(v.Decision.Owner)
	}
	if d := v.decided(); d != nil {
		g.Desired, g.Needed, g.Recommended = &d.Desired, &d.Needed, d.Recommended
	}
	return g
}

func resourcesOf(v *View) *Resources {
	k := &v.Snapshot
	if !k.Sources.Store.Known() {
		return nil
	}
	r := &Resources{Total: k.Resources(), Assigned: k.Assigned, InFlight: k.InFlight, Unassigned: k.Unassigned}
	r.Excess = max(0, r.Total-v.Config.Max*v.Config.Capacity)
	if k.Sources.Catalogue.Known() && !v.Follows {
		r.Catalogue = &k.Catalogue
	}
	return r
}

func worstLag(v *View) *WorstLag {
	var worst time.Duration
	var at *WorstLag
	for i := range v.Snapshot.Instances {
		inst := &v.Snapshot.Instances[i]
		if inst.Pod == nil || inst.Pod.Terminating {
			continue
		}
		lag, err := observed.Lag(&v.Snapshot, v.Config, inst, v.Now)
		if err == nil && (at == nil || lag > worst) {
			worst, at = lag, &WorstLag{Instance: inst.Ordinal, Lag: config.Duration(lag).String()}
		}
	}
	return at
}

func pausedOf(v *View) Paused {
	in := decide.Input{Config: v.Config, Observed: v.Snapshot}
	p := Paused{Value: v.Config.Rebalance.Paused, Source: "ConfigMap", Sizes: in.Paused() != ""}
	group := in.Group()
	switch {
	case v.Override.Paused != nil:
		p.Source, p.Said = "override", v.Override.Paused.Said
	case !p.Value && !v.Config.Paused && group != nil && group.Paused:
		p.Source = "InstanceGroup"
	}
	p.Value = p.Value || p.Sizes
	return p
}

// input is a source, and the age past which it is too old; 0: it is connected or not.
type input struct {
	name  string
	of    *observed.Source
	limit time.Duration
}

// inputs are the sources of a kind, the gravest first.
func inputs(v *View) []input {
	s := &v.Snapshot.Sources
	all := []input{
		{"store", &s.Store, observed.StoreMaxAge},
		{"cluster", &s.Cluster, observed.ClusterMaxAge},
		{"metrics", &s.Metrics, v.Config.Freshness.Metrics.Std()},
		{"catalogue", &s.Catalogue, v.Config.Freshness.Catalogue.Std()},
		{"bus", s.Bus, observed.BusMaxAge},
		{"notify", &s.Notify, 0},
		{"groups", &s.Groups, observed.ClusterMaxAge},
		{"hpas", &s.HPAs, observed.ClusterMaxAge},
	}
	return slices.DeleteFunc(all, func(i input) bool {
		return i.of == nil || v.Follows && (i.of == &s.Catalogue || i.of == &s.Notify)
	})
}

func sourcesOf(v *View) []Source {
	all := []Source{}
	for _, i := range inputs(v) {
		s := Source{Name: i.name, At: i.of.At, Error: i.of.Error, Since: i.of.ErrorAt}
		if i.of.Known() {
			s.Age = config.Duration(max(0, i.of.Age(v.Now))).String()
		}
		all = append(all, s)
	}
	return all
}
