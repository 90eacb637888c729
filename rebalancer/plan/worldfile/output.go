package worldfile

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"

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
	out := Output{Description: p.Describe(), MoveList: []plan.NamedMove{}, RefusedList: []plan.NamedRefusal{}}
	out.ServerWouldSpread, out.ServerReason = plan.ShouldRebalance(p.World(), false, o)
	if format == "text" {
		return writeText(to, p, out, every)
	}
	out.MoveList = slices.AppendSeq(out.MoveList, p.Named())
	out.RefusedList = slices.AppendSeq(out.RefusedList, p.NamedRefused())
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

func writeText(to io.Writer, p *plan.Plan, out Output, every bool) error {
	would := "would not"
	if out.ServerWouldSpread {
		would = "would"
	}
	if _, err := fmt.Fprintf(to, "%sa server %s spread by itself: %s\n", out.Description, would, out.ServerReason); err != nil || !every {
		return err
	}
	for m := range p.Named() {
		if _, err := fmt.Fprintln(to, m); err != nil {
			return err
		}
	}
	for r := range p.NamedRefused() {
		if _, err := fmt.Fprintln(to, r); err != nil {
			return err
		}
	}
	return nil
}
