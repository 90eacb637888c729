package main

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// report takes a fault.
type report func(where, format string, args ...any)

// The rules that look at a dashboard as a whole.
var ofDashboards = map[string]func(*Dashboard, report){
	"template-datasource-rule": func(d *Dashboard, fault report) {
		switch t := d.template("datasource"); {
		case t == nil || t.Type != "datasource":
			fault(d.Title, "no variable datasource of type datasource")
		case t.query() != "prometheus" || t.Label != "Data source":
			fault(d.Title, "variable datasource: query %q and label %q, want prometheus and Data source", t.query(), t.Label)
		}
	},
	"template-job-rule":      func(d *Dashboard, fault report) { d.several("job", "Job", fault) },
	"template-instance-rule": func(d *Dashboard, fault report) { d.several("instance", "Instance", fault) },
	"template-label-promql-rule": func(d *Dashboard, fault report) {
		for _, t := range d.Templating.List {
			if t.Type != "query" {
				continue
			}
			match := labelValues.FindStringSubmatch(t.query())
			if match == nil {
				fault(t.Name, "query %q, want label_values(SELECTOR, LABEL)", t.query())
			} else if _, err := parse(match[1]); err != nil {
				fault(t.Name, "%v", err)
			}
		}
	},
	"template-on-time-change-reload-rule": func(d *Dashboard, fault report) {
		for _, t := range d.Templating.List {
			if t.Type == "query" && t.Refresh != 2 {
				fault(t.Name, "refresh %d, want 2: on time range change", t.Refresh)
			}
		}
	},
	"uneditable-dashboard-rule": func(d *Dashboard, fault report) {
		if d.Editable {
			fault(d.Title, "editable: what is changed in Grafana is lost when the file is read again")
		}
	},
}

// The rules that look at one panel and its queries.
var ofPanels = map[string]func(*Panel, report){
	"panel-datasource-rule": func(p *Panel, fault report) {
		for _, t := range p.Targets {
			if !t.Datasource.templated() {
				fault(p.Title, "query %q has datasource %q, want ${datasource}", t.Expr, t.Datasource.UID)
			}
		}
		if !p.Datasource.templated() {
			fault(p.Title, "datasource %q, want ${datasource}", p.Datasource.UID)
		}
	},
	"panel-title-description-rule": func(p *Panel, fault report) {
		if p.Title == "" || p.Description == "" {
			fault(p.Title, "title and description %q, want both", p.Description)
		}
	},
	"panel-units-rule": func(p *Panel, fault report) {
		if unit := p.FieldConfig.Defaults.Unit; !slices.Contains(units, unit) {
			fault(p.Title, "unit %q is none of %v", unit, units)
		}
	},
	"panel-no-targets-rule": func(p *Panel, fault report) {
		if len(p.Targets) == 0 {
			fault(p.Title, "no query")
		}
	},
	"target-promql-rule": func(p *Panel, fault report) {
		for _, t := range p.Targets {
			if _, err := parse(t.Expr); err != nil {
				fault(p.Title, "query %q: %v", t.Expr, err)
			}
		}
	},
	"target-rate-interval-rule": func(p *Panel, fault report) { p.inspect(fault, usesRateInterval) },
	"target-counter-agg-rule":   func(p *Panel, fault report) { p.inspect(fault, countersAreRates) },
	"target-job-rule":           func(p *Panel, fault report) { p.matches("job", fault) },
	"target-instance-rule":      func(p *Panel, fault report) { p.matches("instance", fault) },
}

// units are those of Grafana that this linter knows; one that a new panel needs is added here.
var units = []string{"none", "short", "percentunit", "s", "bytes", "ops", "reqps", "opm", "bool_yes_no", "dateTimeFromNow"}

var labelValues = regexp.MustCompile(`^label_values\((.*), *\w+\)$`)

// rateInterval stands for $__rate_interval: a length that no dashboard writes itself.
const rateInterval = 1234567 * time.Second

var grafana = strings.NewReplacer("$__rate_interval", "1234567s")

var promql = parser.NewParser(parser.Options{})

// parse reads PromQL. Grafana's variables stand only for label values, apart from $__rate_interval.
func parse(query string) (parser.Expr, error) { return promql.ParseExpr(grafana.Replace(query)) }

// several requires a variable of which several values may be chosen, and all.
func (d *Dashboard) several(name, label string, fault report) {
	switch t := d.template(name); {
	case t == nil || t.Type != "query":
		fault(d.Title, "no variable %s of type query", name)
	case t.Label != label:
		fault(d.Title, "variable %s: label %q, want %q", name, t.Label, label)
	case !t.Datasource.templated():
		fault(d.Title, "variable %s: datasource %q, want ${datasource}", name, t.Datasource.UID)
	case !t.Multi || !t.IncludeAll || t.AllValue != ".+":
		fault(d.Title, "variable %s: multi %t, includeAll %t, allValue %q; want true, true, .+", name, t.Multi, t.IncludeAll, t.AllValue)
	}
}

// matches requires LABEL=~"$LABEL" in each selector.
func (p *Panel) matches(label string, fault report) {
	p.inspect(fault, func(node parser.Node, _ []parser.Node) error {
		selector, ok := node.(*parser.VectorSelector)
		if !ok || slices.ContainsFunc(selector.LabelMatchers, func(m *labels.Matcher) bool {
			return m.Name == label && m.Type == labels.MatchRegexp && m.Value == "$"+label
		}) {
			return nil
		}
		return errors.New(selector.String() + " lacks " + label + `=~"$` + label + `"`)
	})
}

// inspect has each node of each query that parses looked at, with the nodes above it.
func (p *Panel) inspect(fault report, look func(parser.Node, []parser.Node) error) {
	for _, t := range p.Targets {
		expr, err := parse(t.Expr)
		if err != nil {
			continue // target-promql-rule tells
		}
		parser.Inspect(expr, func(node parser.Node, above []parser.Node) error {
			if node == nil {
				return nil
			}
			if err := look(node, above); err != nil {
				fault(p.Title, "query %q: %v", t.Expr, err)
			}
			return nil
		})
	}
}

func usesRateInterval(node parser.Node, _ []parser.Node) error {
	if m, ok := node.(*parser.MatrixSelector); ok && m.Range != rateInterval {
		return errors.New(m.String() + " has a range other than $__rate_interval")
	}
	return nil
}

// counters end so, by Prometheus's conventions.
var counters = regexp.MustCompile(`_(total|bucket|sum|count)$`)

func countersAreRates(node parser.Node, above []parser.Node) error {
	selector, ok := node.(*parser.VectorSelector)
	if !ok || !counters.MatchString(selector.Name) {
		return nil
	}
	if len(above) >= 2 {
		_, ranged := above[len(above)-1].(*parser.MatrixSelector)
		call, called := above[len(above)-2].(*parser.Call)
		if ranged && called && slices.Contains([]string{"rate", "irate", "increase"}, call.Func.Name) {
			return nil
		}
	}
	return errors.New("counter " + selector.Name + " without rate, irate or increase")
}
