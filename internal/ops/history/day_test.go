package history

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// midnight begins the days of the tests.
var midnight = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// shelf is a ZooKeeper that takes updates as it does: by version.
type shelf struct {
	t        failing
	contents []byte
	pieces   map[string]Held
	writes   int // bytes
}

// failing is a testing.TB, or a rapid.T.
type failing interface {
	require.TestingT
	Helper()
}

func newShelf(t failing) *shelf { return &shelf{t: t, pieces: map[string]Held{}} }

func (s *shelf) take(u *Update) {
	s.t.Helper()
	require.Equal(s.t, s.contents, u.Base)
	s.contents = u.Contents
	s.writes += len(u.Contents)
	for _, p := range u.Parts {
		was, there := s.pieces[p.Name]
		if p.Data == nil {
			require.Equal(s.t, was.Version, p.Version)
			delete(s.pieces, p.Name)
			continue
		}
		require.Equal(s.t, there, p.Version >= 0, p.Name)
		require.True(s.t, !there || was.Version == p.Version, p.Name)
		require.LessOrEqual(s.t, len(p.Data), MaxPiece)
		s.pieces[p.Name] = Hold(p.Version+1, p.Data)
		s.writes += len(p.Data)
	}
}

func (s *shelf) read() Contents {
	s.t.Helper()
	c, err := ParseContents(s.contents)
	require.NoError(s.t, err)
	return c
}

func (s *shelf) piece(name string) (Held, bool) {
	h, ok := s.pieces[name]
	return h, ok
}

// all are the entries, the newest first.
func (s *shelf) all(q Query) (all []ops.Entry) {
	s.t.Helper()
	c := s.read()
	for q.Limit = MaxLimit; ; {
		page := c.List(q, s.piece)
		all = append(all, page.Items...)
		if page.Continue == "" {
			return all
		}
		n, err := ParseID(page.Continue)
		require.NoError(s.t, err)
		q.Before = n
	}
}

// size is what of a day is stored, contents included.
func (s *shelf) size(day time.Time) (bytes int) {
	c := s.read()
	bytes, _ = c.used(day.Format(dayFormat))
	return bytes + len(s.contents)
}

// writer is a leader's recorder with what it knows of the shelf.
type writer struct {
	*shelf
	Recorder
	last *Text
}

// flush stores what waits, as the keeper does.
func (w *writer) flush(now time.Time, ended bool) error {
	c := w.read()
	w.Join(c, now)
	records := w.Waiting(now)
	u, err := Append(w.contents, c, w.last, records, Flush{Now: now, Ended: ended})
	if err != nil {
		w.Full(len(records), now)
		return err
	}
	w.take(u)
	if u.Name != "" {
		w.last = &u.Text
	}
	w.Stored(len(records))
	return nil
}

// fleet is a kind of that many instances, at chance's load.
func fleet(r *rand.Rand, now time.Time, size int) observed.Kind {
	fresh := observed.Source{At: now.Add(-time.Second)}
	k := observed.Kind{
		Name: "Thing", Namespace: "iot", Workload: &observed.Workload{UID: "set", Replicas: size, StatusReplicas: size, ReadyReplicas: size, UpdatedReplicas: size},
		Sources: observed.Sources{Store: fresh, Cluster: fresh, Metrics: fresh, Catalogue: fresh, Bus: &fresh, Notify: fresh},
	}
	load := 0.4 + 0.8*r.Float64()
	for n := range size {
		started, beat := now.Add(-time.Hour), now.Add(-time.Duration(r.IntN(60))*time.Second)
		pod := &observed.Pod{
			Name: fmt.Sprintf("iota-dac-%d", n), UID: fmt.Sprintf("5b1c4a0e-9f6d-%d", n), Phase: "Running", Ready: r.IntN(100) > 0,
			Created: started, Started: started, ReadyChanged: now.Add(-time.Duration(r.IntN(60)) * time.Second), CPURequest: 1000, MemoryRequest: 1 << 30,
		}
		k.Instances = append(k.Instances, observed.Instance{
			Ordinal: n, Pod: pod, LastBeat: &beat, List: &observed.List{Count: 500 + r.IntN(4000)},
			Usage: &observed.Usage{
				At: now.Add(-5 * time.Second), Window: 15 * time.Second,
				CPU: int64(700 * load * (0.7 + 0.6*r.Float64())), Memory: int64(float64(700<<20) * load),
			},
		})
		k.Assigned += k.Instances[n].List.Count
		k.Open = append(k.Open, n)
	}
	k.Unassigned = r.IntN(500)
	return k
}

func fleetConfig(size int) config.Kind {
	c := config.Default("Thing", "iota-dac")
	c.Max = 2 * size
	c.CPU, c.Memory = &config.ResourceTarget{TargetUtilization: 70}, &config.ResourceTarget{TargetUtilization: 80}
	return c
}

// reportOf is what the scaler itself decides for a fleet.
func reportOf(now time.Time, cfg config.Kind, k observed.Kind, h decide.History) *outcome.Report {
	return outcome.NewReport(decide.Decide(decide.Input{Now: now, Config: cfg, Observed: k, History: h}), outcome.Outcome{})
}

