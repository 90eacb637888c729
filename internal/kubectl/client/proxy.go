package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"path"
	"strconv"
	"strings"
)

// Prefix is what the paths of a server's own calls begin with.
const Prefix = "/v1/api/"

// passed are the headers of a page's request that reach the server. Above all those that would name
// another user do not.
var passed = []string{"Accept", "Content-Type", "If-Match", "If-None-Match", "Last-Event-Id", "Prefer"}

// kept are the headers of an answer that reach the page.
var kept = []string{"Cache-Control", "Content-Length", "Content-Type", "Etag", "Retry-After", "Vary"}

// Proxy passes on requests for kinds and nodes, with the caller's credentials, and says who that
// is. It answers as the server itself would, also where the API server of Kubernetes is between.
// What reaches it acts as the caller.
func (c *Client) Proxy() http.Handler {
	proxy := &httputil.ReverseProxy{
		Transport: c.http.Transport, FlushInterval: -1, Rewrite: c.rewrite, ModifyResponse: c.asServer,
		// A stream that breaks off is no news: the page says so, and connects again.
		ErrorLog: log.New(io.Discard, "", 0),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			writeProblem(w, http.StatusBadGateway, c.unreachable(err).Error())
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		plain, ok := strings.CutPrefix(r.URL.Path, Prefix)
		first, _, _ := strings.Cut(plain, "/")
		switch {
		case ok && plain == "session" && r.Method == http.MethodGet:
			c.session(w, r)
		case !ok || first != kinds && first != nodes || path.Clean(r.URL.Path) != r.URL.Path:
			writeProblem(w, http.StatusNotFound, "only calls of kinds and nodes are passed on")
		default:
			proxy.ServeHTTP(w, r)
		}
	})
}

func (c *Client) rewrite(r *httputil.ProxyRequest) {
	to := c.base.JoinPath(strings.TrimPrefix(r.In.URL.EscapedPath(), Prefix))
	to.RawQuery = r.In.URL.RawQuery
	r.Out.URL, r.Out.Host, r.Out.Header = to, to.Host, http.Header{}
	for _, name := range passed {
		if values := r.In.Header.Values(name); len(values) > 0 {
			r.Out.Header[name] = values
		}
	}
	r.Out.Header.Set("Accept", strings.TrimPrefix(r.In.Header.Get("Accept")+", application/problem+json", ", "))
	// Without Accept-Encoding the transport asks for gzip and unpacks it: objects can be read.
}

// asServer turns what Kubernetes has forms of its own for into what the server says: kinds are
// documents, and errors are problem documents.
func (c *Client) asServer(resp *http.Response) error {
	header := http.Header{}
	for _, name := range kept {
		if values := resp.Header.Values(name); len(values) > 0 {
			header[name] = values
		}
	}
	resp.Header = header
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	ok := resp.StatusCode/100 == 2 || resp.StatusCode == http.StatusNotModified
	switch {
	case !ok && kind != "application/problem+json":
		return replaced(resp, "application/problem+json", func(text []byte) ([]byte, error) {
			p := c.refusal(resp, text)
			if resp.StatusCode/100 == 3 { // the credentials would go along
				resp.StatusCode, p.Detail = http.StatusBadGateway, "the server points elsewhere: "+resp.Status
			}
			return json.Marshal(problemOf(resp.StatusCode, p.Error()))
		})
	case resp.StatusCode == http.StatusOK && kind == "application/json" && c.Aggregated && c.isObject(resp.Request):
		return replaced(resp, "application/json", bare)
	}
	return nil
}

// replaced replaces the body of an answer.
func replaced(resp *http.Response, kind string, by func([]byte) ([]byte, error)) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil && len(text) > maxAnswer {
		err = fmt.Errorf("more than %d bytes", maxAnswer)
	}
	if err == nil {
		text, err = by(text)
	}
	if err != nil {
		return fmt.Errorf("read answer of %s: %w", resp.Request.URL, err)
	}
	_ = resp.Body.Close()
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	resp.Header.Set("Content-Type", kind)
	resp.Header.Set("Content-Length", strconv.Itoa(len(text)))
	return nil
}

// isObject says whether a request is for kinds, a kind or a node, which are objects of Kubernetes.
func (c *Client) isObject(r *http.Request) bool {
	below := strings.Trim(strings.TrimPrefix(r.URL.Path, c.base.Path), "/")
	return below == kinds || path.Dir(below) == kinds || path.Dir(below) == nodes
}

type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

func problemOf(status int, detail string) problem {
	return problem{http.StatusText(status), status, detail}
}

func writeProblem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(problemOf(status, detail)) // a caller that hung up needs no answer
}

// Session is who the caller is. The credentials are renewed here, so that it has no end.
type Session struct {
	User   string   `json:"user"`
	Groups []string `json:"groups"`
}

// session answers who calls.
func (c *Client) session(w http.ResponseWriter, r *http.Request) {
	who, err := c.Who(r.Context())
	var refused *Refusal
	switch {
	case errors.As(err, &refused):
		writeProblem(w, refused.Status, refused.Error())
	case err != nil:
		writeProblem(w, http.StatusBadGateway, err.Error())
	default:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(who) // a caller that hung up needs no answer
	}
}

// Who asks who the caller is, as whom the server, or the API server, knows it.
func (c *Client) Who(ctx context.Context) (s Session, err error) {
	if !c.Aggregated {
		d, err := do[Session](ctx, c, get("session"))
		return d.Value, err
	}
	type review struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Status     struct {
			UserInfo struct {
				Username string   `json:"username"`
				Groups   []string `json:"groups"`
			} `json:"userInfo"`
		} `json:"status"`
	}
	root := *c
	root.base = c.root
	const version = "authentication.k8s.io/v1"
	d, err := do[review](ctx, &root, post(review{APIVersion: version, Kind: "SelfSubjectReview"}, "apis", "authentication.k8s.io", "v1", "selfsubjectreviews"))
	return Session{d.Value.Status.UserInfo.Username, append([]string{}, d.Value.Status.UserInfo.Groups...)}, err
}
