package scaler

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// loses puts instance 2 of a led world of four on a lost node.
func loses(t *testing.T) (*world, *Scaler) {
	w, s := led(t, 4, 400)
	w.cfg.LostNodeGrace = config.Duration(time.Minute)
	w.lost, w.ready[2] = map[int]time.Time{2: w.now}, false
	return w, s
}

func TestALostInstanceLeavesAfterItsGrace(t *testing.T) {
	w, s := loses(t)
	for range 29 {
		d := w.tick(s, 2*second)
		require.Empty(t, w.orders.Reassign)
		require.Contains(t, d.Lost[0].Text, "lostNodeGrace ends in")
	}
	d := w.tick(s, 2*second)
	require.Equal(t, []int{2}, w.orders.Reassign)
	require.Equal(t, []int{0, 1, 2, 3}, w.orders.Stay, "it is the engine that knows whether it may be emptied")
	require.Contains(t, d.Lost[0].Text, "as far as their release is proven")

	w.unproven = map[int]string{2: "the status is absent"}
	d = w.tick(s, 2*second)
	require.Contains(t, d.Lost[0].Text, "not reassigned: the status is absent")
	require.Contains(t, d.Lost[0].Text, "shardscaler reassign Thing 2 --assume-dead --server URL")
	require.Equal(t, 3, count(w.events, "InstanceLost"), "one for each change of what becomes of it")
	for range 20 {
		w.tick(s, 2*second)
	}
	require.Equal(t, 3, count(w.events, "InstanceLost"))

	clear(w.lost)
	w.tick(s, 2*second)
	require.Empty(t, w.orders.Reassign)
	require.Empty(t, w.took(), "no size was written for it")
}

// What the health's verdicts want given away is ordered in the same way.
func TestAnInstanceThatDoesNotWorkLeavesLikeALostOne(t *testing.T) {
	w, s := led(t, 4, 400)
	w.cfg.Health = config.Health{Action: config.ActionReassign, ReassignAfter: new(config.Duration(time.Minute))}
	w.crashing = map[int]bool{2: true}
	w.ready[2] = false
	for range 29 {
		w.tick(s, 2*second)
		require.Empty(t, w.orders.Reassign)
	}
	w.unproven = map[int]string{2: "the status is absent"}
	for range 3 {
		w.tick(s, 2*second)
	}
	require.Equal(t, []int{2}, w.orders.Reassign)
	require.Equal(t, []int{0, 1, 2, 3}, w.orders.Stay)
	require.Contains(t, s.last.Health.Verdicts[2].Text, "shardscaler reassign Thing 2 --assume-dead --server URL")
	require.Equal(t, 1, count(w.events, "InstanceLost"))
	delete(w.crashing, 2)
	w.ready[2] = true
	w.tick(s, 2*second)
	require.Empty(t, w.orders.Reassign)
}

// atOnce is a led world of four that acknowledges, and reassigns at once what runs nowhere.
func atOnce(t *testing.T) (*world, *Scaler) {
	w, s := led(t, 4, 400)
	w.cfg.HandOff = config.HandOffAcknowledged
	w.cfg.Health = config.Health{Action: config.ActionReassign, ReassignAfter: new(config.Duration(0))}
	w.tick(s, 2*second)
	require.Empty(t, w.orders.Reassign)
	return w, s
}

func TestAnInstanceWhosePodIsGoneIsReassignedInTheTickThatSeesIt(t *testing.T) {
	w, s := atOnce(t)
	lists := w.podLists
	delete(w.pods, 2)
	w.tick(s, 2*second)
	require.Equal(t, lists+1, w.podLists, "it is proven before anything is taken")
	require.Equal(t, []int{2}, w.orders.Reassign)
	require.Equal(t, []int{2}, w.orders.Gone)
	require.Equal(t, w.now, w.orders.PodsAt)
	w.flights = []orders.Flight{{From: 2}}
	w.lists[2] = 0
	w.unseen = map[int]bool{2: true}
	w.tick(s, 2*second)
	require.Equal(t, lists+2, w.podLists, "what is in flight takes a list from after the revoke, at once")
	require.NotContains(t, w.orders.Gone, 2, "there is a pod again, which the snapshot does not show yet")
}

// The controller counts a pod that goes as one that is to be replaced; its revision tells.
func TestAPodThatGoesIsNoRollingUpdate(t *testing.T) {
	for revision, reassigned := range map[string][]int{"new": {2}, "old": nil} {
		w, s := atOnce(t)
		delete(w.pods, 2)
		k := w.snapshot()
		k.Workload.UpdateRevision, k.Workload.StatusReplicas, k.Workload.UpdatedReplicas = "new", 4, 3
		for i := range k.Instances {
			if p := k.Instances[i].Pod; p != nil {
				p.Labels = map[string]string{observed.RevisionLabel: "new"}
			}
		}
		k.Instance(0).Pod.Labels[observed.RevisionLabel] = revision
		look(t.Context(), t, s, w.now, w.cfg, k)
		require.Equal(t, reassigned, w.orders.Reassign, revision)
	}
}

func TestAnInstanceThatMayRunIsNotReassignedBeforeAMinute(t *testing.T) {
	w, s := atOnce(t)
	w.crashing, w.ready[2] = map[int]bool{2: true}, false
	for range 30 {
		w.tick(s, 2*second)
		require.Empty(t, w.orders.Reassign)
	}
	w.tick(s, 2*second)
	require.Equal(t, []int{2}, w.orders.Reassign)
}

