package story

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// shown is what the table takes from the product's REST API, field by field: a person could ask the same.
type shown struct {
	Resources, Unassigned, InFlight int
	Instances                       map[string]struct {
		Resources struct{ IDs []string }
	}
	Decision *struct {
		Wanted  int
		Summary string
	}
	Progress struct{ Moved int64 }
}

// row is one line of the table.
type row struct {
	kind                                    string
	ready, size, wanted                     int
	assigned, unassigned, inFlight, maximum int
	lag                                     string
	moved                                   int64
	why                                     string
}

const header = "   KIND   READY/SIZE  WANTED  ASSIGNED  UNASSIGNED  IN FLIGHT  FULLEST   LAG    MOVED  WHY"

func (r row) String() string {
	return fmt.Sprintf("   %-6s %10s  %6d  %8d  %10d  %9d  %7d  %4s  %7d  %s",
		r.kind, fmt.Sprintf("%d/%d", r.ready, r.size), r.wanted, r.assigned, r.unassigned, r.inFlight, r.maximum, r.lag, r.moved, r.why)
}

// watchTable shows the table until ctx ends: in place on a terminal, else a line whenever more than a lag has changed.
func (d *demo) watchTable(ctx context.Context) {
	inPlace := isTerminal(d.out)
	fmt.Fprintln(d.out, header)
	shown := map[string]row{}
	for drawn := false; ; drawn = true {
		var rows []row
		for _, k := range d.Kinds {
			rows = append(rows, d.row(ctx, k))
		}
		if ctx.Err() != nil {
			return
		}
		if inPlace && drawn {
			fmt.Fprintf(d.out, "\x1b[%dA", len(rows))
		}
		for _, r := range rows {
			compared := r
			compared.lag = ""
			switch {
			case inPlace:
				fmt.Fprintf(d.out, "\r\x1b[K%s\n", clip(r.String()))
			case shown[r.kind] != compared:
				fmt.Fprintln(d.out, r)
			}
			shown[r.kind] = compared
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}

// row asks Kubernetes, the metrics API and a replica.
func (d *demo) row(ctx context.Context, k *Kind) row {
	r := row{kind: k.Name, lag: "-"}
	if size, err := d.Size(ctx, k.Set); err == nil {
		r.ready, r.size = size.Ready, size.Spec
	}
	if lags, err := d.Metric(ctx, "pods/*", "heartbeat_lag_seconds?labelSelector=app%3D"+k.Set); err == nil {
		worst := 0.0
		for _, lag := range lags {
			worst = max(worst, lag)
		}
		r.lag = fmt.Sprintf("%.0fs", worst)
	}
	var s shown
	leader, err := d.Leader(ctx)
	if err == nil {
		err = leader.REST(ctx, "GET", "/v1/api/orchestrations/"+k.Name, "", nil, &s)
	}
	if err != nil {
		r.why = err.Error()
		return r
	}
	r.unassigned, r.inFlight, r.assigned = s.Unassigned, s.InFlight, s.Resources-s.Unassigned-s.InFlight
	r.moved = s.Progress.Moved
	for _, in := range s.Instances {
		r.maximum = max(r.maximum, len(in.Resources.IDs))
	}
	if s.Decision != nil {
		r.wanted, r.why = s.Decision.Wanted, s.Decision.Summary
	}
	return r
}

// clip keeps a line from wrapping, which would spoil drawing in place.
func clip(line string) string {
	const width = 160
	if runes := []rune(line); len(runes) > width {
		return string(runes[:width-1]) + "…"
	}
	return line
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// invite prints where everything can be asked.
func (d *demo) invite(env *servers.Env) {
	kubectl := env.Kubernetes.Kubectl + " --kubeconfig " + env.Kubernetes.Kubeconfig
	raw := kubectl + " get --raw /apis/custom.metrics.k8s.io/v1beta2/namespaces/" + namespace
	rest := "http://" + d.Servers[0].Addr
	lines := []string{
		"",
		"Ask for yourself (Ctrl-C ends everything):",
		"  " + kubectl + " -n " + namespace + " get statefulsets,pods,events",
		"  " + raw + "/statefulsets.apps/iota-dac/recommended_replicas",
		"  " + raw + "/pods/%2A/resources_per_instance",
		"  " + raw + "/pods/%2A/heartbeat_lag_seconds",
		"  curl " + rest + "/v1/api/orchestrations/Thing/decision",
		"  curl " + rest + "/v1/api/snapshot",
		"  curl " + rest + "/readyz",
		"  curl " + rest + "/metrics",
		"  " + kubectl + " -n " + namespace + " edit configmap shardscaler",
		"  " + d.Programs.Dacsim + " ctl --control " + d.Control.Addr + " load Thing --cpu 20",
		"  " + d.Programs.Dacsim + " ctl --control " + d.Control.Addr + " mute Thing 1",
		"",
	}
	fmt.Fprintln(d.out, strings.Join(lines, "\n"))
}
