package kubectl

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/printers"

	stream "github.com/shardscaler/shardscaler/internal/api/stream/client"
	"github.com/shardscaler/shardscaler/internal/api/stream/delta"
	"github.com/shardscaler/shardscaler/internal/exact"
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

// seenIn is a sight of one installation; ended is why there are no more of it.
type seenIn struct {
	sight
	of    *client.Client
	ended error
}

// watchAll sends what the streams of several installations show. The channel is closed when all
// have ended.
func watchAll(ctx context.Context, o *options, clients []*client.Client, kind string) <-chan seenIn {
	all := make(chan seenIn)
	send := func(s seenIn) {
		select {
		case all <- s:
		case <-ctx.Done():
		}
	}
	var each sync.WaitGroup
	for _, c := range clients {
		each.Go(func() {
			sights, ended := o.watch(ctx, c, kind)
			for s := range sights {
				send(seenIn{sight: s, of: c})
			}
			if err := ended(); err != nil {
				send(seenIn{of: c, ended: err})
			}
		})
	}
	go func() {
		each.Wait()
		close(all)
	}()
	return all
}

// watchStatus shows the kinds, and then each one again when it has changed. It goes on with the
// other installations when one fails, and says so at once.
func (o *options) watchStatus(ctx context.Context, f *statusFlags, args []string) error {
	clients, err := o.chosen(ctx, f.all)
	if err != nil {
		return err
	}
	kind := ""
	if len(args) > 0 {
		kind = args[0]
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changed := &changedKinds{options: o, flags: f, printer: printers.NewTablePrinter(printers.PrintOptions{NoHeaders: f.noHeaders, Wide: f.wide()}), shown: map[string]string{}}
	failed := false
	for s := range watchAll(ctx, o, clients, kind) {
		switch {
		case s.ended != nil && !f.all:
			return fmt.Errorf("watch kinds: %w", s.ended)
		case s.ended != nil:
			failed = true
			Explain(o.ErrOut, fmt.Errorf("watch kinds%s: %w", in(s.of, f.all), s.ended))
		case s.trouble != nil:
			fmt.Fprintf(o.ErrOut, "no connection%s, trying again: %v\n", in(s.of, f.all), s.trouble)
		default:
			if err := changed.print(s); err != nil {
				return err
			}
		}
	}
	if failed {
		return exit{code: ExitError}
	}
	return nil
}

// changedKinds prints the kinds that are not as they were: lines of a table, or documents.
type changedKinds struct {
	*options
	flags   *statusFlags
	printer printers.ResourcePrinter
	shown   map[string]string // by namespace and kind
}

func (l *changedKinds) print(s seenIn) error {
	out := printers.GetNewTabWriter(l.Out)
	for _, k := range s.kinds {
		table := show.Kinds(l.flags.all, s.of.Namespace, []ops.Kind{k.Kind})
		text, err := l.says(k.Kind, table)
		if err != nil {
			return err
		}
		name := s.of.Namespace + "/" + k.Kind.Name
		if l.shown[name] == text {
			continue
		}
		l.shown[name] = text
		raw, err := exact.Marshal(k.Kind)
		if err != nil {
			return err
		}
		err = l.flags.print(out, shown{raw: raw, names: kindNames([]ops.Kind{k.Kind}), human: func(w io.Writer) error { return l.printer.PrintObj(table, w) }})
		if err != nil {
			return err
		}
	}
	return out.Flush()
}

// says is what is printed of a kind, without what changes by time alone.
func (l *changedKinds) says(k ops.Kind, table *metav1.Table) (string, error) {
	if f := l.flags.format; f != "" && f != "wide" {
		k = k.Undated()
		k.WorstLag = nil // as the column Lag
		text, err := exact.Marshal(k)
		return string(text), err
	}
	line := ""
	for i, column := range table.ColumnDefinitions {
		if column.Name != "Lag" {
			line += fmt.Sprint(table.Rows[0].Cells[i], "\t")
		}
	}
	return line, nil
}
