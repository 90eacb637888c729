package ops

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// How grave an alarm is.
const (
	Critical = "critical" // nothing is decided or moved, or resources do not run
	Warning  = "warning"  // a person has to settle it
	Info     = "info"     // it is as a person wanted it, or ends by itself
)

var gravity = map[string]int{Critical: 0, Warning: 1, Info: 2}

// alarms collects what is wrong with a kind.
type alarms struct {
	v   *View
	all []Alarm
}

// Alarms are all that a person should look at, the gravest first. A view of nothing but good news
// has none.
func Alarms(v *View) []Alarm {
	a := &alarms{v: v, all: []Alarm{}}
	a.stops()
	a.inputs()
	a.sizes()
	a.writers()
	a.instances()
	a.moves()
	a.resources()
	slices.SortStableFunc(a.all, func(x, y Alarm) int { return cmp.Compare(gravity[x.Severity], gravity[y.Severity]) })
	return a.all
}

// add takes an alarm whose sentence is not empty.
func (a *alarms) add(severity, name, text, cure string, params ...string) *Alarm {
	if text == "" {
		return &Alarm{}
	}
	a.all = append(a.all, Alarm{Name: name, Severity: severity, Text: text, Cure: cure, Params: Params(params...)})
	return &a.all[len(a.all)-1]
}

// Params are names and values in turn, by name; nil: there are none.
func Params(pairs ...string) map[string]string {
	var params map[string]string
	for i := 0; i+1 < len(pairs); i += 2 {
		if params == nil {
			params = map[string]string{}
		}
		params[pairs[i]] = pairs[i+1]
	}
	return params
}

// command is a line to type.
func (a *alarms) command(verb, rest string) string {
	text := "kubectl shardscaler " + verb + " " + a.v.Config.Name
	if rest != "" {
		text += " " + rest
	}
	return text
}

const cureOfMode = "set mode: act in the ConfigMap for this kind; a server with --mode or SHARDSCALER_DISABLE needs a start without them"

// stops are why the kind as a whole does nothing.
func (a *alarms) stops() {
	v := a.v
	stopped := orders.Stopped(v.State, &v.Progress)
	if stopped != "" {
		a.add(Critical, "stopped", "the kind is stopped: "+stopped,
			"end what the sentence names (another client that writes below the kind's znode, a missing right, a znode that cannot be read); it goes on by itself",
			"why", stopped)
	} else if v.Progress.Refused != "" {
		a.add(Critical, "refused", "ZooKeeper refuses what is to be written: "+v.Progress.Refused,
			"look at ZooKeeper's rights and quotas for the path; it is tried again after pauses that grow", "why", v.Progress.Refused)
	}
	mode := v.Config.Mode
	switch mode {
	case config.ModeObserve:
		a.add(Info, "mode", "mode is observe: nothing is decided or written", cureOfMode, "mode", string(mode))
	case config.ModeRecommend:
		a.add(Info, "mode", "mode is recommend: decisions are shown, and nothing is written", cureOfMode, "mode", string(mode))
	}
	switch d := v.Decision; {
	case mode == config.ModeObserve: // there is none to miss
	case d == nil:
		a.add(Critical, "undecided", cmp.Or(v.Undecided, "no decision has been made yet"),
			"look at the leader's log: it does not decide, or what it decides does not reach ZooKeeper", "why", v.Undecided)
	case d.Blind != "":
		a.add(Critical, "blind", "nothing is decided or moved: "+d.Blind, "make the named source readable; it goes on by itself",
			"why", d.Blind, "reason", string(d.Reason))
	}
	if v.Refused != "" {
		a.add(Warning, "configuration-refused", "a newer configuration is refused, the last good one stays: "+v.Refused,
			"correct the ConfigMap; `shardscaler check-config FILE` says what is wrong", "why", v.Refused, "version", v.Version)
	}
	p := pausedOf(v)
	if p.Value {
		a.add(Info, "paused", "voluntary moves are paused"+pick(p.Sizes, ", and no size is written", ""),
			pick(p.Source == "override", a.command("resume", ""), "it is paused by the "+p.Source+": change that"), "source", p.Source)
	}
}

