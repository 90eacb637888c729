#!/usr/bin/env bash
# net/http of Go 1.26.8: the wildcard {id} of a ServeMux pattern matches each segment of a path that is not empty, and gives it unescaped,
# "a%2Fb" as "a/b". One segment is left out: that of exactly "%2F". The tree of patterns unescapes a segment before it compares it, and "/"
# is the word by which it knows the end of a path with a slash. (The documentation: "Normally a wildcard matches only a single path segment",
# and "both pattern paths and incoming request paths are unescaped segment by segment".)
#
#	/one/a%2Fb     200 "a/b"
#	/one/%2F%2F    200 "//"
#	/one/%2F       404
#	/all/%2F       200 "/"         (pattern /all/{id...})
#
# So an id of "/" (the root of a tree of ZooKeeper, a topic, a file system) cannot be a segment of a path, however a client escapes it.
#
# Needs Go. Exits 1 if the behaviour is another one.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
)

func main() {
	mux := http.NewServeMux()
	give := func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%q", r.PathValue("id")) }
	mux.HandleFunc("/one/{id}", give)
	mux.HandleFunc("/all/{id...}", give)
	server := httptest.NewServer(mux)
	defer server.Close()
	for _, path := range []string{"/one/" + url.PathEscape("a/b"), "/one/" + url.PathEscape("//"), "/one/" + url.PathEscape("/"),
		"/all/" + url.PathEscape("/")} {
		resp, err := http.Get(server.URL + path)
		if err != nil {
			log.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			log.Fatal(err)
		}
		if resp.StatusCode != http.StatusOK {
			body = []byte("-")
		}
		fmt.Println(path, resp.StatusCode, string(body))
	}
}
GO
GOTOOLCHAIN=go1.26.8 go run main.go | tee out
diff - out <<'WANT'
/one/a%2Fb 200 "a/b"
/one/%2F%2F 200 "//"
/one/%2F 404 -
/all/%2F 200 "/"
WANT
