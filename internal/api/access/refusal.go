package access

import (
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// TLSNeeded is the type of the problem document for what is not taken over plain HTTP.
const TLSNeeded = "urn:shardscaler:tls-needed"

// Reasons for which callers are refused: label values of shardscaler_api_refused_total.
const (
	refusedPlain     = "plain_http"
	refusedNoToken   = "no_token"
	refusedToken     = "token_invalid"
	refusedForbidden = "forbidden"
	refusedBusy      = "busy"
	refusedReview    = "review_failed"
	refusedPath      = "odd_path"
	refusedSize      = "too_large"
	refusedSite      = "foreign_page"
	refusedHost      = "foreign_host"
	refusedPeer      = "stranger"
)

// refusal is why a request goes no further.
type refusal struct {
	status         int
	reason, detail string
	kind           string            // the problem document's type; "": about:blank
	header         map[string]string // beside Content-Type
}

// Error implements error.
func (r *refusal) Error() string { return r.detail }

func (r *refusal) document() []byte {
	text, _ := json.Marshal(&huma.ErrorModel{Type: r.kind, Title: http.StatusText(r.status), Status: r.status, Detail: r.detail}) // text and a number
	return append(text, '\n')
}

// write answers a request that has not reached an operation.
func (r *refusal) write(w http.ResponseWriter, of *http.Request) {
	w.Header().Set("Content-Type", "application/problem+json")
	if of.ContentLength != 0 { // else the server would wait for the body before it answers
		w.Header().Set("Connection", "close")
	}
	for name, value := range r.header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(r.status)
	_, _ = w.Write(r.document()) // a caller that hung up needs no answer
}

// answer answers a request to an operation.
func (r *refusal) answer(ctx huma.Context) {
	ctx.SetHeader("Content-Type", "application/problem+json")
	if ctx.Header("Content-Length") != "" || ctx.Header("Transfer-Encoding") != "" {
		ctx.SetHeader("Connection", "close") // as above
	}
	for name, value := range r.header {
		ctx.SetHeader(name, value)
	}
	ctx.SetStatus(r.status)
	_, _ = ctx.BodyWriter().Write(r.document()) // as above
}
