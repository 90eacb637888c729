package ui_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/api/kinds"
	"github.com/shardscaler/shardscaler/internal/api/schemas"
	"github.com/shardscaler/shardscaler/internal/api/stream"
	"github.com/shardscaler/shardscaler/internal/api/stream/delta"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/ops/explain"
	"github.com/shardscaler/shardscaler/internal/ops/history"
	"github.com/shardscaler/shardscaler/internal/ops/opstest"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/internal/ui"
	"github.com/shardscaler/shardscaler/rebalancer"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// world is what a live page is shown: 30 Things whose lists change all the time, moves under way and
// deletes that wait. It notes what is asked of it.
type world struct {
	mu      sync.Mutex
	view    ops.View
	said    []string    // what was asked for, in order
	streams int         // that were begun
	much    int         // 0, or how much more there is to show than at first
	news    []ops.Entry // of the history, one each time that much was set
}

func newWorld(t *testing.T) *world {
	t.Helper()
	v, err := opstest.View(30)
	require.NoError(t, err)
	v.Progress.PlanID, v.Progress.Reason, v.Progress.Moves, v.Progress.Done, v.Progress.Left = "p", "spread", 100, 40, 60
	stopped := &v.Snapshot.Instances[4] // nothing proves that it runs nothing
	stopped.Pod.Ready, stopped.Pod.Reason, stopped.Pod.Restarts = false, "CrashLoopBackOff", 7
	v.State.Instances = map[int]*protocol.Instance{3: {Ordinal: 3, IDs: protocol.NewIDs([]string{"a/b%ü", "a/b%ü2"})}}
	opstest.Decide(v)
	v.Operator.Drains = []config.OperatorDrain{{Ordinal: 5, Said: config.Said{By: "bob", At: time.Now()}}}
	v.Override.MaxInstances = &config.OverrideValue[int]{Value: 90, Over: 100, Said: config.Said{By: "bob", At: time.Now()}}
	v.Config.Max = 90
	v.Waiting = &resync.Waiting{Count: 120, Known: 4000, Share: 0.03, Sets: []resync.Set{{Set: 2, Count: 120, Known: 4000, Share: 0.03}}}
	return &world{view: *v}
}

func (w *world) Kinds() []string { return []string{"Thing"} }

// View implements kinds.Reads. With each second the instances hold something else: what held least
// holds most.
func (w *world) View(kind string) (*ops.View, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v := w.view
	v.Now = time.Now()
	v.Snapshot.Instances = slices.Clone(v.Snapshot.Instances)
	for i := range v.Snapshot.Instances {
		list := *v.Snapshot.Instances[i].List
		list.Count = 100 + 100*((i+int(v.Now.Unix()))%30)
		v.Snapshot.Instances[i].List = &list
	}
	if w.much > 0 {
		more(&v, w.much)
	}
	return &v, kind == "Thing"
}

// more makes parts of the page higher and wider, by what is n times as much; 1 makes them lower, since
// nothing moves or waits.
func more(v *ops.View, n int) {
	v.Snapshot.Assigned *= n
	if n == 1 {
		v.Progress = orders.Progress{}
		v.Waiting, v.Operator = nil, config.Operator{}
		return
	}
	v.Progress.Moves, v.Progress.Done, v.Progress.Blocked = n*1000, n*100, "an instance that is to take resources is not ready: iota-dac-4"
	v.Operator.Drains = slices.Clip(v.Operator.Drains)
	v.Waiting = &resync.Waiting{Count: 120 * n, Known: 4000, Share: 0.03}
	for set := range n {
		v.Waiting.Sets = append(v.Waiting.Sets, resync.Set{Set: set, Count: 120, Known: 4000, Share: 0.03})
		v.Operator.Drains = append(v.Operator.Drains, config.OperatorDrain{Ordinal: 10 + set, Said: config.Said{By: "ann", At: time.Now()}})
		lost := *v.Snapshot.Instances[set].Pod
		lost.Ready, lost.Reason = false, "CrashLoopBackOff"
		v.Snapshot.Instances[set].Pod = &lost
	}
	now := v.Now
	v.Now = opstest.Now // of which the inputs are
	opstest.Decide(v)
	v.Now = now
}

func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = append(w.said, fmt.Sprintf(format, args...))
}

