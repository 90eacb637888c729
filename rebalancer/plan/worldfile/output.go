package worldfile

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"

	"sigs.k8s.io/yaml"

	"github.com/shardscaler/shardscaler/rebalancer/plan"
)

// Formats are what Write writes.
var Formats = []string{"text", "json", "yaml"}

// Output is a plan as a document: its description, every move and every refusal.
type Output struct {
	*plan.Description
	// ServerWouldSpread says whether a server would spread by itself now, and why or why not.
	ServerWouldSpread bool                `json:"serverWouldSpread"`
	ServerReason      string              `json:"serverReason"`
	MoveList          []plan.NamedMove    `json:"moveList"`
	RefusedList       []plan.NamedRefusal `json:"refusedList"`
}

// Write writes a plan. Text has sums, and every move and refusal if set; JSON and YAML always do.
func Write(to io.Writer, p *plan.Plan, o plan.Options, format string, every bool) error {
	out := Output{Description: p.Describe()}
	out.ServerWouldSpread, out.ServerReason = plan.ShouldRebalance(p.World(), false, o)
	if every || format != "text" {
		out.MoveList, out.RefusedList = p.Named(), p.NamedRefused()
	}
	if format == "text" {
		return out.writeText(to)
	}
	text, err := json.MarshalIndent(out, "", "  ")
	if err == nil && format == "yaml" {
		text, err = yaml.JSONToYAML(text)
	}
	if err != nil {
		return fmt.Errorf("write plan: %w", err)
	}
	if format == "json" {
		text = append(text, '\n')
	}
	_, err = to.Write(text)
	return err
}

func (o *Output) writeText(to io.Writer) error {
	out := bufio.NewWriter(to) // keeps its error
	would := "would not"
	if o.ServerWouldSpread {
		would = "would"
	}
	fmt.Fprintf(out, "%sa server %s spread by itself: %s\n", o.Description, would, o.ServerReason)
	for _, m := range o.MoveList {
		fmt.Fprintln(out, m)
	}
	for _, r := range o.RefusedList {
		fmt.Fprintln(out, r)
	}
	return out.Flush()
}
