package api

import (
	"compress/gzip"
	"fmt"
	"net/http"

	"github.com/klauspost/compress/gzhttp"
)

// Packed returns what has a handler send its documents as gzip to callers that take it. It is for
// the outermost handler of a door. What is short, has a strong tag, or is packed already as streams
// are, stays as it is; a weak tag is that of both forms.
func Packed() (func(http.Handler) http.HandlerFunc, error) {
	wrap, err := gzhttp.NewWrapper(
		gzhttp.CompressionLevel(gzip.BestSpeed), gzhttp.EnableZstd(false),
		gzhttp.ContentTypes([]string{"application/json", "application/problem+json", "application/openapi+json"}),
	)
	if err != nil {
		return nil, fmt.Errorf("prepare gzip: %w", err)
	}
	return wrap, nil
}
