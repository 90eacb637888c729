#!/usr/bin/env bash
# Go 1.26.8: where net/url and net/http meet, a URL that prints well is sent as a request that servers refuse.
#
# URL.JoinPath on a URL without a path gives a path without a slash at its beginning. URL.String puts one between host and path, so a log
# shows nothing. net/http sends the path as it is ("GET v1/api HTTP/1.1"), and its own server answers 400. Such a URL reaches it through
# httputil.ReverseProxy (Rewrite or Director) and http.Request{URL: …}; http.Get parses the text again, and does not show it.
#
#	base "": prints /v1/api, path "v1/api": http.Get 200, Request{URL} 400, ReverseProxy 400
#	base "/": prints /v1/api, path "/v1/api": http.Get 200, Request{URL} 200, ReverseProxy 200
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
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
)

func status(resp *http.Response, err error) int {
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func main() {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	for _, path := range []string{"", "/"} {
		base, err := url.Parse(server.URL + path)
		if err != nil {
			log.Fatal(err)
		}
		joined := base.JoinPath("v1", "api")
		proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL = joined }}
		recorder := httptest.NewRecorder()
		proxy.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/", nil))
		fmt.Printf("base %q: prints %s, path %q: http.Get %d, Request{URL} %d, ReverseProxy %d\n", path,
			strings.TrimPrefix(joined.String(), server.URL), joined.Path, status(http.Get(joined.String())),
			status(http.DefaultClient.Do(&http.Request{Method: http.MethodGet, URL: joined})), recorder.Code)
	}
}
GO
GOTOOLCHAIN=go1.26.8 go run main.go | tee out
diff - out <<'WANT'
base "": prints /v1/api, path "v1/api": http.Get 200, Request{URL} 400, ReverseProxy 400
base "/": prints /v1/api, path "/v1/api": http.Get 200, Request{URL} 200, ReverseProxy 200
WANT