func pick(condition bool, yes, no string) string {
	if condition {
		return yes
	}
	return no
}

// inputs are the sources that fail or are too old. Without the first two nothing is decided.
func (a *alarms) inputs() {
	for i, in := range inputs(a.v) {
		severity := pick(i < 2, Critical, Warning)
		cure := "make it readable from the pods of shardscaler: " + reach[in.name]
		switch s := in.of; {
		case s.Error != "":
			since := a.add(severity, "source-failing", fmt.Sprintf("%s cannot be read: %s", title[in.name], s.Error), cure, "source", in.name, "error", s.Error)
			since.Since = s.ErrorAt
		case in.limit > 0 && s.Known() && !s.Fresh(a.v.Now, in.limit):
			age, limit := config.Duration(s.Age(a.v.Now)).String(), in.limit
			a.add(severity, "source-too-old", fmt.Sprintf("%s was last read %s ago, at most %s is good", title[in.name], age, config.Duration(limit)),
				cure, "source", in.name, "age", age, "limit", config.Duration(limit).String())
		}
	}
}

// title is how sentences call a source, reach where it is found.
var (
	title = map[string]string{
		"store": "ZooKeeper", "cluster": "Kubernetes (StatefulSet and pods)", "metrics": "the use of CPU and memory", "catalogue": "the catalogue",
		"bus": "Kafka (heartbeats)", "notify": "MQTT (cm/notify)", "groups": "the InstanceGroups", "hpas": "the HPAs",
	}
	reach = map[string]string{
		"store": "--zookeeper, its rights, its load", "cluster": "the API server, and the Role of shardscaler", "metrics": "metrics-server (kubectl top pods)",
		"catalogue": "the database of --catalogue-dsn-file and the kind's query", "bus": "--kafka and the topic", "notify": "--mqtt and the broker's ACL",
		"groups": "the CRD and the Role of shardscaler", "hpas": "the Role of shardscaler",
	}
)

// sizes are about the size that is decided on and not brought about, or not enough.
func (a *alarms) sizes() {
	d := a.v.decided()
	if d == nil {
		return
	}
	if d.Excess > 0 {
		a.add(Critical, "excess", fmt.Sprintf("resources beyond max × capacity (%d × %d): %d; they wait without an instance", d.Max, d.Capacity, d.Excess),
			"raise max, or capacity: "+a.command("plan", "--capacity N"), "excess", strconv.Itoa(d.Excess), "max", strconv.Itoa(d.Max), "capacity", strconv.Itoa(d.Capacity))
	}
	for _, l := range d.Limits {
		if l.By == decide.ByMax && d.Desired == d.Max && d.Excess == 0 {
			a.add(Warning, "at-max", fmt.Sprintf("the signals ask for %d instances, max is %d", l.From, d.Max), "raise max, or lower what each signal needs",
				"needed", strconv.Itoa(l.From), "max", strconv.Itoa(d.Max))
		}
		if l.By == decide.ByUnschedulable {
			a.add(Warning, "unschedulable", l.Text, "add nodes, or lower the pods' requests", "why", l.Text)
		}
	}
	if act := d.Acted(); act.Done == outcome.Failed {
		a.add(Warning, "size-not-written", "the size could not be written: "+act.Text, "look at the message of the API server in the sentence", "why", act.Text)
	}
	for _, h := range d.Hot {
		if h.Relief == decide.ByNothing {
			hot := a.add(Warning, "overloaded", fmt.Sprintf("instance %d is at %.2f of its %s target, and neither moves nor growth help", h.Ordinal, h.Ratio, h.Signal),
				"one resource is the load: divide it, or raise the pods' requests", "instance", strconv.Itoa(h.Ordinal), "signal", string(h.Signal),
				"ratio", fmt.Sprintf("%.2f", h.Ratio))
			hot.Ordinals = []int{h.Ordinal}
		}
	}
}

