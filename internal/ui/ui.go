// Package ui has the page that operators see, as it is built from src: a plain `go build` has it.
//
// In: requests for the page's files. Out: the files, with headers that let the page reach nothing
// but the server that it comes from. Invariant: what dist holds is what `npm run build` makes of
// the sources beside it, byte for byte; a test compares them.
package ui

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/shardscaler/shardscaler/internal/api/packed"
)

//go:embed all:dist
var dist embed.FS

// policy lets the page load its own files and call its own server, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; worker-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Mode is what kind of server the page talks to.
type Mode string

// The modes.
const (
	Live     Mode = "live"     // a running server: the page follows its stream
	Snapshot Mode = "snapshot" // a saved file: nothing changes, and nothing can be changed
)

// types are those of the page's files; what the system knows of them differs between machines.
var types = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
}

// file is one of the page's, as it is sent.
type file struct {
	plain, packed []byte // packed is by gzip, nil where that is not smaller
	kind, caching string
}

// Handler serves the page's files below the root of its requests' paths; strip a prefix before it.
// The page calls the API at ../v1/api/ from where it is.
func Handler(mode Mode) (http.Handler, error) {
	files, err := read(mode)
	if err != nil {
		return nil, fmt.Errorf("read the page: %w", err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, ok := files[strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")]
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "the page is only read", http.StatusMethodNotAllowed)
		case !ok:
			http.NotFound(w, r)
		default:
			f.send(w, r)
		}
	}), nil
}

func read(mode Mode) (map[string]file, error) {
	files := map[string]file{}
	err := fs.WalkDir(dist, "dist", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := dist.ReadFile(name)
		if err != nil {
			return err
		}
		name = strings.TrimPrefix(name, "dist/")
		f := file{plain: text, kind: types[path.Ext(name)], caching: "public, max-age=31536000, immutable"}
		if !strings.HasPrefix(name, "assets/") { // only the names of assets change with their content
			f.caching = "no-cache"
		}
		if name == "index.html" {
			f.plain = bytes.Replace(text, []byte(`data-mode="live"`), []byte(`data-mode="`+mode+`"`), 1)
			name = ""
		}
		f.packed, err = pack(f.plain)
		files[name] = f
		return err
	})
	return files, err
}

func pack(plain []byte) ([]byte, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(plain); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil || b.Len() >= len(plain) {
		return nil, err
	}
	return b.Bytes(), nil
}

func (f *file) send(w http.ResponseWriter, r *http.Request) {
	h, body := w.Header(), f.plain
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", f.caching)
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Vary", "Accept-Encoding")
	if f.packed != nil && packed.Gzip(r.Header.Get("Accept-Encoding")) {
		h.Set("Content-Encoding", "gzip")
		body = f.packed
	}
	h.Set("Content-Length", fmt.Sprint(len(body)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // a reader that has gone needs no answer
	}
}
