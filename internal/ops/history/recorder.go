package history

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// The types of entries.
const (
	TypeSample   = "sample"
	TypeDecision = "decision"
	TypeMoves    = "moves"
	TypeChange   = "change"
	TypeGap      = "gap"
)

// Types are all of them.
var Types = []string{TypeSample, TypeDecision, TypeMoves, TypeChange, TypeGap}

// Why there is a gap.
const (
	GapNoLeader    = "no-leader"
	GapLeaderEnded = "leader-ended"
	GapBlind       = "blind"
	GapBudget      = "budget"
	GapFull        = "full"
	GapDamaged     = "damaged"
	GapUnread      = "unread"
)

const (
	// sampleEvery is the time between two samples.
	sampleEvery = time.Minute
	// maxWaiting bounds the records that wait to be stored, maxWaitingWhole the bytes of their
	// whole decisions, and maxWhole those of one.
	maxWaiting      = 2000
	maxWaitingWhole = 2 << 20
	maxWhole        = 128 << 10
	// maxSaid bounds texts of others, in bytes.
	maxSaid = 1000
	// cleanPause is the longest time between two leaders that is no gap, if the first had stored
	// everything: an election takes that long.
	cleanPause = time.Minute
)

// Tick is what a leader's tick came to.
type Tick struct {
	Now      time.Time
	Config   config.Kind
	Observed observed.Kind
	Report   *outcome.Report
}

// Recorder makes records of what a leader sees, in one term: its zero value has seen nothing. It is
// used by one goroutine at a time.
type Recorder struct {
	waiting []Record
	whole   int // bytes of the whole decisions that wait
	lost    gap // what was too much to wait
	blind   gap // no sample can be taken
	moves   []ops.Entry
	sampled time.Time
	said    string        // what the last decision meant
	joined  bool          // what there was before this term is settled
	before  *ops.GapEntry // the gap before this term, until it is
}

// gap is a time without records; the zero value: there is none.
type gap struct {
	from, to time.Time
	lost     int
	why      string
}

func (g *gap) widen(now time.Time, why string) {
	if g.from.IsZero() {
		g.from, g.why = now, why
	}
	g.to = now
	g.lost++
}

// Tick records a sample a minute, and a decision that means something else than the last one.
func (r *Recorder) Tick(t Tick) {
	now := second(t.Now)
	if why := cannotSample(&t); why != "" {
		r.blind.widen(now, why)
	} else {
		r.sees(now)
		if now.Sub(r.sampled) >= sampleEvery || now.Truncate(sampleEvery).After(r.sampled) {
			r.sampled = now
			r.add(Record{Entry: ops.Entry{At: now, Type: TypeSample, Sample: sample(&t)}})
		}
	}
	if t.Report == nil {
		return
	}
	if said := meaning(t.Report); said != r.said {
		r.said = said
		r.decided(now, t.Report)
	}
}

// sees ends the time without samples. A moment is none.
func (r *Recorder) sees(now time.Time) {
	if g := r.blind; !g.from.IsZero() && now.Sub(g.from) >= sampleEvery {
		r.add(Record{Entry: gapEntry(g.from, now, GapBlind, "no samples: "+g.why, 0)})
	}
	r.blind = gap{}
}

// cannotSample says why there are no numbers; "": there are.
func cannotSample(t *Tick) string {
	switch s := &t.Observed.Sources; {
	case !s.Store.Fresh(t.Now, observed.StoreMaxAge):
		return "ZooKeeper cannot be read" + s.Store.Because()
	case t.Observed.Workload == nil:
		return "the StatefulSet is not known" + s.Cluster.Because()
	}
	return ""
}

func sample(t *Tick) *ops.Sample {
	k := &t.Observed
	s := &ops.Sample{
		Replicas: k.Workload.Replicas, Ready: k.Workload.ReadyReplicas,
		Resources: k.Resources(), Unassigned: k.Unassigned, InFlight: k.InFlight,
	}
	if lag, err := observed.MaxLag(k, t.Config, t.Now); err == nil {
		s.WorstLag = config.Duration(lag).String()
	}
	s.Desired = s.Replicas
	if d := t.Report; d != nil && d.Blind == "" {
		s.Desired, s.Signals = d.Desired, needs(&d.Decision)
	}
	return s
}

// needs is what each signal needs, in hundredths of an instance: more digits are noise that takes
// room.
func needs(d *decide.Decision) map[string]float64 {
	all := map[string]float64{}
	for _, s := range d.Signals {
		if s.Missing == "" {
			all[string(s.Name)] = float64(int(s.Need*100+0.5)) / 100
		}
	}
	return all
}

// meaning is all of a decision that makes it another one: not its numbers, of which samples tell.
func meaning(d *outcome.Report) string {
	parts := []string{string(d.Verb), string(d.Reason), d.Acted().Done, string(d.Phase()), fmt.Sprint(d.Desired, d.Conflict != nil, d.NotAcknowledging != nil, d.Foreign != nil, d.Rollout != "")}
	if d.Current != nil {
		parts = append(parts, fmt.Sprint(*d.Current))
	}
	for _, l := range d.Limits {
		parts = append(parts, "limit", string(l.By))
	}
	for _, h := range d.Holds {
		parts = append(parts, "hold", string(h.By))
	}
	for _, s := range d.Signals {
		if s.Missing != "" {
			parts = append(parts, "missing", string(s.Name))
		}
	}
	return strings.Join(parts, " ")
}

