package scaler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/fault"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// KeptName is the name under which the engine keeps the scaler's document.
const KeptName = "scaler"

// keptVersion is the document's schema; a newer one is not read.
const keptVersion = 1

// kept is what outlives a leader: its last decision, which every replica serves, and the history
// its successor goes on with.
type kept struct {
	V     int       `json:"v"`
	Epoch int64     `json:"epoch"`
	At    time.Time `json:"at,omitzero"`
	// Decision is without the verdicts on healthy instances: they are many and say nothing.
	Decision outcome.Report `json:"decision"`
	History  decide.History `json:"history"`
	// LeftOut counts the entries of History that would not fit.
	LeftOut int `json:"leftOut,omitempty"`
	// Told is Config.Told's, and so is tells. Leaders of older versions have none.
	Told  json.RawMessage `json:"told,omitempty"`
	tells any
}

// The bytes of the parts, where all together would not fit. What surrounds them takes the rest of
// rebalancer.MaxDocumentBytes.
const (
	decisionBytes       = 40 << 10
	recommendationBytes = 56 << 10
	scaleBytes          = 16 << 10
	downBytes           = 16 << 10
	restartBytes        = 20 << 10
	toldBytes           = 32 << 10
)

// encode returns the document: where it is too large, without the oldest of the history and the
// ends of the decision's longest lists and texts.
func (k kept) encode() ([]byte, error) {
	if len(k.Told) > toldBytes {
		k.Told = nil
	}
	data, err := json.Marshal(k)
	if err != nil || len(data) <= orders.MaxDocumentBytes {
		return data, err
	}
	k.Decision = fit(k.Decision, decisionBytes)
	k.LeftOut = bound(&k.History)
	return json.Marshal(k)
}

// bound leaves the newest of a history, and counts what it leaves out.
func bound(h *decide.History) (leftOut int) {
	entries := func() int { return len(h.Recommendations) + len(h.Scales) + len(h.Down) + len(h.Restarts) }
	leftOut = entries()
	h.Recommendations, h.Scales = tail(h.Recommendations, recommendationBytes), tail(h.Scales, scaleBytes)
	h.Down, h.Restarts = tail(h.Down, downBytes), tail(h.Restarts, restartBytes)
	h.Set = clip(h.Set, longestName)
	if h.Foreign != nil {
		foreign := *h.Foreign
		foreign.Writer = clip(foreign.Writer, longestName)
		h.Foreign = &foreign
	}
	return leftOut - entries()
}

func parseKept(data []byte) (kept, error) {
	var k kept
	if err := exact.JSON(data, &k); err != nil {
		return kept{}, fmt.Errorf("read kept decision: %w", err)
	}
	if k.V != keptVersion {
		return kept{}, fmt.Errorf("read kept decision: schema version %d, this is version %d", k.V, keptVersion)
	}
	return k, nil
}

const (
	// servedTicks is how many of a leader's ticks a decision counts. An engine follows orders for as
	// long.
	servedTicks = 3
	// keptTicks is how many ticks a decision stays as it was kept, if only its times would change: so
	// many kinds at rest do not have ZooKeeper write, and every follower read, at each tick.
	keptTicks = 12
)

// MaxAge is the age beyond which the leader's own decision is served no more; period is that of the
// ticks.
func MaxAge(period time.Duration) time.Duration { return servedTicks * period }

// KeptMaxAge is that for a decision that was read from ZooKeeper. By default it is
// observed.StoreMaxAge.
func KeptMaxAge(period time.Duration) time.Duration { return (servedTicks + keptTicks) * period }

// ParseKept reads the document; the report's age is for TooOld to judge.
func ParseKept(data []byte) (*outcome.Report, error) {
	r, _, err := ParseTold(data)
	return r, err
}

// ParseTold is ParseKept with what the leader's Config.Told said; nil: it said nothing.
func ParseTold(data []byte) (r *outcome.Report, told json.RawMessage, err error) {
	if len(data) == 0 {
		return nil, nil, errors.New("no leader has stored a decision yet")
	}
	k, err := parseKept(data)
	return &k.Decision, k.Told, err
}

