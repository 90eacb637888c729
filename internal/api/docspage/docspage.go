// Package docspage is the page that shows the OpenAPI document and lets people try its calls.
//
// In: nothing but its own files. Out: a page that loads the document from the server it came from,
// and nothing from elsewhere, under a policy without unsafe sources.
package docspage

import (
	"embed"
	"net/http"
)

//go:embed page.html page.js page.css icon.svg
var files embed.FS

// policy lets the page use its own script, style and server, and be framed by none.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Path is where the page is.
const Path = "/v1/api/docs"

// Register serves the page and its files.
func Register(mux *http.ServeMux) {
	for path, file := range map[string]struct{ name, kind string }{
		Path: {"page.html", "text/html"}, Path + "/page.js": {"page.js", "text/javascript"}, Path + "/page.css": {"page.css", "text/css"},
		Path + "/icon.svg": {"icon.svg", "image/svg+xml"},
	} {
		text, _ := files.ReadFile(file.name) // embedded above
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			h := w.Header()
			h.Set("Content-Type", file.kind+"; charset=utf-8")
			h.Set("Content-Security-Policy", policy)
			h.Set("X-Content-Type-Options", "nosniff")
			h.Set("Cache-Control", "no-cache")
			_, _ = w.Write(text)
		})
	}
}
