package prestop

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// answers serves one answer after the other, the last one again and again, and counts the
// questions.
func answers(t *testing.T, all ...string) (*httptest.Server, *atomic.Int32) {
	var asked atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(asked.Add(1))
		wait, err := time.ParseDuration(r.URL.Query().Get("wait"))
		if r.URL.Path != "/v1/api/drains/iota/iota-dac-3" || err != nil || wait > 20*time.Second || n == 1 && wait != 0 {
			t.Errorf("asked for %s", r.URL)
		}
		status, body, _ := strings.Cut(all[min(n, len(all))-1], " ")
		code := 0
		_, _ = fmt.Sscan(status, &code)
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return s, &asked
}

func config(server string) Config {
	c := Default()
	c.Server, c.Namespace, c.Pod = server, "iota", "iota-dac-3"
	return c
}

func TestThePodIsHeldUntilItOwnsNothing(t *testing.T) {
	s, asked := answers(t, `200 {"state":"leaving","left":12}`, `200 {"state":"leaving","left":0}`, `200 {"state":"empty"}`)
	var out strings.Builder
	require.NoError(t, Hold(t.Context(), config(s.URL+"/"), &out))
	require.EqualValues(t, 3, asked.Load())
	require.Equal(t, "iota-dac-3: resources left: 12\niota-dac-3: resources left: 0\niota-dac-3: empty\n", out.String())
}

func TestARestartIsNotHeld(t *testing.T) {
	s, asked := answers(t, `200 {"state":"stays","left":400}`)
	require.NoError(t, Hold(t.Context(), config(s.URL), io.Discard))
	require.EqualValues(t, 1, asked.Load())
}

func TestTheGraceEndsWhateverIsLeft(t *testing.T) {
	s, _ := answers(t, `200 {"state":"leaving","left":40,"blocked":"no room"}`)
	c := config(s.URL)
	c.Grace, c.Margin = 2*time.Second, 1500*time.Millisecond
	err := Hold(t.Context(), c, io.Discard)
	require.ErrorIs(t, err, ErrLeft)
	require.EqualError(t, err, "the grace is nearly over: resources left: 40 (no room)")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.Error(t, Hold(ctx, c, io.Discard), "ended by a signal")
}

func TestAReasonHoldsUntilSomethingMoves(t *testing.T) {
	s, _ := answers(t, `200 {"state":"leaving","left":40,"blocked":"no room"}`, `200 {"state":"leaving","left":40}`, `200 {"state":"leaving","left":30}`,
		`200 {"state":"empty"}`)
	var out strings.Builder
	require.NoError(t, Hold(t.Context(), config(s.URL), &out))
	require.Equal(t, "iota-dac-3: resources left: 40 (no room)\niota-dac-3: resources left: 30\niota-dac-3: empty\n", out.String())
}

func TestAServerThatFailsForAWhileIsBorne(t *testing.T) {
	s, asked := answers(t, `503 not read yet`, `200 {"state":"who knows"}`, `200 garbage`, `200 {"state":"empty"}`)
	require.NoError(t, Hold(t.Context(), config(s.URL), io.Discard))
	require.EqualValues(t, 4, asked.Load())
}

// Without an answer the pod is not held for its whole grace, and its end is no success.
func TestAnUnansweredQuestionIsNoYes(t *testing.T) {
	s, asked := answers(t, `503 not read yet`)
	c := config(s.URL)
	c.Patience = 1500 * time.Millisecond
	require.ErrorIs(t, Hold(t.Context(), c, io.Discard), ErrUnanswered)
	require.Greater(t, asked.Load(), int32(1))
	s.Close()
	require.ErrorIs(t, Hold(t.Context(), c, io.Discard), ErrUnanswered)

	s, asked = answers(t, `404 no such instance`)
	err := Hold(t.Context(), config(s.URL), io.Discard)
	require.ErrorIs(t, err, ErrUnanswered)
	require.ErrorContains(t, err, "no such instance")
	require.EqualValues(t, 1, asked.Load(), "it will not be known later either")
}

func TestBadConfigurationsNameTheFault(t *testing.T) {
	c := Config{Server: "shardscaler:8080", Grace: 5 * time.Second, Margin: 5 * time.Second}
	err := c.Validate()
	for _, want := range []string{`server "shardscaler:8080"`, `namespace ""`, `pod ""`, "grace 5s", "patience 0s"} {
		require.ErrorContains(t, err, want)
	}
	c = config("http://shardscaler")
	require.NoError(t, c.Validate())
}
