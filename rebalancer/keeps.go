package rebalancer

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// keeping is why an instance keeps what it has, and since when without a break: with acknowledged
// hand-off nothing is moved out of an instance of which no proof of release is to be expected
// (protocol rule 6). Where it is, it runs; in flight it would not.
type keeping struct {
	why   string
	since time.Time
	// sure: what stands in place of a status shows that the instance does not acknowledge. lapsed:
	// this leader has seen the present pod acknowledge, and now its status is gone.
	sure, lapsed bool
}

// final says that this is no lapse, lapses that it looks like one.
func (k keeping) final(now time.Time) bool  { return k.sure || now.Sub(k.since) >= observed.StatusLapse }
func (k keeping) lapses(now time.Time) bool { return k.lapsed && !k.final(now) }

// keptBy is what the answers of keeps depend on.
type keptBy struct {
	orders    int
	looked    time.Time
	instances int
}

// findKeepers finds out which instances keep what they have, if anything has changed that this depends on.
func (t *term) findKeepers(now time.Time) {
	this := keptBy{t.ordered, t.refreshed, len(t.st.Instances)}
	if t.keptBy == this {
		return
	}
	before := t.keeping
	t.keptBy, t.keeping, t.keepers = this, map[int]keeping{}, ""
	if t.orders.HandOff != config.HandOffAcknowledged {
		return
	}
	for n, in := range t.st.Instances {
		why := t.unreleasable(n, in)
		if why == "" {
			continue
		}
		k := keeping{why: why, since: now, sure: in.StatusFault != ""}
		if was, kept := before[n]; kept {
			k.since = was.since
		}
		last := t.flights.last[n]
		k.lapsed = in.Status == nil && !k.sure && last != nil && last.Pod != "" && last.Pod == t.orders.Pods[n]
		t.keeping[n] = k
	}
	if len(t.keeping) > 0 {
		t.keepers = fmt.Sprint(ordinals(t.keeping))
	}
}

// keeps says why nothing may be moved out of n; "" when it may.
func (t *term) keeps(n int) string { return t.keeping[n].why }

// keepsForGood says that nothing may be moved out of n, and that this is no lapse.
func (t *term) keepsForGood(n int) bool {
	k, kept := t.keeping[n]
	return kept && k.final(t.now)
}

// unreleasable says why no proof is to be expected that n releases what is taken from it; "" when
// one is: it answers, it is gone, or it has released everything already.
func (t *term) unreleasable(n int, in *protocol.Instance) string {
	gone := slices.Contains(t.orders.Gone, n) && !in.Live // a live status speaks against it
	if gone || t.deadPod(n) || in.Status == nil && t.unprovable(n) == "" {
		return ""
	}
	return observed.NotAcknowledging(statusOf(in), in.StatusFault, t.orders.Pods[n])
}

// absence is what this leader has seen of n's status being absent after that moment, and what
// stands in its place.
func (t *term) absence(n int, after time.Time) protocol.Absence {
	a := t.flights.absence(n, after)
	if in := t.st.Instances[n]; in != nil {
		if a.Fault = in.StatusFault; in.Ahead() {
			a.Fault = fmt.Sprintf("tells that the instance has applied %d, which is ahead of _reload, %d", in.Status.Times, in.Times)
		}
	}
	return a
}

// unreleased says what a flight waits for.
func (t *term) unreleased(f *protocol.Flight, why string, now time.Time) string {
	text := fmt.Sprintf("instance %d has not released %d resources: %s", f.From, f.IDs.Len(), why)
	if k, kept := t.keeping[f.From]; kept && !k.lapses(now) {
		text += ": " + waysOut(t.st.Kind, f.From)
	}
	return text
}

// waysOut is what a person can do where nothing will prove what an instance has released.
func waysOut(kind string, n int) string {
	return "it does not acknowledge, as handOff: acknowledged needs; ways out: handOff: immediate for the kind, a version of the instance that acknowledges, " +
		"the end of its pod for good (replicas lowered by hand), or, if it is dead for certain, " + orders.ReassignCommand(kind, n)
}

// namedKeepers is how many instances that keep what they have are named at once.
const namedKeepers = 3

// blockKept says why what should leave its instance stays there.
func (t *term) blockKept(now time.Time) {
	var texts []string
	for _, n := range ordinals(t.keeping) {
		if text := t.kept(n, now); text != "" {
			texts = append(texts, text)
		}
	}
	if more := len(texts) - namedKeepers; more > 0 {
		texts = append(texts[:namedKeepers], fmt.Sprintf("%d more instances keep what they have", more))
	}
	if len(texts) > 0 {
		t.block(strings.Join(texts, "; "))
	}
}

// kept says what should leave n and does not, and why; "" when there is nothing.
func (t *term) kept(n int, now time.Time) string {
	k, in := t.keeping[n], t.st.Instances[n]
	if in == nil {
		return ""
	}
	what, count := "is to leave and keeps %d resources", in.IDs.Len()
	if t.stays(n) {
		what, count = "keeps %d resources that pins forbid there", 0
		if t.pinned() {
			count = t.listed(n, in).misplaced
		}
	}
	if count == 0 {
		return ""
	}
	text := fmt.Sprintf("instance %d "+what+": %s", n, count, k.why)
	if k.lapses(now) {
		return text + ", and it acknowledged before: waiting for it to come back"
	}
	return text + ": " + waysOut(t.st.Kind, n)
}
