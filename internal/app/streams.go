package app

import (
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shardscaler/shardscaler/internal/api/access"
	"github.com/shardscaler/shardscaler/internal/api/stream"
	"github.com/shardscaler/shardscaler/internal/api/stream/delta"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/ops/history"
)

// streams returns what serves the streams of the kinds.
func (o operators) streams() *stream.Hub {
	return stream.New(stream.Config{
		Read: o.seen, History: o.entriesAfter, May: access.Sees, Recheck: access.Recheck, Log: o.app.log,
		Source: func(ctx huma.Context) string { return access.SourceFrom(ctx.Context(), ctx.RemoteAddr()) },
	})
}

// seen are all kinds with their instances: what streams show.
func (o operators) seen(time.Time) (all []delta.Seen) {
	for _, name := range o.Kinds() {
		v, ok := o.View(name)
		if !ok {
			continue
		}
		seen := delta.Seen{Kind: ops.KindOf(v), Instances: ops.InstancesOf(v)}
		if r := o.app.runner(name); r != nil {
			seen.Newest = r.timeline.Newest()
		}
		all = append(all, seen)
	}
	return all
}

// entriesAfter are the newest entries of a kind's history after one, the oldest first; one more than
// a stream sends at most.
func (o operators) entriesAfter(kind, after string) (entries []ops.Entry) {
	for _, e := range slices.Backward(o.History(kind, history.Query{Limit: stream.MaxMissed + 1}).Items) {
		if e.ID > after { // ids have one width
			entries = append(entries, e)
		}
	}
	return entries
}
