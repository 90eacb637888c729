package metricsapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/shardscaler/shardscaler/internal/guard"
	"github.com/shardscaler/shardscaler/internal/limits"
)

const (
	// metricSelectorParam is the query parameter that picks series.
	metricSelectorParam = "metricLabelSelector"
	// labelSelectorParam is the one that picks objects, and for external metrics series.
	labelSelectorParam = "labelSelector"
	// maxSelector bounds a selector's text, in bytes: each of its terms is held against each pod.
	maxSelector = 8 << 10
)

// withSelectorCheck answers 400 to a selector that is huge, and to a metric selector that cannot be
// read, before the library does: it would answer 500 to the latter and log the former whole.
func withSelectorCheck(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := checkSelectors(r.URL.Query()); err != nil {
			writeStatus(w, apierrors.NewBadRequest(err.Error()))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func checkSelectors(query url.Values) error {
	for _, parameter := range []string{labelSelectorParam, metricSelectorParam} {
		for _, text := range query[parameter] {
			if len(text) > maxSelector {
				return fmt.Errorf("%s has %d bytes, at most %d are taken", parameter, len(text), maxSelector)
			}
		}
	}
	for _, text := range query[metricSelectorParam] {
		if _, err := labels.Parse(text); err != nil {
			return fmt.Errorf("%s %q: %w", metricSelectorParam, text, err)
		}
	}
	return nil
}

// limit lets one caller have half the places of requests in flight: one that reads its answers
// slowly, or asks for more than it can read, holds its places until the deadline of a request.
func limit(share *limits.Share, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, _ := request.UserFrom(r.Context()) // the library has authenticated the caller
		caller := user.GetName()
		if !share.Enter(caller) {
			w.Header().Set("Retry-After", "1")
			writeStatus(w, apierrors.NewTooManyRequests(fmt.Sprintf("%s: limit of %d concurrent requests reached", caller, share.Each()), 1))
			return
		}
		defer share.Leave(caller)
		next.ServeHTTP(w, r)
	})
}

// withWriteDeadline cuts off a client that does not read its answer. The library's own timeout
// waits for the write that hangs, for ever.
func withWriteDeadline(limit time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(limit)); err != nil {
			writeStatus(w, apierrors.NewInternalError(fmt.Errorf("bound the time of an answer: %w", err)))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// withRecovery answers 500 to a request that panics. The library would end the whole connection,
// and with it the other requests that the API server sends over it.
func (s *Server) withRecovery(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := guard.Caught(guard.Run(func() error { next.ServeHTTP(w, r); return nil }))
		if p == nil {
			return
		}
		if err, _ := p.Value.(error); errors.Is(err, http.ErrAbortHandler) {
			panic(p.Value) // asks for exactly that
		}
		s.provider.metrics.panics.Inc()
		s.log.Error("metrics API request panicked", "path", r.URL.Path, "err", fmt.Sprint(p.Value), "stack", string(p.Stack))
		writeStatus(w, apierrors.NewInternalError(errors.New("the request panicked; the server's log has the stack")))
	})
}

func writeStatus(w http.ResponseWriter, status apierrors.APIStatus) {
	body := status.Status()
	body.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(int(body.Code))
	_ = json.NewEncoder(w).Encode(body) // a caller that hung up needs no answer
}
