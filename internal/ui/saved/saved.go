// Package saved shows a saved snapshot in the page, read only: a support case is a file.
//
// In: what a server answered to GET /v1/api/snapshot. Out: the page and the API's reads over it, each
// decision made again. Invariant: nothing is contacted and nothing changes; every time is that of
// the snapshot.
package saved

import (
	"log/slog"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/shardscaler/shardscaler/internal/api/kinds"
	"github.com/shardscaler/shardscaler/internal/api/schemas"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/samesite"
	"github.com/shardscaler/shardscaler/internal/ui"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// Handler serves the page at /ui/ and the reads of the API below /v1/api/, to callers that name
// this machine alone.
func Handler(s decide.Saved, log *slog.Logger) (http.Handler, error) {
	page, err := ui.Handler(ui.Snapshot)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/ui/", http.StripPrefix("/ui", page))
	mux.Handle("/{$}", http.RedirectHandler("/ui/", http.StatusFound))
	config := huma.DefaultConfig("shardscaler, a saved snapshot", "1")
	config.DocsPath, config.OpenAPIPath, config.SchemasPath, config.CreateHooks = "", "", "", nil
	config.Components.Schemas = schemas.New()
	b := backend{Saved: s}
	let := huma.Middlewares{b.onlyWhatIsSaved}
	kinds.Register(kinds.Config{API: humago.New(mux, config), Backend: b, Read: let, History: let, Write: let, Log: log})
	return samesite.Only(mux, true), nil
}

// onlyWhatIsSaved refuses what the file lacks: every change, the history, the resources' names, what
// stands over the configuration, and in files of older builds where its values come from.
func (b backend) onlyWhatIsSaved(ctx huma.Context, next func(huma.Context)) {
	path := ctx.Operation().Path
	why := ""
	switch {
	case ctx.Method() != http.MethodGet || strings.Contains(path, "/history") || strings.HasSuffix(path, "/overrides"):
		why = "this is a saved snapshot: it has no history, and nothing can be changed"
	case strings.HasSuffix(path, "/resource") || strings.HasSuffix(path, "/resources"):
		why = "this is a saved snapshot: it counts resources and does not name them"
	case strings.HasSuffix(path, "/config") && b.ConfiguredOf(ctx.Param("kind")) == nil:
		why = "where the values of the configuration come from is not in this file: an older build has made it"
	default:
		next(ctx)
		return
	}
	ctx.SetHeader("Content-Type", "application/problem+json")
	ctx.SetStatus(http.StatusNotImplemented)
	// a reader that has gone needs no answer
	_, _ = ctx.BodyWriter().Write([]byte(`{"title":"Not Implemented","status":501,"detail":"` + why + `"}`))
}

// backend is a kinds.Backend over a file. What is nil here, onlyWhatIsSaved lets no request come to.
type backend struct {
	decide.Saved
	kinds.Changes
	kinds.Plans
	kinds.Histories
}

// Kinds implements kinds.Reads.
func (b backend) Kinds() (names []string) {
	for _, in := range b.Inputs {
		names = append(names, in.Config.Name)
	}
	return names
}

// View implements kinds.Reads.
func (b backend) View(kind string) (*ops.View, bool) {
	for _, in := range b.Inputs {
		if in.Config.Name == kind {
			v := &ops.View{
				Now: in.Now, Config: in.Config, Base: in.Config, Operator: in.Operator, Snapshot: in.Observed, Input: in,
				Decision: outcome.NewReport(decide.Decide(in), outcome.Outcome{}),
			}
			if s := b.ConfiguredOf(kind); s != nil {
				v.Base, v.Written, v.Override = s.Base, s.Written, s.Override
				v.Generation, v.Version, v.LoadedAt, v.Refused = s.Generation, s.Version, s.LoadedAt, s.Refused
			}
			return v, true
		}
	}
	return nil, false
}

// Resource implements kinds.Reads: a snapshot counts resources and does not name them.
func (backend) Resource(string, string) (ops.Resource, bool) { return ops.Resource{}, false }

// Resources implements kinds.Reads.
func (backend) Resources(string, string, func(ops.ResourceAt) bool) {}
