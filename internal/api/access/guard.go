package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/shardscaler/shardscaler/internal/limits"
	"github.com/shardscaler/shardscaler/internal/meter"
)

// Config configures New.
type Config struct {
	// Namespace is that of the kinds: rights are asked for in it.
	Namespace string
	// Audience is what tokens must be for; "": for the API server.
	Audience string
	// Address is the URL at which the secure door is, for people; "": there is none.
	Address string
	// Insecure lets pass what comes over plain HTTP, without a token: only on a loopback address.
	Insecure bool
	// PlainTokens takes tokens of the API server's audience with the old POSTs over plain HTTP.
	PlainTokens bool
	// OldReadsClosed asks for a token also where only what was always shown is read.
	OldReadsClosed bool
	// AllowedHosts are the names, without a port, under which browsers come: a session counts only
	// there and on loopback.
	AllowedHosts []string
	// SessionKeys are what sessions are sealed with, the first, and opened with, each; nil or none:
	// what only the serving certificate's owner knows.
	SessionKeys func() [][]byte
	// Kinds are the names of the configured kinds.
	Kinds func() []string
}

// Guard lets callers in.
type Guard struct {
	Config
	reviews Reviews
	peers   *Peers
	log     *slog.Logger
	refused *prometheus.CounterVec
	calls   *rates // of each user
	audit   *refusals
}

// callsPerSecond and callsAtOnce are of one user: a page asks for a few a second.
const callsPerSecond, callsAtOnce = 50, 200

// New returns a Guard. peers may be nil: no other replica passes requests on.
func New(cfg Config, reviews Reviews, peers *Peers, log *slog.Logger, reg prometheus.Registerer) *Guard {
	return &Guard{
		Config: cfg, reviews: reviews, peers: peers, log: log, calls: newRates(callsPerSecond, callsAtOnce), audit: newRefusals(log, reg),
		refused: meter.In(reg).Counters("shardscaler_api_refused_total", "Calls of the REST API that were refused before they reached it, by door and reason.", "door", "reason"),
	}
}

// Let is the middleware of operations that need the Right which method and path say.
func (g *Guard) Let(ctx huma.Context, next func(huma.Context)) {
	at := ctx.URL()
	right, err := RightOf(ctx.Method(), &at, g.Namespace)
	if err != nil {
		g.refuse(ctx, &refusal{status: http.StatusBadRequest, reason: refusedPath, detail: err.Error()})
		return
	}
	g.let(ctx, next, right)
}

// LetOld is the middleware of operations below /v1/api/orchestrations/ that change something.
func (g *Guard) LetOld(ctx huma.Context, next func(huma.Context)) {
	right := old[ctx.Operation().OperationID]
	right.Name, right.Namespace = ctx.Param("kind"), g.Namespace
	g.let(ctx, next, right)
}

// LetOldRead is that of those that do not, and need no token while old reads are open.
func (g *Guard) LetOldRead(ctx huma.Context, next func(huma.Context)) {
	if !g.OldReadsClosed && ctx.Header("Authorization") == "" && !strings.Contains(ctx.Header("Cookie"), CookieName) {
		next(ctx)
		return
	}
	g.LetOld(ctx, next)
}

// LetKnown is the middleware of what each caller may who is known: to begin and end a session.
func (g *Guard) LetKnown(ctx huma.Context, next func(huma.Context)) { g.let(ctx, next, Right{}) }

// LetAnyone is the middleware of what tells who calls: a request without a token, or whose session has
// ended, is let in without a user, and StrangerFrom says why there is none.
func (g *Guard) LetAnyone(ctx huma.Context, next func(huma.Context)) {
	c := from(ctx.Context())
	if !c.vouched && (c.door != Plain || !g.Insecure) {
		token, no := g.token(c, credentialsOf(ctx))
		if no == nil && token == "" {
			no = g.noToken()
		}
		if no != nil && no.status == http.StatusUnauthorized {
			c.stranger = no.detail
			next(huma.WithContext(ctx, with(ctx.Context(), c)))
			return
		}
	}
	g.LetKnown(ctx, next)
}

func (g *Guard) let(ctx huma.Context, next func(huma.Context), right Right) {
	c := from(ctx.Context())
	no := g.check(ctx.Context(), c, credentialsOf(ctx), right)
	if no == nil && c.door != Plain && !c.peer && !g.calls.of(c.user.Name).Allow() {
		no = &refusal{
			status: http.StatusTooManyRequests, reason: refusedBusy, header: map[string]string{"Retry-After": "1"},
			detail: fmt.Sprintf("user %q calls more than %d times a second", c.user.Name, callsPerSecond),
		}
	}
	if no != nil {
		g.audit.note(ctx, c, right, no)
		g.refuse(ctx, no)
		return
	}
	next(huma.WithContext(ctx, with(ctx.Context(), c)))
}

func (g *Guard) refuse(ctx huma.Context, no *refusal) {
	g.refused.WithLabelValues(string(from(ctx.Context()).door), no.reason).Inc()
	no.answer(ctx)
}

