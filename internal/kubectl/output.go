package kubectl

import (
	"bytes"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/printers"

	"github.com/shardscaler/shardscaler/internal/kubectl/client"
)

// output is how a command prints.
type output struct {
	format    string
	noHeaders bool
	quiet     bool

	machine printers.ResourcePrinter // of JSON and YAML, made once: YAML separates documents
}

const formats = "wide, json, yaml or name"

func (p *output) flags(c *cobra.Command) {
	c.Flags().StringVarP(&p.format, "output", "o", "", "Output format: "+formats)
	c.Flags().BoolVar(&p.noHeaders, "no-headers", false, "Print tables without the line of names")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"wide", "json", "yaml", "name"}, cobra.ShellCompDirectiveNoFileComp))
}

// change has the flags of a command that changes something.
func (p *output) change(c *cobra.Command) {
	p.flags(c)
	c.Flags().BoolVarP(&p.quiet, "quiet", "q", false, "Print nothing but errors")
}

// named is what -o name prints: a type and a name.
type named struct{ kind, name string }

// shown is a document and how else it is printed.
type shown struct {
	raw   []byte
	names []named
	human func(w io.Writer) error
}

// check is called before anything is asked of a server.
func (p *output) check() error {
	switch p.format {
	case "", "wide", "json", "yaml", "name":
		return nil
	}
	return client.Advise(fmt.Errorf("output format %q is not known", p.format), "use -o "+formats)
}

func (p *output) wide() bool { return p.format == "wide" }

// print writes a document as the flags say. JSON and YAML are what the server sent.
func (p *output) print(w io.Writer, s shown) error {
	switch {
	case p.quiet:
		return nil
	case p.format == "json" || p.format == "yaml":
		if p.machine == nil {
			var err error
			if p.machine, err = genericclioptions.NewJSONYamlPrintFlags().ToPrinter(p.format); err != nil {
				return err
			}
		}
		return p.machine.PrintObj(&runtime.Unknown{Raw: bytes.TrimSpace(s.raw)}, w) // the printer ends the line
	case p.format == "name":
		for _, n := range s.names {
			object := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: n.name}}
			object.SetGroupVersionKind(schema.GroupVersionKind{Group: client.Group, Version: client.Version, Kind: n.kind})
			if err := (&printers.NamePrinter{ShortOutput: true}).PrintObj(object, w); err != nil {
				return err
			}
		}
		return nil
	}
	return s.human(w)
}

// table writes a table.
func (p *output) table(w io.Writer, t *metav1.Table) error {
	return printers.NewTablePrinter(printers.PrintOptions{NoHeaders: p.noHeaders, Wide: p.wide()}).PrintObj(t, w)
}