// The container of an instance that hangs runs, and its pod may well be Ready.
func TestAnInstanceThatHasFencedItselfIsReassignedAtOnce(t *testing.T) {
	w, s := atOnce(t)
	k := w.snapshot()
	inst := k.Instance(2)
	inst.List.Status, inst.List.Last = nil, &observed.Status{PodUID: inst.Pod.UID, Fences: true, SessionMs: 10_000}
	require.True(t, inst.Fenced())
	report := look(t.Context(), t, s, w.now, w.cfg, k)
	require.Equal(t, []int{2}, w.orders.Reassign)
	require.Equal(t, decide.NotReady, report.Health.Verdicts[2].Condition)
	for name, change := range map[string]func(*observed.Instance){
		"it does not fence itself":  func(i *observed.Instance) { i.List.Last.Fences = false },
		"another pod said so":       func(i *observed.Instance) { i.List.Last.PodUID = "another" },
		"its status cannot be read": func(i *observed.Instance) { i.List.StatusFault = "is present and empty" },
	} {
		k := w.snapshot()
		inst := k.Instance(2)
		inst.List.Status, inst.List.Last = nil, &observed.Status{PodUID: inst.Pod.UID, Fences: true, SessionMs: 10_000}
		change(inst)
		look(t.Context(), t, s, w.now, w.cfg, k)
		require.Empty(t, w.orders.Reassign, name)
	}
}

func TestManyLostAtOnceAreNotTouched(t *testing.T) {
	w, s := loses(t)
	w.lost[3] = w.now
	d := w.tick(s, time.Hour)
	require.Empty(t, w.orders.Reassign)
	require.Contains(t, d.Lost[0].Text, "lost instances: 2 of 4 (limit 34%)")
}

func TestAPersonsWordHoldsForThatPodUntilItIsReady(t *testing.T) {
	w, s := loses(t)
	uid := w.pods[2]
	doc, err := AssumeDead(nil, AssumedDead{Ordinal: 2, Pod: "iota-dac-2", UID: uid, By: "ann", At: w.now})
	require.NoError(t, err)
	w.docs[AssumedDeadName] = doc
	d := w.tick(s, 2*second)
	require.Equal(t, map[string]bool{uid: true}, w.orders.AssumedDead)
	require.Contains(t, d.Lost[0].Text, "assumed dead by ann")
	w.docs[AssumedDeadName] = fmt.Appendf(nil, `{"entries":[{"ordinal":2,"pod":"iota-dac-2","uid":%q,"by":"ann"}]}`, uid)
	d = w.tick(s, 2*second)
	require.Contains(t, d.Lost[0].Text, "assumed dead by ann at an unknown time: its resources")
	w.holder, w.epoch = "two/b", 2
	s = w.scaler(Config{})
	w.tick(s, 2*second)
	require.True(t, w.orders.AssumedDead[uid], "a new leader knows, too")
	w.ready[2] = true
	w.tick(s, 2*second)
	require.Empty(t, w.orders.AssumedDead, "it was not dead")
}

func TestTheRecordOfWordsIsBounded(t *testing.T) {
	var doc []byte
	var err error
	for i := range 150 {
		doc, err = AssumeDead(doc, AssumedDead{UID: fmt.Sprint(i % 120), By: fmt.Sprint(i)})
		require.NoError(t, err)
	}
	entries, err := parseAssumedDead(doc)
	require.NoError(t, err)
	require.Len(t, entries, assumedDeadKept)
	require.Equal(t, AssumedDead{UID: "29", By: "149"}, entries[99])
	_, err = AssumeDead([]byte("{"), AssumedDead{})
	require.Error(t, err, "a record that cannot be read is not overwritten")
}

func TestWhatShowsThatAnInstanceLives(t *testing.T) {
	now := time.Unix(1000, 0)
	cfg := config.Default("Thing", "iota-dac")
	beat := func(ago time.Duration) *time.Time { at := now.Add(-ago); return &at }
	for want, inst := range map[string]observed.Instance{
		"":                      {Pod: &observed.Pod{UID: "u", Started: time.Unix(1, 0)}, LastBeat: beat(95 * second)},
		"its pod is Ready":      {Pod: &observed.Pod{UID: "u", Ready: true}},
		"its ZooKeeper session": {Pod: &observed.Pod{UID: "u"}, List: &observed.List{Status: &observed.Status{PodUID: "u"}}},
		"its ZooKeeper session is alive": {
			Pod: &observed.Pod{UID: "u", Created: time.Unix(900, 0)}, List: &observed.List{Status: &observed.Status{}, SessionSince: time.Unix(901, 0)},
		},
		"it sent a heartbeat 5s ago": {Pod: &observed.Pod{UID: "u", Started: time.Unix(1, 0)}, LastBeat: beat(5 * second)},
	} {
		k := observed.Kind{Instances: []observed.Instance{inst}, Sources: observed.Sources{Bus: &observed.Source{At: now}}}
		got := Alive(&k, cfg, &k.Instances[0], now)
		require.Contains(t, got, want)
		require.Equal(t, want == "", got == "")
	}
}
