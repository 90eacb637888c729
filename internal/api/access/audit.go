package access

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/util/cache"

	"github.com/shardscaler/shardscaler/internal/meter"
)

// Note is what a change says of itself: the values before and after it, as text for people. They
// may hold no secret.
type Note struct{ Before, After string }

// Audit notes what a change did. The audit log has it in the line of this request.
func Audit(ctx context.Context, n Note) { from(ctx).note = n }

// Logged is the middleware of what changes something: one line of the audit log for each, also for
// one that panics. It comes after the one that lets callers in, and after the one that passes
// requests on to the leader.
func (g *Guard) Logged(ctx huma.Context, next func(huma.Context)) {
	c, began, returned := from(ctx.Context()), time.Now(), false
	defer func() {
		note, status := c.note, cmp.Or(ctx.Status(), http.StatusOK) // a body without a status is 200
		if !returned {
			status = http.StatusInternalServerError
			if note.After == "" {
				note.After = "unknown: the call panicked"
			}
		}
		g.log.Info("audit", "user", c.user.Name, "operation", ctx.Operation().OperationID, "kind", ctx.Param("kind"),
			"before", note.Before, "after", note.After, "status", status, "door", string(c.door), "source", c.source,
			"took", time.Since(began).Round(time.Millisecond).String())
	}()
	next(ctx)
	returned = true
}

const (
	// refusalsPerSecond and refusalsAtOnce are the lines for one user, or for all callers whose
	// token is not valid.
	refusalsPerSecond, refusalsAtOnce = 0.2, 10
	// toldAfter is how soon the log says how many lines were left out.
	toldAfter = time.Minute
)

// refusals has changes that were refused in the audit log, and bounds how many: any caller can
// cause them.
type refusals struct {
	log     *slog.Logger
	rates   *rates
	omitted prometheus.Counter

	mu     sync.Mutex
	untold int // omitted since the log last said so
}

func newRefusals(log *slog.Logger, reg prometheus.Registerer) *refusals {
	return &refusals{log: log, rates: newRates(refusalsPerSecond, refusalsAtOnce), omitted: meter.In(reg).Counter(
		"shardscaler_api_audit_omitted_total", "Refused changes that the audit log leaves out, since one caller caused too many.")}
}

// changing are the verbs of what changes something.
var changing = []string{"create", "update", "delete"}

// note has a change that c may not make in the log; that a caller could not be checked is no
// verdict.
func (r *refusals) note(ctx huma.Context, c *caller, right Right, no *refusal) {
	verdict := no.status == http.StatusUnauthorized || no.status == http.StatusForbidden
	if !verdict || !slices.Contains(changing, right.Verb) {
		return
	}
	r.line(c, no, "operation", ctx.Operation().OperationID, "kind", ctx.Param("kind"), "right", right.String())
}

// noteDoor has a change in the log that a door refuses, before anything is known of it.
func (r *refusals) noteDoor(of *http.Request, door Door, no *refusal) {
	if of.Method == http.MethodGet || of.Method == http.MethodHead {
		return
	}
	const most = 200 // callers choose paths
	what := of.Method + " " + of.URL.Path
	r.line(&caller{door: door, source: of.RemoteAddr}, no, "operation", strings.ToValidUTF8(what[:min(most, len(what))], ""))
}

func (r *refusals) line(c *caller, no *refusal, what ...any) {
	if !r.rates.of(c.user.Name).Allow() {
		r.omit()
		return
	}
	line := append([]any{"user", c.user.Name}, what...)
	r.log.Info("audit", append(line, "refused", no.reason, "status", no.status, "door", string(c.door), "source", c.source)...)
}

func (r *refusals) omit() {
	r.omitted.Inc()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.untold++; r.untold == 1 {
		time.AfterFunc(toldAfter, r.tell)
	}
}

func (r *refusals) tell() {
	r.log.Warn("audit: refused changes left out, since callers caused too many", "count", r.taken(), "within", toldAfter.String())
}

func (r *refusals) taken() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, r.untold = r.untold, 0
	return n
}

// rates are the limiters of users, for as long as they call.
type rates struct {
	perSecond rate.Limit
	atOnce    int

	mu    sync.Mutex
	users *cache.LRUExpireCache // of *rate.Limiter
}

// rateMemory is how long a user's rate is kept: longer than it takes to be full again.
const rateMemory = 2 * time.Minute

func newRates(perSecond rate.Limit, atOnce int) *rates {
	return &rates{perSecond: perSecond, atOnce: atOnce, users: cache.NewLRUExpireCache(maxRemembered)}
}

func (r *rates) of(user string) *rate.Limiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	limiter, ok := r.users.Get(user)
	if !ok {
		limiter = rate.NewLimiter(r.perSecond, r.atOnce)
	}
	r.users.Add(user, limiter, rateMemory)
	return limiter.(*rate.Limiter)
}
