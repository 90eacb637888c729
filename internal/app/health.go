package app

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
)

// check is one named line of a probe's answer.
type check struct {
	name string
	// failed makes the probe fail; a detail without it is a degradation: it says what is missing.
	failed bool
	detail string
}

// serveChecks answers 200 if no check failed, else 503, with each check's state.
func serveChecks(probe string, checks func() []check) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		var b strings.Builder
		status, verdict := http.StatusOK, "passed"
		for _, c := range checks() {
			switch {
			case c.failed:
				status, verdict = http.StatusServiceUnavailable, "failed"
				fmt.Fprintf(&b, "[-]%s failed: %s\n", c.name, c.detail)
			case c.detail != "":
				fmt.Fprintf(&b, "[!]%s degraded: %s\n", c.name, c.detail)
			default:
				fmt.Fprintf(&b, "[+]%s ok\n", c.name)
			}
		}
		fmt.Fprintf(&b, "%s check %s\n", probe, verdict)
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(b.String()))
	}
}

// Ages past which readyz calls inputs degraded. Metrics come every 10 s at best, others sooner.
const (
	inputOld   = 30 * time.Second
	metricsOld = 2 * time.Minute
)

// readiness: ready once everything was seen for the first time. What is lost later makes answers
// errors, and does not fail the probe: an adapter that is not served would block more.
func (a *App) readiness() []check {
	ok, detail := a.live.check()
	checks := []check{{name: "config", failed: !ok, detail: detail}, a.leadership.check()}
	if !a.opts.acts() {
		checks = append(checks, check{name: "mode", detail: fmt.Sprintf("%s: nothing is written, whatever the configuration says", a.opts.Mode)})
	}
	if a.metricsAPI != nil {
		c := check{name: "metrics-api"}
		if err := a.metricsAPI.Ready(); err != nil {
			c.failed, c.detail = true, err.Error()
		}
		checks = append(checks, c)
	}
	if a.registrar != nil {
		checks = append(checks, a.registrar.checks()...)
	}
	now := time.Now()
	snap := a.state.Snapshot(now)
	for i := range snap.Kinds {
		k := &snap.Kinds[i]
		name := strings.ToLower(k.Name) + "-"
		checks = append(checks,
			required(name+"store", k.Sources.Store, now),
			required(name+"cluster", k.Sources.Cluster, now),
			optional(name+"metrics", k.Sources.Metrics, now, metricsOld),
			optional(name+"groups", k.Sources.Groups, now, inputOld), optional(name+"hpas", k.Sources.HPAs, now, inputOld))
		if r := a.runner(k.Name); r != nil {
			p := r.engine.Progress() // while the assignment cannot be written, it is degraded
			checks = append(checks, check{name: name + "assignment", detail: orders.Trouble(r.engine.State(), &p)})
		}
		if k.Sources.Bus != nil {
			checks = append(checks, optional(name+"heartbeats", *k.Sources.Bus, now, inputOld))
		}
		if k.Sources.Cluster.Known() && k.Workload == nil {
			checks = append(checks, check{name: name + "workload", detail: "the StatefulSet does not exist"})
		}
	}
	return checks
}

// required fails until the source was read once.
func required(name string, s observed.Source, now time.Time) check {
	c := optional(name, s, now, inputOld)
	c.failed = !s.Known()
	return c
}

func optional(name string, s observed.Source, now time.Time, old time.Duration) check {
	c := check{name: name}
	switch {
	case !s.Known() && s.Error == "":
		c.detail = "not read yet"
	case !s.Known():
		c.detail = "not read yet: " + s.Error
	case s.Error != "":
		c.detail = fmt.Sprintf("last read %s ago: %s", config.Duration(s.Age(now)), s.Error)
	case s.Age(now) > old:
		c.detail = fmt.Sprintf("last read %s ago", config.Duration(s.Age(now)))
	}
	return c
}

// stuckAfter is how long a loop may need for one pass or tick before the process counts as hung.
// Both wait for servers with deadlines of their own, so only a loop that hangs reaches this.
const stuckAfter = 2 * time.Minute

// liveness fails when a loop that should go on does not: the one that follows ZooKeeper, and on the
// leader those that write there and decide. It takes no lock that those loops wait for.
func (a *App) liveness() []check {
	c := check{name: "loops"}
	now := time.Now()
	ran := func(kind, loop string, last time.Time) {
		if age := now.Sub(last); age > stuckAfter && !last.IsZero() {
			c.failed, c.detail = true, fmt.Sprintf("the loop of kind %s that %s last ran %s ago", kind, loop, config.Duration(age))
		}
	}
	for _, r := range a.runners.all() {
		follow, lead := r.engine.Alive()
		ran(r.kind, "follows ZooKeeper", follow)
		ran(r.kind, "writes to ZooKeeper", lead)
		if at := r.ticked.Load(); at != nil {
			ran(r.kind, "decides", *at)
		}
	}
	return []check{{name: "ping"}, c}
}
