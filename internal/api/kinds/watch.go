package kinds

import (
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shardscaler/shardscaler/internal/api/stream"
)

// watch has the list of kinds be a stream where that is asked for. A stream takes none of the
// places that Read bounds.
func (h *handlers) watch(list *huma.Operation) {
	if h.Streams == nil {
		return
	}
	stream.Describe(h.API, list)
	list.Middlewares = slices.Concat(huma.Middlewares{h.Streams.Instead(h.API, h.Watch)}, list.Middlewares)
}
