// Package dashboards holds what is seen of shardscaler in Grafana and Prometheus: a dashboard,
// alerts and recorded series.
//
// In: nothing. Out: the dashboard's expressions, and the metrics that they name, all of which the
// server exports.
package dashboards

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/sets"
)

//go:embed shardscaler.json
var dashboard []byte

// Expression is one query of the dashboard, with Grafana's variables filled in.
type Expression struct {
	Panel string
	Query string
}

// Grafana fills these in before it asks Prometheus.
var variables = strings.NewReplacer("$__rate_interval", "1m", "$kind", "Thing")

var labelValues = regexp.MustCompile(`^label_values\((.*), *\w+\)$`)

// Expressions lists every query of the dashboard, those of its variables included.
func Expressions() ([]Expression, error) {
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
		Templating struct {
			List []struct {
				Name, Type string
				Query      json.RawMessage
			}
		}
	}
	if err := json.Unmarshal(dashboard, &d); err != nil {
		return nil, fmt.Errorf("read dashboard: %w", err)
	}
	var all []Expression
	for _, panel := range d.Panels {
		for _, target := range panel.Targets {
			all = append(all, Expression{panel.Title, variables.Replace(target.Expr)})
		}
	}
	for _, variable := range d.Templating.List {
		if variable.Type != "query" {
			continue
		}
		var q struct{ Query string }
		if err := json.Unmarshal(variable.Query, &q); err != nil {
			return nil, fmt.Errorf("read variable %s: %w", variable.Name, err)
		}
		match := labelValues.FindStringSubmatch(q.Query)
		if match == nil {
			return nil, fmt.Errorf("read variable %s: query %q: want label_values(EXPR, LABEL)", variable.Name, q.Query)
		}
		all = append(all, Expression{"variable " + variable.Name, match[1]})
	}
	return all, nil
}

var (
	// What may hold words that are no metrics: strings, matchers, ranges, durations, and the labels
	// of an aggregation or a join.
	noMetrics = regexp.MustCompile(`"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b[0-9][0-9a-z.]*|\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)`)
	// A word; in front of a parenthesis it is a function or an aggregation.
	word     = regexp.MustCompile(`[A-Za-z_:][A-Za-z0-9_:]*\s*\(?`)
	keywords = []string{"and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring", "group_left", "group_right", "inf", "nan"}
)

// Names lists the metrics that a query names.
func Names(query string) []string {
	names := sets.New[string]()
	for _, w := range word.FindAllString(noMetrics.ReplaceAllString(query, " "), -1) {
		if !strings.HasSuffix(w, "(") && !slices.Contains(keywords, strings.ToLower(strings.TrimSpace(w))) {
			names.Insert(strings.TrimSpace(w))
		}
	}
	return sets.List(names)
}

// Missing lists the metrics that the dashboard names and a scrape, in the text format, does not
// have.
func Missing(scrape io.Reader) ([]string, error) {
	expressions, err := Expressions()
	if err != nil {
		return nil, err
	}
	have, named := sets.New[string](), sets.New[string]()
	lines := bufio.NewScanner(scrape)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if end := strings.IndexAny(lines.Text(), "{ "); end > 0 {
			have.Insert(lines.Text()[:end])
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read scrape: %w", err)
	}
	for _, e := range expressions {
		named.Insert(Names(e.Query)...)
	}
	return sets.List(named.Difference(have)), nil
}
