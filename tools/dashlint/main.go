// Command dashlint holds Grafana dashboards to the rules of Grafana's dashboard-linter, under that
// linter's names for them: `go -C tools/dashlint run . ../../dashboards/*.json`.
//
// In: files of dashboards. Out: a line a fault, and exit code 1 if there is one. There is no list
// of exceptions.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

// Dashboard is what the rules look at of a dashboard.
type Dashboard struct {
	Title      string
	Editable   bool
	Templating struct{ List []Template }
	Panels     []Panel
}

// Template is a variable of a dashboard.
type Template struct {
	Name, Label, Type, AllValue string
	Query                       json.RawMessage // a string, or of a variable of type query an object
	Datasource                  Source
	Multi, IncludeAll           bool
	Refresh                     int
}

// Panel is one picture.
type Panel struct {
	Title, Description, Type string
	Datasource               Source
	Targets                  []Target
	FieldConfig              struct{ Defaults struct{ Unit string } }
}

// Target is one query of a panel.
type Target struct {
	Expr       string
	Datasource Source
}

// Source is where a panel or a variable has its data from.
type Source struct{ Type, UID string }

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "dashlint: name the files of the dashboards: dashlint FILE...")
		os.Exit(2)
	}
	found := false
	for _, file := range os.Args[1:] {
		text, err := os.ReadFile(file)
		if err != nil {
			fmt.Fprintln(os.Stderr, "dashlint:", err)
			os.Exit(2)
		}
		faults, err := lint(text)
		if err != nil {
			fmt.Fprintf(os.Stderr, "dashlint: read %s: %v\n", file, err)
			os.Exit(2)
		}
		for _, fault := range faults {
			found = true
			fmt.Printf("%s: %s\n", file, fault)
		}
	}
	if found {
		os.Exit(1)
	}
}

// lint lists the faults of a dashboard, each as "RULE: WHERE: WHAT".
func lint(text []byte) ([]string, error) {
	d := Dashboard{Editable: true} // what Grafana takes when the file does not say it
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, err
	}
	var faults []string
	note := func(rule string) func(where, format string, args ...any) {
		return func(where, format string, args ...any) {
			faults = append(faults, rule+": "+where+": "+fmt.Sprintf(format, args...))
		}
	}
	for name, check := range ofDashboards {
		check(&d, note(name))
	}
	for _, p := range d.Panels {
		for name, check := range ofPanels {
			check(&p, note(name))
		}
	}
	slices.Sort(faults)
	return faults, nil
}

// query is the query of a variable.
func (t *Template) query() string {
	var text string
	var object struct{ Query string }
	if json.Unmarshal(t.Query, &text) == nil {
		return text
	}
	if json.Unmarshal(t.Query, &object) == nil {
		return object.Query
	}
	return ""
}

func (d *Dashboard) template(name string) *Template {
	i := slices.IndexFunc(d.Templating.List, func(t Template) bool { return t.Name == name })
	if i < 0 {
		return nil
	}
	return &d.Templating.List[i]
}

// templated says whether a source is the one of the variable.
func (s Source) templated() bool { return strings.Trim(s.UID, "${}") == "datasource" }
