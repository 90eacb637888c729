package api

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/shardscaler/shardscaler/internal/api/access"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/wake"
)

// forwarded marks a request that another replica passed on, so that two replicas that each take the
// other for the leader do not pass it back and forth.
const forwarded = "X-Shardscaler-Forwarded"

// forwardSlack is how much longer than its own patience the leader may take to answer.
const forwardSlack = 10 * time.Second

// replacedLook is the time between two looks at who leads, while the leader is waited for.
const replacedLook = 250 * time.Millisecond

// cancelWhenReplaced has a request not wait for a replica that leads no more, as a frozen one.
func cancelWhenReplaced(ctx context.Context, cancel func(), leader string, leads func() (self bool, url string)) {
	for wake.Sleep(ctx, replacedLook) {
		if self, now := leads(); self || now != "" && now != leader {
			cancel()
		}
	}
}

// forward lets the leader answer writes of a kind that is written. Over TLS the leader is told who
// the caller is; over plain HTTP, where that is asked for, it is sent what the caller sent.
func (h *handlers) forward(ctx huma.Context, next func(huma.Context)) {
	if v, ok := h.backend.Kind(ctx.Param("kind")); ok && v.Config.Mode != config.ModeAct {
		h.refuse(ctx, http.StatusConflict, fmt.Sprintf("nothing is written for kind %s: its mode, or that of the server, is %s", v.Config.Name, v.Config.Mode))
		return
	}
	self, leader := h.backend.Leader()
	to, err := url.Parse(leader)
	switch {
	case self:
		next(ctx)
	case err != nil || leader == "" || ctx.Header(forwarded) != "":
		ctx.SetHeader("Retry-After", "5")
		h.refuse(ctx, http.StatusServiceUnavailable, "no leader is known at the moment, or none that can be reached over TLS; try again in a few seconds")
	default:
		r, w := humago.Unwrap(ctx)
		var connecting atomic.Bool // over TLS: the leader has not proved yet that it is one
		traced := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
			GetConn: func(string) { connecting.Store(true) },
			GotConn: func(httptrace.GotConnInfo) { connecting.Store(false) },
		})
		patient, cancel := context.WithTimeout(traced, h.patience+forwardSlack)
		defer cancel()
		go cancelWhenReplaced(patient, cancel, leader, h.backend.Leader)
		proxy := &httputil.ReverseProxy{
			Transport: http.DefaultTransport,
			Rewrite: func(p *httputil.ProxyRequest) {
				p.SetURL(to)
				p.Out.Header.Set(forwarded, "true")
				p.Out.Header.Del("Accept-Encoding") // the answer is looked at here, and packed for the caller after that
				if to.Scheme == "https" {
					access.Vouch(ctx.Context(), p.Out)
				}
			},
			ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) {
				h.unanswered(ctx, to.Host, !connecting.Load() && MayBeSent(err), err)
			},
		}
		if to.Scheme == "https" {
			proxy.Transport = h.peers
		}
		proxy.ServeHTTP(w, r.WithContext(patient))
	}
}
