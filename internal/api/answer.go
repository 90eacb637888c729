package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/shardscaler/shardscaler/internal/api/etag"
	"github.com/shardscaler/shardscaler/internal/api/kinds"
	"github.com/shardscaler/shardscaler/internal/api/packed"
)

// orchestrationResponse documents the answer that getOrchestration writes by itself.
func orchestrationResponse(api huma.API) map[string]*huma.Response {
	schema := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Orchestration](), true, "Orchestration")
	out := problems(api)
	out["200"] = &huma.Response{Description: "OK", Content: map[string]*huma.MediaType{"application/json": {Schema: schema}}}
	out["304"] = &huma.Response{Description: "Not modified since the answer whose ETag If-None-Match names"}
	return out
}

// problems documents the errors of a write: of a read too, but for the status 504.
func problems(api huma.API) map[string]*huma.Response {
	return kinds.Problems(api, map[int]reflect.Type{http.StatusGatewayTimeout: reflect.TypeFor[kinds.UnknownOutcome]()})
}

func (h *handlers) getOrchestration(_ context.Context, in *KindPath) (*huma.StreamResponse, error) {
	if err := h.room(); err != nil {
		return nil, err
	}
	return h.answer(in.Kind)
}

// room is 429 while the readers of older states hold as much memory as they may.
func (h *handlers) room() error {
	if !h.encodings.full() {
		return nil
	}
	busy := huma.Error429TooManyRequests("too many older answers are still being read; try again in a second")
	return huma.ErrorWithHeaders(busy, http.Header{"Retry-After": {"1"}})
}

// answer is a document whose instances all answers share.
func (h *handlers) answer(kind string) (*huma.StreamResponse, error) {
	v, err := h.view(kind)
	if err != nil {
		return nil, err
	}
	if v.State == nil {
		return nil, huma.Error503ServiceUnavailable("ZooKeeper has not been read yet")
	}
	texts, release := h.encodings.take(kind, v.State)
	o := orchestration(v)
	doc, err := join(o, texts)
	if err != nil {
		release()
		return nil, err
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		defer release()
		h.send(ctx, doc, tagOf(o, texts))
	}}, nil
}

// noInstances is how an Orchestration without them is encoded.
var noInstances = []byte(`"instances":null`)

func join(o Orchestration, texts []*encoded) (document, error) {
	var b bytes.Buffer
	to := json.NewEncoder(&b)
	to.SetEscapeHTML(false)
	if err := to.Encode(o); err != nil {
		return nil, fmt.Errorf("encode orchestration: %w", err)
	}
	before, after, _ := bytes.Cut(b.Bytes(), noInstances)
	doc := document{packed.Shared(append(before[:len(before):len(before)], `"instances":{`...))}
	for i, text := range texts {
		if i > 0 {
			doc = append(doc, comma)
		}
		doc = append(doc, text.Part)
	}
	return append(doc, packed.Shared(append([]byte("}"), after...))), nil
}

// tagOf is the weak ETag of an orchestration, which the times of looks do not change.
func tagOf(o Orchestration, texts []*encoded) string {
	o.ReadAt = time.Time{}
	if o.Decision != nil {
		decided := *o.Decision
		decided.At = time.Time{}
		o.Decision = &decided
	}
	hashes := make([][]byte, 0, len(texts))
	for _, text := range texts {
		hashes = append(hashes, text.hash[:])
	}
	tag, _ := etag.Weak(o, hashes...) // join has encoded it
	return tag
}

// send writes a document, compressed if the caller takes that, or 304.
func (h *handlers) send(ctx huma.Context, doc document, tag string) {
	r, w := humago.Unwrap(ctx)
	header := w.Header()
	header.Set("ETag", tag)
	header.Set("Vary", "Accept-Encoding")
	if r.Method == http.MethodGet && etag.Names(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	header.Set("Content-Type", "application/json")
	text := doc.plain
	if packed.Gzip(r.Header.Get("Accept-Encoding")) {
		header.Set("Content-Encoding", "gzip")
		text = doc.gzip
	} else {
		length := 0
		for _, p := range doc {
			length += len(p.Plain)
		}
		header.Set("Content-Length", strconv.Itoa(length))
	}
	if err := h.write(w, text); err != nil {
		h.log.Debug("answer not written", "path", r.URL.Path, "error", err)
	}
}

// sendChunk is what a reader must take within h.slowReader. The server's own limit is one on the
// whole of an answer, which a large one cannot keep with a slow reader, and a small one need not.
const sendChunk = 256 << 10

// write sends a text, and gives up when the reader makes no progress.
func (h *handlers) write(w http.ResponseWriter, text iter.Seq[[]byte]) error {
	deadline := http.NewResponseController(w)
	for piece := range text {
		for len(piece) > 0 {
			if err := deadline.SetWriteDeadline(time.Now().Add(h.slowReader)); err != nil {
				return fmt.Errorf("bound the time of an answer: %w", err)
			}
			n, err := w.Write(piece[:min(len(piece), sendChunk)])
			if err != nil {
				return err
			}
			piece = piece[n:]
		}
	}
	return nil
}
