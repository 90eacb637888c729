// Package client asks shardscaler for the documents of internal/ops, and asks it for changes.
//
// In: how the API server or the server itself is reached. Out: documents, each beside the text that
// it came as, and errors that say what a person can do. Invariant: a write of which the server may
// have heard without answering is an Unknown, never an ordinary error; a token is never sent over
// plain HTTP to another machine.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"k8s.io/client-go/rest"

	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/wake"
)

// Group and Version name the aggregated API.
const (
	Group   = "ops.shardscaler.io"
	Version = "v1"
)

// DefaultTimeout bounds one call where the caller's configuration has no bound; a rollback waits
// for several transactions.
const DefaultTimeout = time.Minute

// maxAnswer bounds an answer, in bytes.
const maxAnswer = 64 << 20

// Client asks one installation.
type Client struct {
	http    *http.Client
	root    *url.URL // of what is asked, the API server or the server itself
	base    *url.URL // of the API's calls
	timeout time.Duration
	// Aggregated says that it asks through the API server of Kubernetes.
	Aggregated bool
	// Namespace is the installation's; empty where the server is asked itself.
	Namespace string
	// asksAgain is called when a read is about to be asked again; nil: none is.
	asksAgain func(why error)
}

// pauses are those before a read is asked again, of about three seconds: the API server knows for so
// long of no server to pass it on to when one has just started.
var pauses = []time.Duration{200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond, 1600 * time.Millisecond}

// Patient has reads that are answered 503 asked again for about three seconds. tell is called once
// for each that is.
func (c *Client) Patient(tell func(why error)) *Client {
	c.asksAgain = tell
	return c
}

// Aggregated asks the installation of a namespace through the API server, as the caller that cfg
// has.
func Aggregated(cfg *rest.Config, namespace string) (*Client, error) {
	c, err := newClient(cfg)
	if err != nil {
		return nil, err
	}
	c.base = c.base.JoinPath("apis", Group, Version, "namespaces", namespace)
	c.Aggregated, c.Namespace = true, namespace
	return c, nil
}

// Direct asks the server at cfg.Host, with cfg's token: one of its own, or what its WrapTransport
// adds.
func Direct(cfg *rest.Config) (*Client, error) {
	at, err := url.Parse(cfg.Host)
	if err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https" {
		return nil, fmt.Errorf("server %q: want a URL such as https://shardscaler.shardscaler:6443", cfg.Host)
	}
	if at.Scheme == "http" && (cfg.BearerToken != "" || cfg.BearerTokenFile != "" || cfg.WrapTransport != nil) && !loopback(at.Hostname()) {
		return nil, Advise(fmt.Errorf("server %s: a token is not sent over plain HTTP", cfg.Host),
			"use the server's https:// address, with --certificate-authority if its authority is not the system's")
	}
	c, err := newClient(cfg)
	if err != nil {
		return nil, err
	}
	c.base = c.base.JoinPath("v1", "api")
	return c, nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// newClient has the base that cfg has. What cfg says of the time is kept for each call, since a
// stream has no end.
func newClient(cfg *rest.Config) (*Client, error) {
	cfg = rest.CopyConfig(cfg)
	c := &Client{timeout: cfg.Timeout}
	if c.timeout == 0 {
		c.timeout = DefaultTimeout
	}
	cfg.Timeout = 0
	var err error
	if c.root, _, err = rest.DefaultServerUrlFor(cfg); err != nil {
		return nil, err
	}
	c.root.Path = "/" + strings.Trim(c.root.Path, "/")
	c.base = c.root
	if c.http, err = rest.HTTPClientFor(cfg); err != nil {
		return nil, err
	}
	// The credentials would go along to wherever an answer points.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

// Doc is a document and the text that it came as.
type Doc[T any] struct {
	Value T
	Raw   []byte
}

// call is one request below the API's path. segments are escaped here.
type call struct {
	method   string
	segments []string
	query    url.Values
	body     any
}

func get(segments ...string) call { return call{method: http.MethodGet, segments: segments} }

// do sends a call and decodes its answer.
func do[T any](ctx context.Context, c *Client, what call) (d Doc[T], err error) {
	if d.Raw, err = c.exchange(ctx, what); err != nil {
		return d, err
	}
	if err := exact.JSON(d.Raw, &d.Value); err != nil {
		err = fmt.Errorf("read answer of %s: %w", c.at(what), err)
		if what.method != http.MethodGet {
			return d, &Unknown{Err: err}
		}
		return d, err
	}
	return d, nil
}

// at is the URL of a call.
func (c *Client) at(what call) *url.URL {
	escaped := make([]string, len(what.segments))
	for i, s := range what.segments {
		escaped[i] = url.PathEscape(s)
	}
	at := c.base.JoinPath(escaped...)
	at.RawQuery = what.query.Encode()
	return at
}

// exchange returns the text of an answer that is no error.
func (c *Client) exchange(ctx context.Context, what call) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	connected := false // the server cannot have heard of the request before that
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected = true }})
	if what.method == http.MethodGet {
		return c.read(ctx, what)
	}
	text, err := c.send(ctx, what)
	if err == nil {
		return text, nil
	}
	var p *Refusal
	if errors.As(err, &p) && p.unknown() || !errors.As(err, &p) && connected {
		return nil, &Unknown{Err: err}
	}
	return nil, err
}

// read sends a read, and again while nothing is there that could answer.
func (c *Client) read(ctx context.Context, what call) ([]byte, error) {
	text, err := c.send(ctx, what)
	for i := 0; i < len(pauses) && c.asksAgain != nil && unavailable(err); i++ {
		if i == 0 {
			c.asksAgain(err)
		}
		if !wake.Sleep(ctx, pauses[i]) {
			break
		}
		text, err = c.send(ctx, what)
	}
	return text, err
}

func unavailable(err error) bool {
	var r *Refusal
	return errors.As(err, &r) && r.Status == http.StatusServiceUnavailable
}

func (c *Client) send(ctx context.Context, what call) ([]byte, error) {
	resp, err := c.open(ctx, what, "application/json")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read answer of %s: %w", c.at(what), err)
	case len(text) > maxAnswer:
		return nil, fmt.Errorf("read answer of %s: more than %d bytes", c.at(what), maxAnswer)
	case resp.StatusCode == http.StatusNoContent:
		return []byte("null"), nil
	case resp.StatusCode/100 != 2:
		return nil, c.refusal(resp, text)
	}
	return text, nil
}

// open sends a request and returns the answer, whatever its status.
func (c *Client) open(ctx context.Context, what call, accept string) (*http.Response, error) {
	var body io.Reader
	if what.body != nil {
		text, err := json.Marshal(what.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, what.method, c.at(what).String(), body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", accept+", application/problem+json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(err)
	}
	return resp, nil
}

// refusal reads a problem document, or a Status of the API server. What is neither is said as it
// came.
func (c *Client) refusal(resp *http.Response, text []byte) *Refusal {
	p := &Refusal{aggregated: c.Aggregated, namespace: c.Namespace}
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	if err := exact.JSON(text, p); err == nil && p.Status == resp.StatusCode && kind == "application/problem+json" {
		p.Ours = true
		return p
	}
	p.Status, p.Detail = resp.StatusCode, strings.TrimSpace(string(text))
	var status struct {
		Kind    string `json:"kind"`
		Message string `json:"message"`
	}
	if err := exact.JSON(text, &status); err == nil && status.Kind == "Status" {
		p.Detail = status.Message
	}
	if p.Detail == "" {
		p.Detail = http.StatusText(resp.StatusCode)
	}
	return p
}
