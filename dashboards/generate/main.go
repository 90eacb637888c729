// Command generate writes Grafana's dashboards: `go generate ./dashboards`.
//
// In: the boards, which say what each dashboard and each panel shows. Out: a JSON file a dashboard, NAME.json, in a folder.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	out := flag.String("out", ".", "the folder that is written to")
	flag.Parse()
	for _, b := range boards {
		if err := b.write(*out); err != nil {
			fmt.Fprintln(os.Stderr, "generate:", err)
			os.Exit(1)
		}
	}
}

// board is one dashboard. Its file is name.json, its UID shardscaler-name.
type board struct {
	name, title, description string
	// variables are those of label values besides job and instance: kind, ordinal.
	variables []string
	panels    []panel
}

// panel is one picture. In its queries @server, @kind and @instance stand for the label matchers
// of a replica of shardscaler, of the chosen kind, and of the chosen instance of that kind.
type panel struct {
	kind                     string // of Grafana: stat or timeseries
	title, unit, description string
	queries                  []query
	link                     *link
}

// query is one PromQL expression and the text by which its series go.
type query struct{ legend, expr string }

// link leads from a series to a dashboard, with the series' label of the same name as variable.
type link struct{ board, label string }

func stat(title, unit, description string, queries ...query) panel {
	return panel{kind: "stat", title: title, unit: unit, description: description, queries: queries}
}

func series(title, unit, description string, queries ...query) panel {
	return panel{kind: "timeseries", title: title, unit: unit, description: description, queries: queries}
}

// to has a panel's series lead to a dashboard.
func (p panel) to(board, label string) panel {
	p.link = &link{board, label}
	return p
}

var (
	toKind     = func(p panel) panel { return p.to("kind", "kind") }
	toInstance = func(p panel) panel { return p.to("instance", "ordinal") }
)

type object = map[string]any

var source = object{"type": "prometheus", "uid": "${datasource}"}

// matchers replaces what stands for label matchers.
var matchers = strings.NewReplacer(
	"@server", `job=~"$job", instance=~"$instance"`,
	"@kind", `job=~"$job", instance=~"$instance", kind="$kind"`,
	"@instance", `job=~"$job", instance=~"$instance", kind="$kind", ordinal="$ordinal"`,
)

func (b *board) write(dir string) error {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(b.json()); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, b.name+".json"), text.Bytes(), 0o644)
}

func (b *board) json() object {
	return object{
		"title": b.title, "uid": "shardscaler-" + b.name, "description": b.description, "tags": []string{"shardscaler"},
		"schemaVersion": 39, "version": 1, "editable": false, "refresh": "30s", "timezone": "browser", "graphTooltip": 1,
		"time":        object{"from": "now-1h", "to": "now"},
		"annotations": object{"list": []any{}},
		// A menu of all dashboards with the tag; variables and time go along.
		"links": []any{object{
			"title": "shardscaler", "type": "dashboards", "tags": []string{"shardscaler"}, "asDropdown": true, "includeVars": true, "keepTime": true,
		}},
		"templating": object{"list": b.templates()},
		"panels":     b.layout(),
	}
}

func (b *board) templates() []any {
	list := []any{
		object{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"},
		labelValues("job", "Job", "shardscaler_leading", true),
		labelValues("instance", "Instance", `shardscaler_leading{job=~"$job"}`, true),
	}
	for _, name := range b.variables {
		switch name {
		case "kind":
			list = append(list, labelValues("kind", "Kind", `shardscaler_kind_max_replicas{job=~"$job"}`, false))
		case "ordinal":
			list = append(list, labelValues("ordinal", "Ordinal", `shardscaler_instance_ready{job=~"$job", kind="$kind"}`, false))
		}
	}
	return list
}

// labelValues is a variable of the values of a label. Several may be chosen of it, or one.
func labelValues(name, label, selector string, several bool) object {
	query := fmt.Sprintf("label_values(%s, %s)", selector, name)
	o := object{
		"name": name, "label": label, "type": "query", "datasource": source, "definition": query,
		"query": object{"query": query, "refId": name}, "refresh": 2, "sort": 3,
	}
	if several {
		o["multi"], o["includeAll"], o["allValue"] = true, true, ".+"
		o["current"] = object{"selected": true, "text": []string{"All"}, "value": []string{"$__all"}}
	}
	return o
}

// layout places the panels from left to right, and in the next row where one does not fit: stats
// are 4 of 24 columns wide, others 12.
func (b *board) layout() []any {
	var list []any
	x, y, row := 0, 0, 0
	for i, p := range b.panels {
		w, h := 12, 8
		if p.kind == "stat" {
			w, h = 4, 4
		}
		if x+w > 24 || row != 0 && h != row {
			x, y = 0, y+row
		}
		row = h
		list = append(list, p.json(i+1, object{"x": x, "y": y, "w": w, "h": h}))
		x += w
	}
	return list
}

func (p *panel) json(id int, place object) object {
	defaults := object{"unit": p.unit, "min": 0}
	if p.link != nil {
		defaults["links"] = []any{object{
			"title": "Open " + p.link.board + " ${__field.labels." + p.link.label + "}",
			"url": "/d/shardscaler-" + p.link.board + "?${datasource:queryparam}&${job:queryparam}&${__url_time_range}" + p.link.kept() +
				"&var-" + p.link.label + "=${__field.labels." + p.link.label + "}",
		}}
	}
	o := object{
		"id": id, "type": p.kind, "title": p.title, "description": p.description, "datasource": source, "gridPos": place,
		"fieldConfig": object{"defaults": defaults, "overrides": []any{}},
	}
	if p.kind == "stat" {
		o["options"] = object{"colorMode": "value", "reduceOptions": object{"calcs": []string{"lastNotNull"}}}
	} else {
		o["options"] = object{
			"tooltip": object{"mode": "multi", "sort": "desc"},
			"legend":  object{"displayMode": "table", "placement": "right", "showLegend": true, "calcs": []string{"lastNotNull", "max"}},
		}
		defaults["custom"] = object{"lineWidth": 1, "fillOpacity": 5, "spanNulls": false}
	}
	var targets []any
	for i, q := range p.queries {
		targets = append(targets, object{
			"refId": string(rune('A' + i)), "datasource": source, "expr": matchers.Replace(q.expr), "legendFormat": q.legend,
		})
	}
	o["targets"] = targets
	return o
}

// kept are the variables of this dashboard that the other one has too.
func (l *link) kept() string {
	if l.label == "ordinal" {
		return "&${kind:queryparam}"
	}
	return ""
}