func credentialsOf(ctx huma.Context) credentials {
	return credentials{ctx.Header("Authorization"), ctx.Header("Cookie"), ctx.Host(), ctx.Header("Sec-Fetch-Site")}
}

// check fills in the caller, or says why it may not do what right says. Each caller that is known
// has the zero Right.
func (g *Guard) check(ctx context.Context, c *caller, proof credentials, right Right) *refusal {
	switch {
	case c.vouched:
		return nil
	case c.door == Plain && g.Insecure:
		c.user = User{Name: insecureLocal}
		return nil
	}
	token, no := g.token(c, proof)
	if no != nil {
		return no
	}
	if token == "" {
		return g.noToken()
	}
	c.recheck = func(ctx context.Context) error {
		if !c.until.IsZero() && !time.Now().Before(c.until) {
			return errNoSession
		}
		again := &caller{door: c.door, source: c.source} // handlers read c
		if no := g.review(ctx, again, token, right); no != nil {
			return no
		}
		c.setSees(again.sees)
		return nil
	}
	return g.review(ctx, c, token, right)
}

func (c *Config) noToken() *refusal {
	return &refusal{
		status: http.StatusUnauthorized, reason: refusedNoToken, detail: "a bearer token is needed; make one with: " + c.command(),
		header: map[string]string{"WWW-Authenticate": `Bearer realm="shardscaler"`},
	}
}

func (c *Config) command() string {
	if c.Audience == "" {
		return "kubectl -n " + c.Namespace + " create token NAME"
	}
	return "kubectl -n " + c.Namespace + " create token NAME --audience " + c.Audience
}

// review asks whose the token is, and what they may.
func (g *Guard) review(ctx context.Context, c *caller, token string, right Right) *refusal {
	audience := g.Audience
	if c.door == Plain { // with PlainTokens alone: as it was
		audience = ""
	}
	user, err := g.reviews.Authenticate(ctx, c.source, token, audience)
	if err != nil {
		return g.notReviewed(err)
	}
	c.user = user
	if right == (Right{}) {
		return nil
	}
	return g.allow(ctx, c, hash("token", token, audience), right)
}

// allow asks whether the caller may. Who may not list or watch all kinds is shown those that they may
// get.
func (g *Guard) allow(ctx context.Context, c *caller, key string, right Right) *refusal {
	ask := func(right Right) (bool, error) { return g.reviews.Allowed(ctx, c.source, key, c.user, right) }
	allowed, err := ask(right)
	if err == nil && !allowed && right.coveredByFormer() {
		allowed, err = g.reviews.AllowedFormerly(ctx, c.source, key, c.user, right.Name)
	}
	var sees []string // nil: all
	if err == nil && !allowed && right.Resource == "kinds" && (right.Name == "" || right.Verb == "watch") {
		kinds := []string{right.Name}
		if right.Name == "" {
			kinds = g.Kinds()
		}
		for _, kind := range kinds {
			one := right
			one.Verb, one.Name = "get", kind
			if allowed, err = ask(one); err != nil {
				break
			}
			if allowed {
				sees = append(sees, kind)
			}
		}
		allowed = len(sees) > 0
	}
	switch {
	case err != nil:
		return g.notReviewed(err)
	case !allowed:
		return &refusal{status: http.StatusForbidden, reason: refusedForbidden, detail: fmt.Sprintf("user %q may not %s", c.user.Name, right)}
	}
	c.setSees(sees)
	return nil
}

// May says whether the caller of a request that was let in may also do something else, of which the
// request's path does not tell. The error is the answer to the request.
func (g *Guard) May(ctx context.Context, right Right) error {
	c := from(ctx)
	if c.user.Name == insecureLocal { // it was let in by a server that asks nothing
		return nil
	}
	right.Namespace = g.Namespace
	no := g.allow(ctx, &caller{door: c.door, source: SourceFrom(ctx, c.source), user: c.user}, c.user.key(), right)
	if no == nil {
		return nil
	}
	g.refused.WithLabelValues(string(c.door), no.reason).Inc()
	header := http.Header{}
	for name, value := range no.header {
		header.Set(name, value)
	}
	return huma.ErrorWithHeaders(huma.NewError(no.status, no.detail), header)
}

func (g *Guard) notReviewed(err error) *refusal {
	switch {
	case errors.Is(err, limits.ErrRefused):
		return &refusal{
			status: http.StatusUnauthorized, reason: refusedToken, detail: err.Error(),
			header: map[string]string{"WWW-Authenticate": `Bearer realm="shardscaler", error="invalid_token"`},
		}
	case errors.Is(err, limits.ErrBusy):
		return &refusal{status: http.StatusTooManyRequests, reason: refusedBusy, detail: err.Error(), header: map[string]string{"Retry-After": "1"}}
	default:
		g.log.Error("caller not checked", "error", err)
		return &refusal{status: http.StatusServiceUnavailable, reason: refusedReview, detail: "the caller could not be checked with Kubernetes"}
	}
}

// Bearer is the token of an Authorization header; "": there is none.
func Bearer(header string) string {
	scheme, token, _ := strings.Cut(strings.TrimSpace(header), " ")
	if !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}
