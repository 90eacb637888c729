// Package dashboards holds what is seen of shardscaler in Grafana and Prometheus: dashboards,
// alerts and recorded series.
//
// In: generate, which writes the dashboards. Out: their queries, as Prometheus is asked them.
package dashboards

import (
	"embed"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

//go:generate go run ./generate

//go:embed *.json
var files embed.FS

// Expression is one query of a dashboard, with Grafana's variables filled in.
type Expression struct {
	File, Panel string
	Query       string
}

// Grafana fills these in before it asks Prometheus.
var variables = strings.NewReplacer("$__rate_interval", "1m", "$job", ".+", "$instance", ".+", "$kind", "Thing", "$ordinal", "0")

var labelValues = regexp.MustCompile(`^label_values\((.*), *\w+\)$`)

// Expressions lists every query of every dashboard, those of its variables included.
func Expressions() ([]Expression, error) {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil, err
	}
	var all []Expression
	for _, entry := range entries {
		text, err := files.ReadFile(entry.Name())
		if err != nil {
			return nil, err
		}
		some, err := expressions(entry.Name(), text)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", entry.Name(), err)
		}
		all = append(all, some...)
	}
	return all, nil
}

func expressions(file string, text []byte) ([]Expression, error) {
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
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, err
	}
	var all []Expression
	for _, panel := range d.Panels {
		for _, target := range panel.Targets {
			all = append(all, Expression{file, panel.Title, variables.Replace(target.Expr)})
		}
	}
	for _, variable := range d.Templating.List {
		if variable.Type != "query" {
			continue
		}
		var q struct{ Query string }
		if err := json.Unmarshal(variable.Query, &q); err != nil {
			return nil, fmt.Errorf("variable %s: %w", variable.Name, err)
		}
		match := labelValues.FindStringSubmatch(q.Query)
		if match == nil {
			return nil, fmt.Errorf("variable %s: query %q: want label_values(EXPR, LABEL)", variable.Name, q.Query)
		}
		all = append(all, Expression{file, "variable " + variable.Name, variables.Replace(match[1])})
	}
	return all, nil
}