// History implements kinds.Histories: the news, a day of samples, and one entry of each other type.
func (w *world) History(string, history.Query) ops.EntryList {
	now := time.Now()
	list := ops.EntryList{Since: now.Add(-24 * time.Hour)}
	w.mu.Lock()
	list.Items = slices.Clone(w.news)
	w.mu.Unlock()
	slices.Reverse(list.Items)
	add := func(minutes int, e ops.Entry) {
		e.At, e.ID = now.Add(-time.Duration(minutes)*time.Minute), fmt.Sprint(e.Type, minutes)
		list.Items = append(list.Items, e)
	}
	for i := 0; i < 1430; i += 10 {
		add(i, ops.Entry{Type: "sample", Sample: &ops.Sample{
			Replicas: 30, Ready: 29, Desired: 30 + i%3, Resources: 9000, Unassigned: 1, Signals: map[string]float64{"count": 29.5, "cpu": float64(20 + i%7)},
		}})
	}
	add(1431, ops.Entry{Type: "decision", Decision: &ops.DecisionEntry{Verb: "grow", Reason: "count", Summary: "scale up 3 -> 5: count asks for 5", Desired: 5, Whole: true}})
	add(1432, ops.Entry{Type: "gap", Until: now.Add(-1430 * time.Minute), Gap: &ops.GapEntry{Reason: "no-leader", Text: "none led"}})
	add(1433, ops.Entry{Type: "moves", Moves: &ops.MovesEntry{Reason: "spread", Count: 12}})
	add(1434, ops.Entry{Type: "change", Change: &ops.ChangeEntry{By: "ann", What: "pause-kind", Before: "nothing", After: "paused true by ann until 2026-03-01T12:00:00Z"}})
	return list
}

// after are the news that follow the one of an id, the oldest first.
func (w *world) after(_, id string) []ops.Entry {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.news), func(e ops.Entry) bool { return e.ID <= id })
}

func (w *world) newest() string {
	if all := w.after("", ""); len(all) > 0 {
		return all[len(all)-1].ID
	}
	return ""
}

// Decided implements kinds.Histories.
func (w *world) Decided(_, id string) (ops.Decision, bool) {
	v, _ := w.View("Thing")
	return ops.Decision{ID: id, Report: v.Decision, Explanation: explain.Explain(v.Decision, &v.Input)}, id == "decision1431"
}

func (w *world) Resource(_, id string) (ops.Resource, bool) {
	at := 3
	return ops.Resource{ID: id, Instance: &at, Place: "list", Since: time.Now().Add(-10 * time.Second), Why: "spread", Moves: []ops.Move{{ID: id, At: time.Now(), From: -1, To: 3, Why: "created"}}}, id == "a/b%ü"
}

func (w *world) Resources(_, _ string, yield func(ops.ResourceAt) bool) {
	yield(ops.ResourceAt{ID: "a/b%ü", Instance: 3})
}

func (w *world) Overrides(string) (ops.Overrides, bool) { return ops.Overrides{}, true }

func (w *world) Change(_ context.Context, _ string, c ops.Change, by string) (ops.Applied, error) {
	w.note("%s by %s", text(c), by)
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.Paused != nil {
		w.view.Config.Rebalance.Paused = *c.Paused
	}
	if c.Undrain != nil {
		w.view.Operator.Drains = nil
	}
	return ops.Applied{Kept: []ops.Override{}}, nil
}

func (w *world) Rollback(context.Context, string, string) (rebalancer.RolledBack, error) {
	w.note("rollback")
	return rebalancer.RolledBack{}, nil
}

func (w *world) Confirm(_ context.Context, _ string, set, deletes int) error {
	w.note("confirm %d of set %d", deletes, set)
	return nil
}

func (w *world) Reassign(_ context.Context, _ string, ordinal int, by string) (ops.AssumedDead, error) {
	w.note("reassign %d by %s", ordinal, by)
	return ops.AssumedDead{Instance: ordinal, Pod: "iota-dac-4", UID: "uid-4", By: by, Left: 320}, nil
}