// writers are about rights, and about others that write replicas.
func (a *alarms) writers() {
	d := a.v.Decision
	if d == nil {
		return
	}
	a.add(Critical, "denied", d.Denied, "name the StatefulSet in the chart's value statefulSets, or in Role shardscaler-statefulsets; shardscaler preflight says what else lacks", "why", d.Denied)
	if c := d.Conflict; c != nil {
		a.add(Warning, "conflict", c.Text, "delete the HPA, or set replicas.owner to hpa", "why", c.Text)
	}
	text := d.Foreign.Text()
	a.add(Warning, "foreign-writer", text, "stop the other writer, then: "+a.command("pause", "")+" and "+a.command("resume", ""), "why", text)
	if m := d.NotAcknowledging; m != nil {
		alarm := a.add(Warning, "not-acknowledging", m.Text, "restart those pods with a version that acknowledges, or set handOff: immediate",
			"count", strconv.Itoa(len(m.Instances)), "of", strconv.Itoa(m.Of))
		for _, i := range m.Instances {
			alarm.Ordinals = append(alarm.Ordinals, i.Ordinal)
		}
	}
}

// moves are about what is being moved.
func (a *alarms) moves() {
	p, drain := &a.v.Progress, (*outcome.Drain)(nil)
	if d := a.v.Decision; d != nil {
		drain = d.Drain
	}
	if drain.BlockedFor(a.v.Now, outcome.WarnedAfter) {
		alarm := a.add(Warning, "drain-blocked", fmt.Sprintf("the drain of %s does not progress (%d left): %s", decide.Instances(drain.Ordinals), drain.Left, drain.Blocked),
			"settle what the sentence names: room elsewhere, a pin, an instance that has not released", "why", drain.Blocked, "left", strconv.Itoa(drain.Left))
		alarm.Ordinals, alarm.Since = drain.Ordinals, drain.BlockedSince
	} else if p.Blocked != "" && drain == nil {
		a.add(Info, "moves-blocked", "moves wait: "+p.Blocked, "none if it ends by itself; else settle what the sentence names", "why", p.Blocked)
	}
	if n := len(p.Duplicates); n > 0 {
		d := p.Duplicates[0]
		a.add(Warning, "duplicates", fmt.Sprintf("resources found in two places since this leader leads: %d, such as %s (stayed in %s, taken out of %s)", n, d.ID, d.Stayed, d.Removed),
			"find the other client that writes below the kind's znode", "count", strconv.Itoa(n), "example", d.ID)
	}
	a.add(Warning, "unannounced", p.Unannounced, "let the broker's ACL pass cm/notify to shardscaler, and have the platform publish it", "why", p.Unannounced)
	if w := a.v.Waiting; w != nil {
		for _, s := range w.Sets {
			alarm := a.add(Warning, "deletes-waiting", fmt.Sprintf("set %d: %d of %d resources are missing from the catalogue (%.1f %%) and wait for a person", s.Set, s.Count, s.Known, s.Share*100),
				"if the rows are really gone: "+a.command("confirm", fmt.Sprintf("--deletes %d --set %d", s.Count, s.Set)),
				"count", strconv.Itoa(s.Count), "set", strconv.Itoa(s.Set), "known", strconv.Itoa(s.Known))
			alarm.Since = s.Since
		}
	}
}

// resources are those that wait for an instance.
func (a *alarms) resources() {
	for _, g := range a.v.Progress.Parked {
		from := "the pool"
		if g.From >= 0 {
			from = fmt.Sprintf("instance %d", g.From)
		}
		a.add(Warning, "parked", fmt.Sprintf("resources in %s without an instance that may have them: %d, such as %s: %s", from, g.Count, first(g.Examples), g.Meaning),
			"add room, or change the pin that the sentence names", "why", g.Why, "pin", g.Pin, "count", strconv.Itoa(g.Count), "from", strconv.Itoa(g.From))
	}
	k := &a.v.Snapshot
	if n := k.Unassigned; n > 0 && k.Sources.Store.Known() && len(a.v.Progress.Parked) == 0 {
		a.add(pick(a.v.decided() == nil, Warning, Info), "unassigned", fmt.Sprintf("resources that wait for an instance: %d", n),
			"none if the number falls; else look at the other alarms", "count", strconv.Itoa(n))
	}
}

func first(names []string) string {
	if len(names) == 0 {
		return "?"
	}
	return names[0]
}
