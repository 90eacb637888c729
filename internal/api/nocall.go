package api

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// registerNoCalls answers what is none of the new calls with a problem document: 404, or 405 where
// the path takes other methods.
func registerNoCalls(mux *http.ServeMux, log *slog.Logger) {
	for _, path := range []string{"/v1/api/kinds", "/v1/api/nodes"} {
		for _, pattern := range []string{path, path + "/"} {
			mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { noCall(w, r, methodsOf(mux, r.URL), log) })
		}
	}
}

// methodsOf are the methods that the calls of a path take.
func methodsOf(mux *http.ServeMux, at *url.URL) (methods []string) {
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete} {
		// The patterns of registerNoCalls alone begin with no method.
		if _, pattern := mux.Handler(&http.Request{Method: method, URL: at}); !strings.HasPrefix(pattern, "/") {
			methods = append(methods, method)
		}
	}
	return methods
}

func noCall(w http.ResponseWriter, r *http.Request, methods []string, log *slog.Logger) {
	doc := huma.ErrorModel{Status: http.StatusNotFound, Detail: r.URL.Path + " is the path of no call of this API"}
	if len(methods) > 0 {
		doc.Status, doc.Detail = http.StatusMethodNotAllowed, r.URL.Path+" takes "+strings.Join(methods, ", ")+", not "+r.Method
		w.Header().Set("Allow", strings.Join(methods, ", "))
	}
	doc.Title = http.StatusText(doc.Status)
	w.Header().Set("Content-Type", "application/problem+json")
	if r.ContentLength != 0 { // else the server would wait for the body before it answers
		w.Header().Set("Connection", "close")
	}
	w.WriteHeader(doc.Status)
	if err := json.NewEncoder(w).Encode(doc); err != nil {
		log.Debug("answer not written", "error", err)
	}
}
