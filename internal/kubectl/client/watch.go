package client

import (
	"context"
	"errors"
	"net/http"
	"strings"

	stream "github.com/shardscaler/shardscaler/internal/api/stream/client"
)

// Watch calls changed after each change of the kinds, or of the one that is named, and when the
// connection is lost, which is then made again. It returns nil when ctx ends, and a *Refusal when
// the server will not have the caller.
func (c *Client) Watch(ctx context.Context, kind string, changed func(*stream.State)) error {
	what := get(kinds)
	if kind != "" {
		what.query = values("fieldSelector", "metadata.name="+kind)
	}
	err := stream.Watch(ctx, stream.Config{URL: c.at(what).String(), HTTP: c.http}, changed)
	var refused *stream.Refused
	if !errors.As(err, &refused) {
		return err
	}
	r := &Refusal{Status: refused.Status, Detail: refused.Detail, aggregated: c.Aggregated}
	// Of the API server's own 404s both are known; another one is the server's word on the kind.
	r.Ours = r.Status == http.StatusNotFound && !strings.Contains(r.Detail, "404 page not found") && !strings.Contains(r.Detail, "could not find the requested resource")
	return r
}
