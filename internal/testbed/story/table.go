package story

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/internal/testbed/servers/fetch"
)

// shown is what the table takes from the product's REST API, as a person could.
type shown struct {
	Resources, Unassigned, InFlight int
	Instances                       map[string]struct {
		Resources struct{ IDs []string }
	}
	Decision struct {
		Needed  int `json:"wanted"`
		Summary string
	}
	Progress struct{ Moved int64 }
}

const (
	header = "   KIND   READY/SIZE  NEEDED  ASSIGNED  UNASSIGNED  IN FLIGHT  FULLEST   LAG    MOVED  WHY"
	format = "   %-6s %10s  %6d  %8d  %10d  %9d  %7d  %4s  %7d  %s"
)

// watchTable shows the table until ctx ends: in place on a terminal, else each line that changed.
func (d *demo) watchTable(ctx context.Context) {
	inPlace := fetch.IsTerminal(d.out)
	fmt.Fprintln(d.out, header)
	before := make([]string, len(d.Kinds))
	for drawn := false; ; drawn = true {
		rows, timeless := make([]string, len(d.Kinds)), make([]string, len(d.Kinds))
		for i, k := range d.Kinds {
			rows[i], timeless[i] = d.row(ctx, k)
		}
		if ctx.Err() != nil {
			return
		}
		if inPlace && drawn {
			fmt.Fprintf(d.out, "\x1b[%dA", len(rows))
		}
		for i, row := range rows {
			if inPlace {
				fmt.Fprintf(d.out, "\r\x1b[K%s\n", clip(row))
			} else if timeless[i] != before[i] {
				fmt.Fprintln(d.out, row)
			}
		}
		before = timeless
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}

// row asks Kubernetes, the metrics API and a replica for a line; timeless is it without the lag.
func (d *demo) row(ctx context.Context, k *Kind) (row, timeless string) {
	size, _ := d.Size(ctx, k.Set) // zero while it is not known
	lag := "-"
	if lags, err := d.Metric(ctx, "pods/*", "heartbeat_lag_seconds?labelSelector=app%3D"+k.Set); err == nil {
		worst := 0.0
		for _, lag := range lags {
			worst = max(worst, lag)
		}
		lag = fmt.Sprintf("%.0fs", worst)
	}
	var s shown
	leader, err := d.Leader(ctx)
	if err == nil {
		err = leader.REST(ctx, "GET", "/v1/api/orchestrations/"+k.Name, "", nil, &s)
	}
	if err != nil {
		s.Decision.Summary = err.Error()
	}
	fullest := 0
	for _, in := range s.Instances {
		fullest = max(fullest, len(in.Resources.IDs))
	}
	line := func(lag string) string {
		return fmt.Sprintf(format, k.Name, fmt.Sprintf("%d/%d", size.Ready, size.Spec), s.Decision.Needed,
			s.Resources-s.Unassigned-s.InFlight, s.Unassigned, s.InFlight, fullest, lag, s.Progress.Moved, s.Decision.Summary)
	}
	return line(lag), line("")
}

// clip keeps a line from wrapping, which would spoil drawing in place.
func clip(line string) string {
	const width = 160
	if runes := []rune(line); len(runes) > width {
		return string(runes[:width-1]) + "…"
	}
	return line
}

// invite prints where everything can be asked.
func (d *demo) invite(env *servers.Env) {
	kubectl := env.Kubernetes.Kubectl + " --kubeconfig " + env.Kubernetes.Kubeconfig
	raw := kubectl + " get --raw /apis/custom.metrics.k8s.io/v1beta2/namespaces/" + namespace
	rest := "http://" + d.Servers[0].Addr
	fmt.Fprintln(d.out, strings.Join([]string{
		"",
		"Ask for yourself (Ctrl-C ends everything):",
		"  " + d.page + " in a browser",
		"  go run ./cmd/kubectl-shardscaler --kubeconfig " + env.Kubernetes.Kubeconfig + " -n " + namespace + " why Thing",
		"  " + kubectl + " -n " + namespace + " get kinds.ops.shardscaler.io",
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
	}, "\n"))
}
