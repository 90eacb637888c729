package api

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/api/access"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/ops/history"
)

// slowHistory answers when it is let go.
type slowHistory struct {
	operators
	asked, answer chan struct{}
}

func (o *slowHistory) History(kind string, q history.Query) ops.EntryList {
	o.asked <- struct{}{}
	<-o.answer
	return o.operators.History(kind, q)
}

// The history has places of its own: who asks for it again and again takes none of other calls.
func TestTheHistoryHasPlacesOfItsOwn(t *testing.T) {
	o := &slowHistory{asked: make(chan struct{}), answer: make(chan struct{})}
	guard := access.New(access.Config{Namespace: "iota", Insecure: true, Kinds: o.Kinds}, tokens{}, nil, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	mux := http.NewServeMux()
	New(Config{Version: "v1", Guard: guard}, mux, &backend{}, o, slog.New(slog.DiscardHandler))
	s := httptest.NewServer(guard.Plain(mux))
	t.Cleanup(s.Close)
	get := func(path string) int {
		resp, err := http.Get(s.URL + path)
		if err != nil {
			return 0
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	const path = "/v1/api/kinds/Thing/history?type=gap"
	statuses := make([]int, maxHistory/2)
	var asking sync.WaitGroup
	for i := range statuses {
		asking.Go(func() { statuses[i] = get(path) })
		<-o.asked
	}
	require.Equal(t, http.StatusTooManyRequests, get(path), "one address has half of them")
	require.Equal(t, http.StatusOK, get("/v1/api/kinds/Thing"))
	close(o.answer)
	asking.Wait()
	for _, status := range statuses {
		require.Equal(t, http.StatusOK, status)
	}
}