// ServedHistory is the history that the leader kept last; empty when there is none. A follower's
// replay starts from it.
func ServedHistory(data []byte) decide.History {
	k, _ := parseKept(data)
	return k.History
}

func (s *Scaler) restore(now time.Time) {
	if _, read := s.engine.Head(); s.doc.restored || !read {
		return
	}
	s.doc.restored = true
	data, ok := s.engine.Kept(KeptName)
	if !ok {
		return
	}
	k, err := parseKept(data)
	if err != nil {
		s.log.Warn("the last leader's history is lost; windows begin anew", "error", err)
		return
	}
	s.history = prolonged(k.History.Resumed(k.At, now), k.At, now, time.Duration(s.doc.ticks)*s.period)
	s.last = k.Decision // a drain goes on, and so does since when
}

// prolonged takes what was recommended when the document was kept for recommended as long as it may
// have stayed so without being kept again: no window ends early by a change of leaders.
func prolonged(h decide.History, kept, now time.Time, most time.Duration) decide.History {
	all := slices.Clone(h.Recommendations)
	if n := len(all); n > 0 && !all[n-1].To.Before(kept) {
		all[n-1].To = kept.Add(min(most, max(0, now.Sub(kept))))
		h.Recommendations = all
	}
	return h
}

const (
	// keepEvery bounds how often a decision is kept that does the same as the last one; short periods
	// bound it to half of one.
	keepEvery = time.Second
	// askTimeout bounds a question to ZooKeeper or a document for it: what is not answered or kept
	// now is so with the next tick.
	askTimeout = 3 * time.Second
)

// document is what this leader did about its document.
type document struct {
	restored bool      // the predecessor's was taken up
	at       time.Time // it was kept last
	said     said      // when it was kept last
	ticks    int       // so many it stays as it is at rest: keptTicks
	// refused is why it was refused when it was last to be kept, if that was for its size.
	refused error
}

// said is what a document says, but for the times that change with each tick.
type said struct {
	decision outcome.Report
	history  decide.History
	told     any
}

func (k *kept) says() said {
	s := said{k.Decision, k.History, k.tells}
	s.decision.At = time.Time{}
	if n := len(s.history.Recommendations); n > 0 {
		s.history.Recommendations = slices.Clone(s.history.Recommendations)
		s.history.Recommendations[n-1].To = time.Time{}
	}
	return s
}

func (s *Scaler) keep(ctx context.Context, r *outcome.Report) {
	if s.cfg.DryRun {
		return
	}
	last, age := &s.last, r.At.Sub(s.doc.at)
	same := r.Verb == last.Verb && r.Desired == last.Desired && r.Acted().Done == last.Acted().Done && r.Phase() == last.Phase()
	if same && age < min(keepEvery, s.period/2) {
		return
	}
	k := keptOf(s, r)
	if same && age < time.Duration(s.doc.ticks)*s.period && reflect.DeepEqual(k.says(), s.doc.said) {
		return
	}
	if err := s.store(ctx, k); err != nil && !errors.Is(err, orders.ErrNotLeading) {
		s.log.Warn("the decision could not be stored", "error", err)
	}
}

// keptOf is what a Scaler is to store of a report.
func keptOf(s *Scaler, r *outcome.Report) kept {
	head, _ := s.engine.Head()
	k := kept{V: keptVersion, At: r.At, Epoch: head.Epoch, Decision: *r, History: s.history}
	k.Decision.Health.Verdicts = slices.DeleteFunc(slices.Clone(r.Health.Verdicts), func(v decide.Verdict) bool { return v.Condition == decide.Healthy })
	if s.cfg.Told != nil {
		k.Told, k.tells = s.cfg.Told()
	}
	return k
}

func (s *Scaler) store(ctx context.Context, k kept) error {
	data, err := k.encode()
	if err != nil {
		return fmt.Errorf("keep decision: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	err = s.engine.Keep(ctx, KeptName, orders.Replace(data))
	if s.doc.refused = nil; errors.Is(err, orders.ErrTooLarge) {
		s.doc.refused = err
	}
	if err != nil {
		return fmt.Errorf("keep decision: %w", err)
	}
	fault.Point("metrics.kept")
	s.doc.at, s.doc.said = k.At, k.says()
	return nil
}