// A busy day: 500 instances, another decision each 10 s, moves all day, persons who change things.
// It stays in its MiB, its pieces in 256 KiB, nothing of it is lost unsaid, and what yields first
// is the whole of decisions.
func TestABusyDayFitsItsMiB(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 0)) //nolint:gosec // a day that can be made again, no secret
	w := &writer{shelf: newShelf(t)}
	const size = 500
	cfg := fleetConfig(size)
	decisions, moved := 0, 0
	var last string
	// what a scaler decides, more than a piece holds: those of one piece are all different
	fleets, reports := make([]observed.Kind, 1000), make([]*outcome.Report, 1000)
	for i := range fleets {
		at := midnight.Add(time.Duration(i) * 10 * time.Second)
		fleets[i] = fleet(r, at, size)
		reports[i] = reportOf(at, cfg, fleets[i], decide.History{Adopted: true, CompleteSince: at.Add(-time.Hour), Replicas: size, Own: size + r.IntN(2)})
	}
	i := 0
	for now := midnight; now.Before(midnight.Add(24 * time.Hour)); now = now.Add(10 * time.Second) {
		i = (i + 1) % len(fleets)
		k, report := fleets[i], *reports[i]
		k.Sources.Store.At, report.At = now, now
		w.Tick(Tick{Now: now, Config: cfg, Observed: k, Report: &report})
		if m := meaning(&report); m != last {
			last, decisions = m, decisions+1
		}
		w.Moved(now, fmt.Sprintf("%064x", now.Unix()/60), []string{"spread", "drain"}[r.IntN(2)], 100)
		moved += 100
		if now.Unix()%600 == 0 {
			w.Changed(now, ops.ChangeEntry{By: "system:serviceaccount:iot:operator", What: "pause", Before: "false", After: fmt.Sprint(now.Unix())})
		}
		if now.Unix()%300 == 290 { // a fifth of the work of each minute
			require.NoError(t, w.flush(now, false))
			require.LessOrEqual(t, w.size(midnight), MaxDay)
		}
	}
	require.NoError(t, w.flush(midnight.Add(24*time.Hour-time.Second), true))
	counts, whole, lost := map[string]int{}, 0, 0
	for _, e := range w.all(Query{}) {
		counts[e.Type]++
		switch e.Type {
		case TypeMoves:
			moved -= e.Moves.Count
		case TypeDecision:
			if e.Decision.Whole {
				if whole++; whole%100 != 0 {
					continue
				}
				got, kept := contents(w).Decided(e.ID, w.piece)
				require.True(t, kept)
				require.Equal(t, e.Decision.Summary, clip(got.Report.Summary))
			}
		case TypeGap:
			require.Equal(t, GapBudget, e.Gap.Reason)
			lost += e.Gap.Lost
		}
	}
	t.Logf("%d KiB in %d pieces, %d KiB written; entries %v, of %d decisions whole %d, lost %d",
		w.size(midnight)>>10, len(w.pieces), w.writes>>10, counts, decisions, whole, lost)
	require.Equal(t, 1440, counts[TypeSample])
	require.Equal(t, 144, counts[TypeChange])
	require.Greater(t, decisions, 5000, "it is a busy day")
	require.GreaterOrEqual(t, counts[TypeDecision]+lost, decisions)
	if lost == 0 {
		require.Zero(t, moved)
	}
	require.Greater(t, whole, 500)
	require.Greater(t, w.size(midnight), MaxDay/3, "the room is there to be used")
}

func contents(w *writer) *Contents {
	c := w.read()
	return &c
}

// An ordinary day: 20 instances, 50 decisions.
func TestAnOrdinaryDayIsSmall(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 0)) //nolint:gosec // a day that can be made again, no secret
	w := &writer{shelf: newShelf(t)}
	const size = 20
	cfg := fleetConfig(size)
	for now := midnight; now.Before(midnight.Add(24 * time.Hour)); now = now.Add(30 * time.Second) {
		k := fleet(r, now, size)
		tick := Tick{Now: now, Config: cfg, Observed: k}
		if now.Unix()%1800 == 0 {
			tick.Report = reportOf(now, cfg, k, decide.History{Adopted: true, CompleteSince: now.Add(-time.Hour), Replicas: size, Own: size + r.IntN(8)})
			w.Moved(now, fmt.Sprintf("%064x", now.Unix()), "spread", 100)
		}
		w.Tick(tick)
		if now.Unix()%180 == 150 {
			require.NoError(t, w.flush(now, false))
		}
	}
	all := w.all(Query{Types: []string{TypeDecision}})
	require.NotEmpty(t, all)
	for _, e := range all {
		require.True(t, e.Decision.Whole)
	}
	t.Logf("%d KiB in %d pieces, %d KiB written, %d decisions", w.size(midnight)>>10, len(w.pieces), w.writes>>10, len(all))
	require.Less(t, w.size(midnight), 128<<10)
}
