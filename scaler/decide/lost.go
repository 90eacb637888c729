package decide

import (
	"fmt"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
)

// Lost is an instance on a node that is not Ready: Kubernetes cannot tell whether it runs.
type Lost struct {
	Ordinal int       `json:"ordinal"`
	Pod     string    `json:"pod"`
	UID     string    `json:"uid"`
	Node    string    `json:"node"`
	Since   time.Time `json:"since,omitzero"`
	// Leaves says that its grace is over: what it owns is reassigned, as far as its release is
	// proven.
	Leaves bool `json:"leaves,omitempty"`
	Owned  int  `json:"owned"`
	// Fate is empty in a decision: it is a part of what a report shows of an outcome.
	Fate
	Text string `json:"text"`
}

// Fate is what becomes of what an instance owns that is to leave without being asked.
type Fate struct {
	// Unproven says why it stays with the instance.
	Unproven string `json:"unproven,omitempty"`
	// AssumedDead is the person on whose word the pod is assumed dead.
	AssumedDead string `json:"assumedDead,omitempty"`
}

// maxLostShare is the share of the instances (and at least two) that may be on lost nodes: when
// more are, it is rather Kubernetes that lost sight of them than they that died, and none of them
// is touched.
const maxLostShare = 0.34

// lost lists the instances of the size that is whose node is lost.
func lost(in *Input) (all []Lost) {
	w := in.Observed.Workload
	if w == nil {
		return nil
	}
	for _, inst := range in.Observed.Instances {
		if p := inst.Pod; p != nil && !p.NodeLost.IsZero() && w.Has(inst.Ordinal) {
			l := Lost{Ordinal: inst.Ordinal, Pod: p.Name, UID: p.UID, Node: p.Node, Since: p.NodeLost, Owned: inst.Owned()}
			l.Text = fmt.Sprintf("%s is on node %s, lost for %s", p.Name, p.Node, config.Duration(in.Now.Sub(p.NodeLost)))
			all = append(all, l)
		}
	}
	grace, partial := in.Config.LostNodeGrace.Std(), unadopted(in)
	for i := range all {
		l := &all[i]
		switch {
		case partial != "":
			l.Text += "; no automatic reassign: " + partial
		case len(all) >= 2 && float64(len(all)) > maxLostShare*float64(w.Replicas):
			l.Text += fmt.Sprintf("; no automatic reassign: lost instances: %d of %d (limit %g%%)", len(all), w.Replicas, maxLostShare*100)
		case in.Now.Sub(l.Since) < grace:
			l.Text += fmt.Sprintf("; lostNodeGrace ends in %s", config.Duration(grace-in.Now.Sub(l.Since)))
		default:
			l.Leaves = true
		}
	}
	return all
}
