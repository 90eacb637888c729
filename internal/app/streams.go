package app

import (
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/shardscaler/shardscaler/internal/api/access"
	"github.com/shardscaler/shardscaler/internal/api/stream"
	"github.com/shardscaler/shardscaler/internal/api/stream/delta"
	"github.com/shardscaler/shardscaler/internal/ops"
)

// streams returns what serves the streams of the kinds.
func (o operators) streams() *stream.Hub {
	return stream.New(stream.Config{
		Read: o.seen, May: access.Sees, Recheck: access.Recheck, Log: o.app.log,
		Source: func(ctx huma.Context) string { return access.SourceFrom(ctx.Context(), ctx.RemoteAddr()) },
	})
}

// seen are all kinds with their instances: what streams show.
func (o operators) seen(time.Time) (all []delta.Seen) {
	for _, name := range o.Kinds() {
		if v, ok := o.View(name); ok {
			all = append(all, delta.Seen{Kind: ops.KindOf(v), Instances: ops.InstancesOf(v)})
		}
	}
	return all
}