func (r *Recorder) decided(now time.Time, d *outcome.Report) {
	e := ops.Entry{At: now, Type: TypeDecision, Decision: &ops.DecisionEntry{
		Verb: string(d.Verb), Reason: string(d.Reason), Summary: clip(d.Summary), Desired: d.Desired, Done: d.Acted().Done,
		Drain: string(d.Phase()),
	}}
	if d.Current != nil {
		current := *d.Current
		e.Decision.Current = &current
	}
	kept := *d
	kept.Health.Verdicts = slices.DeleteFunc(slices.Clone(d.Health.Verdicts), func(v decide.Verdict) bool { return v.Condition == decide.Healthy })
	whole, err := json.Marshal(kept)
	if err != nil || len(whole) > maxWhole || r.whole+len(whole) > maxWaitingWhole {
		whole = nil
	}
	r.add(Record{Entry: e, Whole: whole})
}

// Moved counts resources that were moved: those of one plan and reason make one entry a minute.
func (r *Recorder) Moved(now time.Time, plan, why string, n int) {
	now = second(now)
	for i := range r.moves {
		if m := &r.moves[i]; m.Moves.PlanID == plan && m.Moves.Reason == why && now.Sub(m.At) < sampleEvery {
			m.Moves.Count += n
			m.Until = now
			return
		}
	}
	if len(r.moves) >= maxWaiting {
		r.lost.widen(now, "")
		return
	}
	r.moves = append(r.moves, ops.Entry{At: now, Until: now, Type: TypeMoves, Moves: &ops.MovesEntry{PlanID: plan, Reason: why, Count: n}})
}

// Changed records what a person did.
func (r *Recorder) Changed(now time.Time, c ops.ChangeEntry) {
	c.By, c.What, c.Before, c.After = clip(c.By), clip(c.What), clip(c.Before), clip(c.After)
	r.add(Record{Entry: ops.Entry{At: second(now), Type: TypeChange, Change: &c}})
}

// Join looks at what is stored when this term's first records are to be: a time before it of which
// nothing is stored is a gap. Until they are stored a later look counts: an earlier leader may have
// had its last word meanwhile.
func (r *Recorder) Join(c Contents, begun time.Time) {
	if r.joined {
		return
	}
	if was := r.before; was != nil {
		r.before = nil
		r.waiting = slices.DeleteFunc(r.waiting, func(w Record) bool { return w.Gap == was })
	}
	begun = second(begun)
	pause := begun.Sub(c.Until)
	var e ops.Entry
	switch {
	case c.Until.IsZero() || pause <= 0 || c.Ended && pause <= cleanPause:
		return
	case c.Ended:
		e = gapEntry(c.Until, begun, GapNoLeader, "no replica led, or none for more than a moment", 0)
	default:
		e = gapEntry(c.Until, begun, GapLeaderEnded, "the leader ended before it had stored this time; if others led since, they ended within a moment", 0)
	}
	r.before = e.Gap
	r.waiting = slices.Insert(r.waiting, 0, Record{Entry: e})
}

// Damaged says that what was stored before cannot be read.
func (r *Recorder) Damaged(now time.Time, err error) {
	now = second(now)
	r.add(Record{Entry: gapEntry(now, now, GapDamaged, fmt.Sprintf("what was stored before cannot be read: %v", err), 0)})
}

// Waiting are the records to be stored, in the order of time. They stay as they are until Stored or
// Full takes them away, whatever is recorded meanwhile.
func (r *Recorder) Waiting(now time.Time) []Record {
	now = second(now)
	for _, m := range r.moves {
		r.add(Record{Entry: m})
	}
	r.moves = nil
	if g := r.lost; g.lost > 0 {
		r.lost = gap{}
		r.waiting = append(r.waiting, Record{Entry: gapEntry(g.from, g.to, GapFull, fmt.Sprintf("too much waited to be stored; what is missing: %d", g.lost), g.lost)})
	}
	if g := r.blind; !g.from.IsZero() && now.Sub(g.from) >= sampleEvery {
		r.waiting = append(r.waiting, Record{Entry: gapEntry(g.from, now, GapBlind, "no samples: "+g.why, 0)})
		r.blind.from = now
	}
	slices.SortStableFunc(r.waiting, func(a, b Record) int { return a.At.Compare(b.At) })
	return r.waiting
}

// Stored forgets the first n records that waited.
func (r *Recorder) Stored(n int) {
	r.joined = true
	r.waiting = slices.Clone(r.waiting[n:])
	r.whole = 0
	for i := range r.waiting {
		r.whole += len(r.waiting[i].Whole)
	}
}

// Full drops the first n records that waited, for which there was no room: a gap stands for them.
func (r *Recorder) Full(n int, now time.Time) {
	if n == 0 {
		return
	}
	first, gone := r.waiting[0], n
	if first.Gap != nil && first.Gap.Reason == GapBudget { // it goes on
		gone += first.Gap.Lost - 1
	}
	r.Stored(n)
	e := gapEntry(first.At, second(now), GapBudget, fmt.Sprintf("nothing is kept, because the day's %d KiB are used up; entries that are missing: %d", MaxDay>>10, gone), gone)
	r.waiting = slices.Insert(r.waiting, 0, Record{Entry: e})
}

// add has a record wait, or counts it among what is lost.
func (r *Recorder) add(e Record) {
	if len(r.waiting) >= maxWaiting {
		r.lost.widen(e.At, "")
		return
	}
	r.waiting = append(r.waiting, e)
	r.whole += len(e.Whole)
}

func gapEntry(from, to time.Time, reason, text string, lost int) ops.Entry {
	return ops.Entry{At: from, Until: to, Type: TypeGap, Gap: &ops.GapEntry{Reason: reason, Text: clip(text), Lost: lost}}
}

func second(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// clip is a text of at most maxSaid bytes, whole characters.
func clip(text string) string {
	if len(text) <= maxSaid {
		return text
	}
	return cmp.Or(strings.ToValidUTF8(text[:maxSaid], ""), "…") + "…"
}
