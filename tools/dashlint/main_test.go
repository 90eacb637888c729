package main

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"
)

const folder = "../../dashboards"

func TestDashboardsAreClean(t *testing.T) {
	files, err := filepath.Glob(folder + "/*.json")
	require.NoError(t, err)
	require.Len(t, files, 5)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		faults, err := lint(text)
		require.NoError(t, err)
		require.Empty(t, faults, file)
	}
}

// Every metric of every dashboard is in the table of docs/metrics.md, which a test holds against
// what the server exports.
func TestDashboardsShowDocumentedMetrics(t *testing.T) {
	text, err := os.ReadFile("../../docs/metrics.md")
	require.NoError(t, err)
	named := 0
	files, err := filepath.Glob(folder + "/*.json")
	require.NoError(t, err)
	expr := regexp.MustCompile(`"expr": "((?:[^"\\]|\\.)*)"`)
	for _, file := range files {
		board, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, match := range expr.FindAllStringSubmatch(string(board), -1) {
			query, err := parse(strings.ReplaceAll(match[1], `\"`, `"`))
			require.NoError(t, err)
			parser.Inspect(query, func(node parser.Node, _ []parser.Node) error {
				if s, ok := node.(*parser.VectorSelector); ok {
					named++
					require.Contains(t, string(text), "| `"+strings.TrimSuffix(s.Name, "_bucket")+"` |", file)
				}
				return nil
			})
		}
	}
	require.Greater(t, named, 90)
}

// clean is a dashboard without a fault; each case of TestEachRuleFinds has one put into it.
const clean = `{"title": "T", "editable": false, "templating": {"list": [
	{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"},
	{"name": "job", "type": "query", "label": "Job", "datasource": {"uid": "${datasource}"}, "query": {"query": "label_values(up, job)"},
		"multi": true, "includeAll": true, "allValue": ".+", "refresh": 2},
	{"name": "instance", "type": "query", "label": "Instance", "datasource": {"uid": "${datasource}"}, "query": {"query": "label_values(up{job=~\"$job\"}, instance)"},
		"multi": true, "includeAll": true, "allValue": ".+", "refresh": 2}]},
	"panels": [{"title": "P", "description": "D", "type": "stat", "datasource": {"uid": "$datasource"}, "fieldConfig": {"defaults": {"unit": "s"}},
		"targets": [{"expr": "sum(rate(a_total{job=~\"$job\", instance=~\"$instance\"}[$__rate_interval]))", "datasource": {"uid": "${datasource}"}}]}]}`

func TestEachRuleFinds(t *testing.T) {
	faults, err := lint([]byte(clean))
	require.NoError(t, err)
	require.Empty(t, faults)

	found := map[string]bool{}
	for _, c := range []struct{ rule, good, bad string }{
		{"template-datasource-rule", `"name": "datasource"`, `"name": "source"`},
		{"template-datasource-rule", `"label": "Data source"`, `"label": "Source"`},
		{"template-datasource-rule", `"query": "prometheus"`, `"query": "loki"`},
		{"template-job-rule", `"name": "job"`, `"name": "work"`},
		{"template-job-rule", `"label": "Job"`, `"label": "Work"`},
		{"template-job-rule", `"allValue": ".+"`, `"allValue": ".*"`},
		{"template-instance-rule", `"name": "instance"`, `"name": "pod"`},
		{"template-instance-rule", `"label": "Instance", "datasource": {"uid": "${datasource}"}`, `"label": "Instance", "datasource": {"uid": "fixed"}`},
		{"template-label-promql-rule", `label_values(up, job)`, `label_values(up{, job)`},
		{"template-label-promql-rule", `label_values(up, job)`, `up`},
		{"template-on-time-change-reload-rule", `"refresh": 2`, `"refresh": 1`},
		{"uneditable-dashboard-rule", `"editable": false, `, ``},
		{"panel-datasource-rule", `"$datasource"`, `"fixed"`},
		{"panel-datasource-rule", `"datasource": {"uid": "${datasource}"}}]}]}`, `"datasource": {"uid": "fixed"}}]}]}`},
		{"panel-title-description-rule", `"title": "P"`, `"title": ""`},
		{"panel-title-description-rule", `"description": "D"`, `"description": ""`},
		{"panel-units-rule", `"unit": "s"`, `"unit": "seconds"`},
		{"panel-units-rule", `"unit": "s"`, `"u": "s"`},
		{"panel-no-targets-rule", `"targets"`, `"queries"`},
		{"target-promql-rule", `sum(rate(`, `sum(rte(`},
		{"target-rate-interval-rule", `[$__rate_interval]`, `[5m]`},
		{"target-counter-agg-rule", `sum(rate(`, `sum(delta(`},
		{"target-counter-agg-rule", `sum(rate(`, `sum(a_count{job=~\"$job\", instance=~\"$instance\"}) + sum(rate(`},
		{"target-job-rule", `{job=~\"$job\", instance`, `{instance`},
		{"target-job-rule", `{job=~\"$job\", instance`, `{job=\"$job\", instance`},
		{"target-instance-rule", `, instance=~\"$instance\"`, ``},
	} {
		require.Contains(t, clean, c.good)
		faults, err := lint([]byte(strings.Replace(clean, c.good, c.bad, 1)))
		require.NoError(t, err)
		require.Len(t, faults, 1, "%s for %s: %v", c.bad, c.good, faults)
		require.Regexp(t, "^"+c.rule+": ", faults[0])
		found[c.rule] = true
	}
	rules := slices.Concat(slices.Collect(maps.Keys(ofDashboards)), slices.Collect(maps.Keys(ofPanels)))
	require.ElementsMatch(t, rules, slices.Collect(maps.Keys(found)), "each rule has a case")

	_, err = lint([]byte("{"))
	require.Error(t, err)
}
