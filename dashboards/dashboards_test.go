package dashboards

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

func TestDashboardsShow(t *testing.T) {
	expressions, err := Expressions()
	require.NoError(t, err)
	var all strings.Builder
	for _, e := range expressions {
		require.Contains(t, e.Query, "shardscaler_", e.Panel)
		require.NotContains(t, e.Query, "$", "a variable that nothing fills in")
		require.NotContains(t, e.Query, "@", "a matcher that nothing fills in")
		all.WriteString(e.Query)
	}
	for _, name := range []string{ // what must be seen
		"shardscaler_kind_replicas", "shardscaler_replicas_wanted", "shardscaler_kind_init_replicas", "shardscaler_kind_max_replicas",
		"shardscaler_instance_resources", "shardscaler_instance_heartbeat_lag_seconds", "shardscaler_instance_cpu_cores",
		"shardscaler_instance_memory_bytes", "shardscaler_rebalancer_moves_total", "shardscaler_kind_resources",
	} {
		require.Contains(t, all.String(), name+"{")
	}
}

// The files are what the generator writes.
func TestDashboardsAreGenerated(t *testing.T) {
	dir := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "go", "run", "./generate", "-out", dir).CombinedOutput()
	require.NoError(t, err, string(out))
	fresh, err := filepath.Glob(filepath.Join(dir, "*.json"))
	require.NoError(t, err)
	kept, err := filepath.Glob("*.json")
	require.NoError(t, err)
	require.Len(t, kept, len(fresh))
	for _, file := range fresh {
		want, err := os.ReadFile(file)
		require.NoError(t, err)
		is, err := os.ReadFile(filepath.Base(file))
		require.NoError(t, err)
		require.Equal(t, string(want), string(is), "go generate ./dashboards writes it anew")
	}
}

// Panels do not lie over each other, their ids differ, and their links lead to dashboards that exist.
func TestDashboardLayout(t *testing.T) {
	type board struct {
		UID    string
		Panels []struct {
			ID          int
			Title       string
			GridPos     struct{ X, Y, W, H int }
			FieldConfig struct {
				Defaults struct{ Links []struct{ URL string } }
			}
		}
	}
	entries, err := files.ReadDir(".")
	require.NoError(t, err)
	uids, links := map[string]bool{}, map[string]bool{}
	for _, entry := range entries {
		text, err := files.ReadFile(entry.Name())
		require.NoError(t, err)
		var d board
		require.NoError(t, json.Unmarshal(text, &d))
		require.False(t, uids[d.UID])
		uids[d.UID] = true
		taken, ids := map[[2]int]string{}, map[int]bool{}
		for _, p := range d.Panels {
			require.False(t, ids[p.ID])
			ids[p.ID] = true
			require.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
					require.Empty(t, taken[[2]int{x, y}], p.Title)
					taken[[2]int{x, y}] = p.Title
				}
			}
			for _, l := range p.FieldConfig.Defaults.Links {
				uid, _, _ := strings.Cut(strings.TrimPrefix(l.URL, "/d/"), "?")
				links[uid] = true
			}
		}
	}
	require.Equal(t, map[string]bool{"shardscaler-kind": true, "shardscaler-instance": true}, links)
	for uid := range links {
		require.True(t, uids[uid], uid)
	}
}

// promtool runs with a file in which each expression of the dashboards is a rule: it is as old as
// what users have, while dashlint parses with the newest.
func TestPromtoolParsesTheDashboards(t *testing.T) {
	program := servers.Prometheus(t, "promtool")
	expressions, err := Expressions()
	require.NoError(t, err)
	type query struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	var rules []query
	for i, e := range expressions {
		rules = append(rules, query{fmt.Sprintf("dashboard:query:%d", i), e.Query})
	}
	check := func(rules []query) (string, error) {
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
	_, err = check(append(rules, query{"dashboard:broken", "max by (kind ("}))
	require.Error(t, err, "promtool lets anything pass")
}

func TestAlerts(t *testing.T) {
	program := servers.Prometheus(t, "promtool")
	for _, args := range [][]string{{"check", "rules", "shardscaler.rules.yml"}, {"test", "rules", "shardscaler.test.yml"}} {
		out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
		require.NoError(t, err, string(out))
	}
}

// Every rule is in a test.
func TestAlertsAreTested(t *testing.T) {
	tests, err := os.ReadFile("shardscaler.test.yml")
	require.NoError(t, err)
	for _, rule := range rules(t) {
		require.Regexp(t, regexp.MustCompile(`\b`+rule.Alert+rule.Record+`\b`), string(tests))
	}
}

type rule struct {
	Alert, Record, Expr string
	Labels, Annotations map[string]string
}

// rules reads the rules, of which there must be some of each group.
func rules(t *testing.T) (all []rule) {
	var file struct{ Groups []struct{ Rules []rule } }
	text, err := os.ReadFile("shardscaler.rules.yml")
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &file))
	for _, group := range file.Groups {
		require.NotEmpty(t, group.Rules)
		all = append(all, group.Rules...)
	}
	require.Greater(t, len(all), 10)
	return all
}

const runbooks = "../docs/runbooks"

// Each alert has a severity, says what is so, and has a page of the same name that says what it
// means, what to look at and what to do; there are no other pages. What the pages link to exists.
func TestEachAlertHasARunbook(t *testing.T) {
	entries, err := os.ReadDir(runbooks)
	require.NoError(t, err)
	var pages, alerts []string
	for _, entry := range entries {
		pages = append(pages, strings.TrimSuffix(entry.Name(), ".md"))
	}
	for _, rule := range rules(t) {
		if rule.Alert == "" {
			require.Regexp(t, `^(\w+):(shardscaler_\w+):(\w+)$`, rule.Record, "level:metric:operations")
			continue
		}
		alerts = append(alerts, rule.Alert)
		require.Contains(t, []string{"warning", "critical"}, rule.Labels["severity"], rule.Alert)
		require.NotEmpty(t, rule.Annotations["summary"], rule.Alert)
		require.NotEmpty(t, rule.Annotations["description"], rule.Alert)
		require.Equal(t, "https://github.com/shardscaler/shardscaler/blob/main/docs/runbooks/"+rule.Alert+".md", rule.Annotations["runbook_url"])
	}
	require.ElementsMatch(t, alerts, pages)
	for _, page := range pages {
		text, err := os.ReadFile(filepath.Join(runbooks, page+".md"))
		require.NoError(t, err)
		require.Regexp(t, `(?s)^# `+page+"\n\n## What it means\n\n.+\n## What to look at\n\n- .+\n## What to do\n\n- .+", string(text))
		for _, link := range markdownLink.FindAllStringSubmatch(string(text), -1) {
			target, anchor, _ := strings.Cut(link[1], "#")
			linked, err := os.ReadFile(filepath.Join(runbooks, target))
			require.NoError(t, err, page)
			require.True(t, anchor == "" || slices.Contains(anchors(string(linked)), anchor), "%s: %s", page, link[1])
		}
	}
}

var (
	markdownLink = regexp.MustCompile(`\]\(([^)]+)\)`)
	heading      = regexp.MustCompile(`(?m)^#+ (.+)$`)
	noAnchor     = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors are those of a page's headings, as GitHub makes them.
func anchors(page string) (all []string) {
	for _, h := range heading.FindAllStringSubmatch(page, -1) {
		all = append(all, strings.ReplaceAll(noAnchor.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-"))
	}
	return all
}
