package kinds

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/ops/history"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// told is a Backend that has a history.
type told struct {
	Backend
	contents history.Contents
	pieces   map[string]history.Held
}

func (b *told) Kinds() []string { return []string{"Thing"} }

func (b *told) View(kind string) (*ops.View, bool) { return &ops.View{}, kind == "Thing" }

func (b *told) piece(name string) (history.Held, bool) {
	held, ok := b.pieces[name]
	return held, ok
}

func (b *told) History(_ string, q history.Query) ops.EntryList { return b.contents.List(q, b.piece) }

func (b *told) Decided(_, id string) (ops.Decision, bool) { return b.contents.Decided(id, b.piece) }

// tellAll is a history of an hour until now: a decision a minute, of which every other one is kept
// as a whole, and a gap.
func tellAll(t *testing.T, now time.Time) *told {
	var records []history.Record
	for i := range 60 {
		at := now.Add(time.Duration(i-60) * time.Minute)
		r := history.Record{Entry: ops.Entry{At: at, Type: history.TypeDecision, Decision: &ops.DecisionEntry{Verb: "keep", Summary: fmt.Sprint("decision ", i)}}}
		if i%2 == 0 {
			whole, err := json.Marshal(outcome.Report{Decision: decide.Decision{Kind: "Thing", Summary: r.Decision.Summary, Blind: "for the test"}})
			require.NoError(t, err)
			r.Whole = whole
		}
		records = append(records, r)
	}
	records = append(records, history.Record{Entry: ops.Entry{At: now.Add(-30 * time.Second), Until: now, Type: history.TypeGap, Gap: &ops.GapEntry{Reason: history.GapBlind}}})
	u, err := history.Append(nil, history.Contents{}, nil, records, history.Flush{Now: now})
	require.NoError(t, err)
	b := &told{pieces: map[string]history.Held{u.Name: history.Hold(0, u.Data)}}
	b.contents, err = history.ParseContents(u.Contents)
	require.NoError(t, err)
	return b
}

func TestHistoryIsAskedForByTypeTimeAndPage(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	s := serve(t, tellAll(t, now), &[]Audited{})
	list := func(query string) (all ops.EntryList) {
		t.Helper()
		got := call(t, s, http.MethodGet, "Thing/history?"+query, "")
		require.Equal(t, http.StatusOK, got.status, got.body)
		require.NoError(t, json.Unmarshal([]byte(got.body), &all))
		return all
	}
	require.Len(t, list("").Items, 61)
	require.Len(t, list("type=gap").Items, 1)
	require.Len(t, list("type=decision,gap&limit=1000").Items, 61)
	require.Empty(t, list("type=sample").Items)
	require.Equal(t, "decision 59", list("type=decision").Items[0].Decision.Summary, "the newest first")
	require.Len(t, list("type=decision&since=10m30s").Items, 10)
	since := url.QueryEscape(now.Add(-10*time.Minute - 30*time.Second).Format(time.RFC3339))
	require.Len(t, list("type=decision&since="+since).Items, 10)
	require.Len(t, list("type=decision&since=20m30s&until=10m30s").Items, 10)
	require.True(t, list("").Since.Equal(now.Add(-time.Hour)))

	var pages []ops.Entry
	for query := "limit=7"; ; {
		page := list(query)
		pages = append(pages, page.Items...)
		if page.Continue == "" {
			break
		}
		query = "limit=7&continue=" + page.Continue
	}
	require.Equal(t, list("").Items, pages)
}

func TestADecisionOfTheHistory(t *testing.T) {
	b := tellAll(t, time.Now())
	s := serve(t, b, &[]Audited{})
	for _, e := range b.History("Thing", history.Query{Limit: 1000}).Items {
		got := call(t, s, http.MethodGet, "Thing/history/"+e.ID, "")
		if e.Decision == nil || !e.Decision.Whole {
			require.Equal(t, http.StatusNotFound, got.status)
			require.Contains(t, got.body, e.ID)
			continue
		}
		require.Equal(t, http.StatusOK, got.status, got.body)
		var d struct {
			ID       string `json:"id"`
			Decision struct {
				Summary string `json:"summary"`
			} `json:"decision"`
			Explanation struct {
				Answers []ops.Answer `json:"answers"`
			} `json:"explanation"`
		}
		require.NoError(t, json.Unmarshal([]byte(got.body), &d))
		require.Equal(t, e.ID, d.ID)
		require.Equal(t, e.Decision.Summary, d.Decision.Summary)
		require.NotEmpty(t, d.Explanation.Answers)
	}
}

func TestWhatIsWrongWithAQuestionForTheHistoryIsNamed(t *testing.T) {
	s := serve(t, tellAll(t, time.Now()), &[]Audited{})
	for query, want := range map[string]string{
		"type=size":                  "query.type",
		"since=yesterday":            "query.since",
		"since=-5m":                  "query.since",
		"until=2026-03-01":           "query.until",
		"limit=0":                    "query.limit",
		"limit=1001":                 "query.limit",
		"continue=../head":           "query.continue",
		"continue=zzzzzzzzzzzzzzzzz": "query.continue",
	} {
		got := call(t, s, http.MethodGet, "Thing/history?"+query, "")
		require.Equal(t, http.StatusUnprocessableEntity, got.status, query)
		require.Contains(t, got.body, want, query)
	}
	require.Equal(t, http.StatusNotFound, call(t, s, http.MethodGet, "Rule/history", "").status)
	require.Equal(t, http.StatusNotFound, call(t, s, http.MethodGet, "Rule/history/0000001", "").status)
	require.Equal(t, http.StatusNotFound, call(t, s, http.MethodGet, "Thing/history/..%2Fhead", "").status)
}
