package dashboards

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/internal/testbed/servers/fetch"
)

func TestDashboardShows(t *testing.T) {
	expressions, err := Expressions()
	require.NoError(t, err)
	require.Greater(t, len(expressions), 20)
	shown := map[string]bool{}
	for _, e := range expressions {
		names := Names(e.Query)
		require.NotEmpty(t, names, e.Query)
		require.NotContains(t, e.Query, "$", "a variable that nothing fills in")
		for _, name := range names {
			require.True(t, strings.HasPrefix(name, "shardscaler_"), "%s: %s", e.Panel, name)
			shown[name] = true
		}
	}
	for _, name := range []string{ // what the first dashboard must show
		"shardscaler_kind_replicas", "shardscaler_replicas_wanted", "shardscaler_kind_init_replicas", "shardscaler_kind_max_replicas",
		"shardscaler_instance_resources", "shardscaler_instance_heartbeat_lag_seconds", "shardscaler_instance_cpu_cores",
		"shardscaler_instance_memory_bytes", "shardscaler_rebalancer_moves_total", "shardscaler_kind_resources",
	} {
		require.True(t, shown[name], name)
	}
}

// Panels do not lie over each other, and their ids differ.
func TestDashboardLayout(t *testing.T) {
	var d struct {
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
		}
	}
	require.NoError(t, json.Unmarshal(dashboard, &d))
	taken := map[[2]int]string{}
	ids := map[int]string{}
	for _, p := range d.Panels {
		require.Empty(t, ids[p.ID])
		ids[p.ID] = p.Title
		require.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				require.Empty(t, taken[[2]int{x, y}], p.Title)
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}

func TestNames(t *testing.T) {
	for query, want := range map[string][]string{
		`max by (kind) (a_b{kind="Thing",x=~"c|d"}) > 3`:                     {"a_b"},
		`sum(rate(a_total[5m])) / on (x) group_left (y) b`:                   {"a_total", "b"},
		`histogram_quantile(0.99, sum by (le) (rate(a_seconds_bucket[1m])))`: {"a_seconds_bucket"},
		`a and on (kind) b or absent(c) unless d offset 5m`:                  {"a", "b", "c", "d"},
		`1 - min(a)`:                     {"a"},
		`avg without (pod) (kind:a:sum)`: {"kind:a:sum"},
		`{__name__="a"}`:                 {},
	} {
		require.Equal(t, want, Names(query), query)
	}
}

func TestMissing(t *testing.T) {
	expressions, err := Expressions()
	require.NoError(t, err)
	var scrape bytes.Buffer
	for _, e := range expressions {
		for _, name := range Names(e.Query) {
			if name != "shardscaler_leading" {
				fmt.Fprintf(&scrape, "# HELP %s text\n%s{kind=\"Thing\"} 1\n", name, name)
			}
		}
	}
	missing, err := Missing(bytes.NewReader(scrape.Bytes()))
	require.NoError(t, err)
	require.Equal(t, []string{"shardscaler_leading"}, missing)
	scrape.WriteString("shardscaler_leading 1\n")
	missing, err = Missing(&scrape)
	require.NoError(t, err)
	require.Empty(t, missing)
}

// promtool is Prometheus's checker of rules: the one on PATH, or one out of Debian's package in the
// user's cache folder. The package is not installed: that would start a Prometheus.
func promtool(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("promtool"); err == nil {
		return path
	}
	dir, err := fetch.Debian(t.Context(), fetch.NewProgress(os.Stderr), "prometheus", false)
	if err != nil && os.Getenv(servers.RequireServersVar) != "1" {
		t.Skipf("needs promtool on PATH (it comes with Prometheus): %v", err)
	}
	require.NoError(t, err, "needs promtool on PATH (it comes with Prometheus)")
	return filepath.Join(dir, "usr", "bin", "promtool")
}

// promtool runs with a file in which each expression of the dashboard is a rule.
func TestPromtoolParsesTheDashboard(t *testing.T) {
	program := promtool(t)
	expressions, err := Expressions()
	require.NoError(t, err)
	type rule struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	var rules []rule
	for i, e := range expressions {
		rules = append(rules, rule{fmt.Sprintf("dashboard:query:%d", i), e.Query})
	}
	check := func(rules []rule) (string, error) {
		text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
		require.NoError(t, err)
		file := filepath.Join(t.TempDir(), "rules.yml")
		require.NoError(t, os.WriteFile(file, text, 0o600))
		out, err := exec.CommandContext(t.Context(), program, "check", "rules", file).CombinedOutput()
		return string(out), err
	}
	out, err := check(rules)
	require.NoError(t, err, out)
	require.Contains(t, out, fmt.Sprintf("%d rules found", len(rules)))
	_, err = check(append(rules, rule{"dashboard:broken", "max by (kind ("}))
	require.Error(t, err, "promtool lets anything pass")
}

func TestAlerts(t *testing.T) {
	program := promtool(t)
	for _, args := range [][]string{{"check", "rules", "shardscaler.rules.yml"}, {"test", "rules", "shardscaler.test.yml"}} {
		out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
		require.NoError(t, err, string(out))
	}
}

// Every alert is in a test, and names only metrics that the dashboard shows too (and that are
// therefore held against a scrape).
func TestAlertsAreTested(t *testing.T) {
	var file struct {
		Groups []struct {
			Rules []struct{ Alert, Record, Expr string }
		}
	}
	text, err := os.ReadFile("shardscaler.rules.yml")
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &file))
	tests, err := os.ReadFile("shardscaler.test.yml")
	require.NoError(t, err)
	expressions, err := Expressions()
	require.NoError(t, err)
	shown := map[string]bool{}
	for _, e := range expressions {
		for _, name := range Names(e.Query) {
			shown[name] = true
		}
	}
	for _, rule := range file.Groups[0].Rules {
		require.Regexp(t, regexp.MustCompile(`\b`+rule.Alert+rule.Record+`\b`), string(tests))
		for _, name := range Names(rule.Expr) {
			require.True(t, shown[name], "%s%s: %s", rule.Alert, rule.Record, name)
		}
	}
}
