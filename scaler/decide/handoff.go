package decide

import (
	"fmt"
	"strings"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
)

// NotAcknowledging says which instances do not acknowledge although they should: nothing leaves
// them.
type NotAcknowledging struct {
	Instances []NotAcknowledgingInstance `json:"instances"`
	// Of counts all instances that have a pod. Text is what a person reads.
	Of   int    `json:"of"`
	Text string `json:"text"`
}

// NotAcknowledgingInstance is one of them.
type NotAcknowledgingInstance struct {
	Ordinal int    `json:"ordinal"`
	Pod     string `json:"pod"`
	Why     string `json:"why"`
}

// notAcknowledging says why an instance does not acknowledge; "": it does, need not, or soon may.
func notAcknowledging(in *Input, inst *observed.Instance) string {
	p, l := inst.Pod, inst.List
	if in.Config.HandOff != config.HandOffAcknowledged || p == nil || !p.Ready || p.Terminating || l == nil {
		return ""
	}
	if l.StatusSince.IsZero() || in.Now.Sub(l.StatusSince) < observed.StatusLapse || in.Now.Sub(p.ReadyChanged) < observed.StatusLapse {
		return ""
	}
	return inst.NotAcknowledging()
}

// allNotAcknowledging lists the instances that do not acknowledge; nil: there are none.
func allNotAcknowledging(in *Input) *NotAcknowledging {
	m := NotAcknowledging{}
	for _, inst := range in.Observed.Instances {
		if inst.Pod != nil {
			m.Of++
		}
		if why := notAcknowledging(in, &inst); why != "" {
			m.Instances = append(m.Instances, NotAcknowledgingInstance{Ordinal: inst.Ordinal, Pod: inst.Pod.Name, Why: why})
		}
	}
	if len(m.Instances) == 0 {
		return nil
	}
	m.Text = fmt.Sprintf("instances not acknowledging (handOff: acknowledged): %s (%d of %d); nothing is moved out of them, they cannot be drained",
		m.names(), len(m.Instances), m.Of)
	return &m
}

// shownNotAcknowledging is how many of them a sentence names.
const shownNotAcknowledging = 3

func (m *NotAcknowledging) names() string {
	var names []string
	for _, i := range m.Instances[:min(len(m.Instances), shownNotAcknowledging)] {
		names = append(names, fmt.Sprintf("%d (%s)", i.Ordinal, i.Why))
	}
	if more := len(m.Instances) - shownNotAcknowledging; more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}
