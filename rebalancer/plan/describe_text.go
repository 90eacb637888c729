package plan

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// String is the description as text.
func (d *Description) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "plan %s (%s, by %s)\n%s\n%s\n", d.ID, d.Regime, d.Balance, d.Summary, d.Certificate)
	d.writeInstances(&b)
	for _, f := range d.Flows {
		fmt.Fprintf(&b, "move %d from %s to %d: %s\n", f.Count, placeName(f.From), f.To, f.Why)
	}
	for _, r := range d.Refused {
		fmt.Fprintf(&b, "refused %d from %s: %s", r.Count, placeName(r.From), r.Why)
		if r.Pin != "" {
			fmt.Fprintf(&b, " (%s)", r.Pin)
		}
		fmt.Fprintf(&b, ", %s: %s", r.Meaning, strings.Join(r.Examples, ", "))
		if r.Count > len(r.Examples) {
			b.WriteString(", …")
		}
		b.WriteByte('\n')
	}
	for _, n := range d.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	return b.String()
}

func (d *Description) writeInstances(b *strings.Builder) {
	table := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	head := "instance\tstate\tbefore\tin\tout\tafter\ttarget\t"
	if d.Balance == ByWeight {
		head += "weight before\tweight after\t"
	}
	fmt.Fprintln(table, head)
	for _, c := range d.Instances {
		fmt.Fprintf(table, "%d\t%s\t%d\t%d\t%d\t%d\t%d\t", c.Ordinal, c.State, c.Before, c.In, c.Out, c.After, c.Target)
		if d.Balance == ByWeight {
			fmt.Fprintf(table, "%.6g\t%.6g\t", c.WeightBefore, c.WeightAfter)
		}
		fmt.Fprintln(table)
	}
	_ = table.Flush() // a strings.Builder does not fail
}

func placeName(ordinal int) string {
	if ordinal < 0 {
		return "the pool"
	}
	return strconv.Itoa(ordinal)
}

// ID is a hash of every move and refusal by id: equal plans of equal worlds have equal ids.
func (p *Plan) ID() string {
	h := sha256.New()
	out := bufio.NewWriterSize(h, 1<<16) // a hash does not fail
	fmt.Fprintf(out, "plan v1 %s %s bound %d exact %v remaining %d\n", p.Regime, p.Balance, p.Bound, p.Exact, p.Remaining)
	for i, t := range p.Targets {
		fmt.Fprintf(out, "instance %d %d\n", p.world.Instances[i].Ordinal, t)
	}
	last := Move{From: -2}
	for _, m := range p.Moves {
		if m.From != last.From || m.To != last.To {
			fmt.Fprintf(out, "move %d %d\n", p.world.Ordinal(m.From), p.world.Ordinal(m.To))
			last = m
		}
		_, _ = out.Write(appendID(out.AvailableBuffer(), p.world.list(m.From).IDs, int(m.Index)))
	}
	for _, r := range p.Refused {
		fmt.Fprintf(out, "refuse %d %s\n", p.world.Ordinal(r.From), r.Why)
		_, _ = out.Write(appendID(out.AvailableBuffer(), p.world.list(r.From).IDs, int(r.Index)))
	}
	_ = out.Flush()
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// appendID writes the i-th id on a line of its own, quoted unless it is plain.
func appendID(line []byte, ids protocol.IDs, i int) []byte {
	line = append(line, ' ')
	start := len(line)
	line = ids.Append(line, i)
	if ids.UUIDs() {
		return append(line, '\n')
	}
	for _, c := range line[start:] {
		if c <= ' ' || c >= 0x7f || c == '"' {
			return append(strconv.AppendQuote(line[:start], ids.At(i)), '\n')
		}
	}
	return append(line, '\n')
}

func (m NamedMove) String() string {
	return fmt.Sprintf("%s: %s to %d, %s", m.ID, placeName(m.From), m.To, m.Why)
}

func (r NamedRefusal) String() string {
	return fmt.Sprintf("%s: stays in %s, %s", r.ID, placeName(r.From), r.Why)
}