// text is a change as it is asked for.
func text(c ops.Change) string {
	b, err := json.Marshal(c)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func (w *world) Preview(_ context.Context, _ string, c ops.Change) (ops.Plan, error) {
	if c.Size != nil && *c.Size > 100 {
		view, _ := w.View("Thing")
		_, err := view.Operator.WithSize(&view.Config, *c.Size, config.Said{})
		return ops.Plan{}, fmt.Errorf("%w: %w", kinds.ErrInvalid, err)
	}
	w.note("preview %s", text(c))
	p := ops.Plan{ID: "plan-1", Change: c, Made: time.Now(), Expires: time.Now().Add(10 * time.Minute), Takes: "1m30s"}
	if c.Size != nil {
		p.Size = &ops.SizeChange{Before: 30, After: *c.Size, Why: "a person set the size to 32 (ann) until that is ended; maximum (max) is 90"}
	}
	p.Description = plan.Description{ID: "d", Moves: 7, Bound: 7, Exact: true, Certificate: "7 moves in full, the least number (bound 7) that places as many and spreads as evenly", Instances: []plan.InstanceChange{
		{Ordinal: 1, State: "open", Before: 100, Out: 7, After: 93}, {Ordinal: 2, State: "open", Before: 90, In: 7, After: 97},
	}}
	return p, nil
}

func (w *world) Apply(_ context.Context, _, id, by string) (ops.Applied, error) {
	w.note("apply %s by %s", id, by)
	return ops.Applied{ID: id, Kept: []ops.Override{}}, nil
}

// handler serves the page and the calls as a server does, to ann.
func (w *world) handler(t *testing.T) http.Handler {
	t.Helper()
	page, err := ui.Handler(ui.Live)
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/ui/", http.StripPrefix("/ui", page))
	mux.HandleFunc("GET /said", func(rw http.ResponseWriter, _ *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		fmt.Fprintf(rw, "%d streams\n", w.streams)
		for _, s := range w.said {
			fmt.Fprintln(rw, s)
		}
	})
	mux.HandleFunc("POST /much", func(rw http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.FormValue("n"))
		if err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.much = n
		by := fmt.Sprintf("person-%d", len(w.news))
		w.news = append(w.news, ops.Entry{Type: "change", ID: fmt.Sprintf("news-%03d", len(w.news)), At: time.Now(), Change: &ops.ChangeEntry{By: by, What: "rollback-kind"}})
		fmt.Fprint(rw, by)
	})
	// Who calls: in the session "short" a caller whose session ends, in "none" no caller.
	mux.HandleFunc("GET /v1/api/session", func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		kept, _ := r.Cookie("session")
		switch {
		case kept != nil && kept.Value == "none":
			fmt.Fprint(rw, `{"user":"","groups":[],"stranger":"a bearer token is needed; make one with: kubectl -n iota create token NAME --audience shardscaler"}`)
		case kept != nil && kept.Value == "short":
			fmt.Fprintf(rw, `{"user":"ann","groups":[],"until":%q}`, time.Now().Add(9*time.Minute).Format(time.RFC3339))
		default:
			fmt.Fprint(rw, `{"user":"ann","groups":[]}`)
		}
	})
	mux.HandleFunc("POST /v1/api/session", func(rw http.ResponseWriter, r *http.Request) {
		w.note("signed in by %s", r.Header.Get("Authorization"))
		http.SetCookie(rw, &http.Cookie{Name: "session", Value: "long", Path: "/"})
		rw.WriteHeader(http.StatusOK)
	})
	c := huma.DefaultConfig("test", "1")
	c.Components.Schemas = schemas.New()
	c.CreateHooks = nil
	log := slog.New(slog.DiscardHandler)
	count := func(ctx huma.Context, next func(huma.Context)) {
		w.mu.Lock()
		w.streams++
		w.mu.Unlock() // a stream lasts
		next(ctx)
	}
	kinds.Register(kinds.Config{
		API: humago.New(mux, c), Backend: w, Log: log, Watch: huma.Middlewares{count},
		Streams: stream.New(stream.Config{Log: log, Read: func(time.Time) []delta.Seen {
			var all []delta.Seen
			for _, kind := range w.Kinds() {
				v, _ := w.View(kind)
				all = append(all, delta.Seen{Kind: ops.KindOf(v), Instances: ops.InstancesOf(v), Newest: w.newest()})
			}
			return all
		}, History: w.after}),
		User: func(context.Context) string { return "ann" }, Audit: func(context.Context, kinds.Audited) {},
	})
	return mux
}

// The tests themselves are in test/live.mjs.
func TestALivePageInARealBrowser(t *testing.T) {
	server := httptest.NewUnstartedServer(newWorld(t).handler(t))
	server.Config.ConnContext = stream.ConnContext
	server.Start()
	t.Cleanup(server.Close)
	servers.RunBrowser(t, "test/live.mjs", "SERVER="+server.URL)
}
