package client

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// outcomeUnknown is the type of the problem document for a write that may have been carried out.
const outcomeUnknown = "urn:shardscaler:outcome-unknown"

// tlsNeeded is the type of the problem document for what is not taken over plain HTTP.
const tlsNeeded = "urn:shardscaler:tls-needed"

// Advised is an error with the next step for a person.
type Advised struct {
	Err  error
	Next string
}

// Error implements error.
func (a *Advised) Error() string { return a.Err.Error() }

// Unwrap is for errors.Is and errors.As.
func (a *Advised) Unwrap() error { return a.Err }

// Advise adds the next step to an error.
func Advise(err error, next string) error { return &Advised{err, next} }

// Next is the next step that an error knows; empty: none.
func Next(err error) string {
	var u *Unknown
	if errors.As(err, &u) {
		return "look before you ask again: kubectl shardscaler status KIND, kubectl shardscaler history KIND --type change"
	}
	var a *Advised
	if errors.As(err, &a) {
		return a.Next
	}
	var r *Refusal
	if errors.As(err, &r) {
		return r.next()
	}
	return ""
}

// Unknown says that a change may have been carried out or not.
type Unknown struct{ Err error }

// Error implements error.
func (u *Unknown) Error() string {
	return fmt.Sprintf("the outcome is unknown, it may have been carried out or not: %v", u.Err)
}

// Unwrap is for errors.Is and errors.As.
func (u *Unknown) Unwrap() error { return u.Err }

// Refusal is an answer that is an error.
type Refusal struct {
	Type   string `json:"type"`
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	// Errors name fields, values and bounds.
	Errors []Fault `json:"errors"`
	// Ours says that it is an answer of a server of shardscaler, and not of what is between.
	Ours bool `json:"-"`

	aggregated bool
	namespace  string
}

// Fault is one thing that is wrong with a request.
type Fault struct {
	Message  string `json:"message"`
	Location string `json:"location"`
	Value    any    `json:"value"`
}

// Error implements error.
func (r *Refusal) Error() string {
	if r.missing() {
		return fmt.Sprintf("the API server has no %s/%s", Group, Version)
	}
	if r.unavailable() {
		return fmt.Sprintf("the API %s/%s is not available: %s", Group, Version, oneLine(r.Detail))
	}
	text := r.Detail
	if text == "" {
		text = r.Title
	}
	for _, f := range r.Errors {
		text += "; "
		if f.Location != "" {
			text += f.Location + ": "
		}
		text += f.Message
		if f.Value != nil {
			text += fmt.Sprintf(" (%v)", f.Value)
		}
	}
	return oneLine(text)
}

// oneLine keeps what comes from outside from writing more than one line, or a very long one.
func oneLine(text string) string {
	text = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, strings.TrimSpace(text))
	const most = 1000
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + " …"
	}
	return text
}

// unknown says whether the answer leaves open what became of a change: the server says so, or what
// is between, which may have got no answer, says 500, 502, 503 or 504 as it pleases.
func (r *Refusal) unknown() bool {
	if r.Ours {
		return r.Type == outcomeUnknown || r.Status == http.StatusBadGateway || r.Status == http.StatusGatewayTimeout
	}
	return r.Status >= http.StatusInternalServerError && !r.notSent() || r.Status/100 == 3
}

// notSent is what the API server answers with when it knows no server to pass a request on to.
func (r *Refusal) notSent() bool {
	return r.aggregated && !r.Ours && r.Status == http.StatusServiceUnavailable && r.Detail == "service unavailable"
}

func (r *Refusal) missing() bool { return r.aggregated && !r.Ours && r.Status == http.StatusNotFound }

func (r *Refusal) unavailable() bool {
	return r.aggregated && !r.Ours && (r.Status == http.StatusServiceUnavailable || r.Status == http.StatusBadGateway)
}

// next is what a person can do about it.
func (r *Refusal) next() string {
	switch {
	case r.missing():
		return "install shardscaler's cluster manifests (kubectl apply -k manifests/cluster/base), or ask its server with --server URL"
	case r.unavailable():
		return "see why: kubectl shardscaler doctor; or ask the server with --server URL"
	case r.Status == http.StatusUnauthorized && r.aggregated:
		return "log in to the cluster again: kubectl auth whoami says who you are"
	case r.Status == http.StatusUnauthorized:
		return "give a token of the right audience: --token $(kubectl create token ACCOUNT --audience shardscaler), or --service-account ACCOUNT"
	case r.Type == tlsNeeded:
		return "give --server the address that begins with https://"
	case r.Status == http.StatusForbidden:
		return "see what you may do: kubectl shardscaler doctor; a RoleBinding to shardscaler's roles gives more (docs/operating.md)"
	case r.Status == http.StatusConflict:
		return "look at what there is now: kubectl shardscaler status"
	case r.Status == http.StatusGone:
		return "make the plan again: kubectl shardscaler plan"
	case r.Status == http.StatusTooManyRequests:
		return "wait a moment and repeat it"
	}
	return ""
}

// unreachable says what a request failed of before there was an answer.
func (c *Client) unreachable(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	err = fmt.Errorf("reach %s: %w", c.base.Host, err)
	var network *net.OpError
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return Advise(err, "it did not answer in time: try again, or with a longer --request-timeout")
	case errors.As(err, &x509.HostnameError{}):
		return Advise(err, "name the server as its certificate does: --tls-server-name shardscaler-metrics.NAMESPACE.svc")
	case strings.Contains(err.Error(), "certificate"):
		return Advise(err, "give the authority of its certificate: --certificate-authority FILE")
	case errors.As(err, &network) && c.Aggregated:
		return Advise(err, "check the cluster's address: kubectl config view --minify")
	case errors.As(err, &network):
		return Advise(err, "check the address of --server, and that a way leads there (kubectl port-forward)")
	}
	return err
}
