package kubectl

import (
	"context"
	"fmt"
	"time"

	"k8s.io/cli-runtime/pkg/printers"

	stream "github.com/shardscaler/shardscaler/internal/api/stream/client"
	"github.com/shardscaler/shardscaler/internal/api/stream/delta"
	"github.com/shardscaler/shardscaler/internal/kubectl/client"
	"github.com/shardscaler/shardscaler/internal/kubectl/show"
	"github.com/shardscaler/shardscaler/internal/ops"
)

// sight is what a stream shows at one moment.
type sight struct {
	kinds []delta.Seen
	at    time.Time // when it was true, by this machine's clock
	// trouble is why there is no connection; nil: there is one.
	trouble error
}

// watch sends what a stream shows, the newest alone where they come faster than they are taken. The
// channel is closed when the stream ends for good, and err then says why.
func (o *options) watch(ctx context.Context, to *client.Client, kind string) (sights <-chan sight, err func() error) {
	latest := make(chan sight, 1)
	var ended error
	go func() {
		defer close(latest)
		ended = to.Watch(ctx, kind, func(s *stream.State) {
			now := o.now()
			seen := sight{at: now.Add(-s.Age(now)), trouble: s.Trouble}
			if s.Known() {
				kinds, err := s.Kinds(now)
				if seen.kinds = kinds; err != nil {
					seen.trouble = err
				}
			}
			select {
			case <-latest: // it has not been taken, and need not be
			default:
			}
			latest <- seen
		})
	}()
	return latest, func() error { return ended }
}

// watchStatus shows the kinds, and then each one again when it has changed.
func (o *options) watchStatus(ctx context.Context, f *statusFlags, args []string) error {
	to, err := o.connect(ctx)
	if err != nil {
		return err
	}
	kind := ""
	if len(args) > 0 {
		kind = args[0]
	}
	lines := &changedLines{options: o, printer: printers.NewTablePrinter(printers.PrintOptions{NoHeaders: f.noHeaders, Wide: f.wide()}), shown: map[string]string{}}
	sights, ended := o.watch(ctx, to, kind)
	for s := range sights {
		if s.trouble != nil {
			fmt.Fprintf(o.ErrOut, "no connection, trying again: %v\n", s.trouble)
			continue
		}
		if err := lines.print(s); err != nil {
			return err
		}
	}
	if err := ended(); err != nil {
		return fmt.Errorf("watch kinds: %w", err)
	}
	return nil
}

// changedLines prints the lines of a table that are not as they were.
type changedLines struct {
	*options
	printer printers.ResourcePrinter
	shown   map[string]string // by kind
}

func (l *changedLines) print(s sight) error {
	out := printers.GetNewTabWriter(l.Out)
	for _, k := range s.kinds {
		table := show.Kinds(false, "", []ops.Kind{k.Kind})
		line := ""
		for i, column := range table.ColumnDefinitions {
			if column.Name != "Lag" { // it changes by time alone
				line += fmt.Sprint(table.Rows[0].Cells[i], "\t")
			}
		}
		if l.shown[k.Kind.Name] == line {
			continue
		}
		l.shown[k.Kind.Name] = line
		if err := l.printer.PrintObj(table, out); err != nil {
			return err
		}
	}
	return out.Flush()
}
