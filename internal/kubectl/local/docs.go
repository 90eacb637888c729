package local

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/shardscaler/shardscaler/docs"
	"github.com/shardscaler/shardscaler/internal/api/docspage"
	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/kubectl/client"
)

// registerDocs serves the page on which calls can be read and tried. What it sends goes as the
// page's calls do, so that its document has these calls alone, and asks for no token.
func registerDocs(mux *http.ServeMux) error {
	text, err := passedOn(docs.OpenAPI)
	if err != nil {
		return fmt.Errorf("read the document of the API: %w", err)
	}
	docspage.Register(mux)
	mux.HandleFunc("GET "+client.Prefix+"openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-cache")
		_, _ = w.Write(text) // a caller that hung up needs no answer
	})
	return nil
}

// passedOn is the document with the calls that are passed on, without tokens.
func passedOn(document []byte) ([]byte, error) {
	var all map[string]any
	if err := exact.JSON(document, &all); err != nil {
		return nil, err
	}
	paths, _ := all["paths"].(map[string]any)
	for path, methods := range paths {
		if path == client.Prefix+"session" {
			paths[path] = map[string]any{"get": methods.(map[string]any)["get"]}
		} else if !strings.HasPrefix(path, client.Prefix+"kinds") && !strings.HasPrefix(path, client.Prefix+"nodes") {
			delete(paths, path)
		}
	}
	if components, ok := all["components"].(map[string]any); ok {
		delete(components, "securitySchemes")
	}
	return json.Marshal(all)
}
