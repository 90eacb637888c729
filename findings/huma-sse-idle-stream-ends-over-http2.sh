#!/usr/bin/env bash
# huma v2.37.2 (github.com/danielgtaylor/huma/v2/sse) with net/http of Go 1.26: a stream of events that is silent for longer than
# sse.WriteTimeout (5 s) goes on over HTTP/1.1, and is reset over HTTP/2.
#
# Each send sets the write deadline of the response to now + WriteTimeout, and lifts it nowhere. Over HTTP/1.1 the deadline counts only for
# writes, and the next send moves it. Over HTTP/2 net/http starts a timer instead, which resets the stream when it fires, although no write
# waits. Seen with a handler that sends one event, waits 7 s, and sends another one:
#
#	HTTP/1.1: 2 events, error: <nil>, after 7 s
#	HTTP/2.0: 1 events, error: stream error: stream ID 1; INTERNAL_ERROR; received from peer, after 5 s
#
# So a test over plain HTTP does not show the fault that clients meet behind TLS, where both sides choose HTTP/2. A handler must send
# something more often than WriteTimeout.
#
# Needs Go and a module proxy. Exits 1 if the behaviour is another one.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.26

require github.com/danielgtaylor/huma/v2 v2.37.2
MOD
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/danielgtaylor/huma/v2/sse"
)

type note struct {
	N int `json:"n"`
}

func protocols(set ...func(*http.Protocols, bool)) *http.Protocols {
	var p http.Protocols
	for _, f := range set {
		f(&p, true)
	}
	return &p
}

func main() {
	one, two := (*http.Protocols).SetHTTP1, (*http.Protocols).SetUnencryptedHTTP2
	mux := http.NewServeMux()
	api := humago.New(mux, huma.DefaultConfig("notes", "1"))
	operation := huma.Operation{OperationID: "notes", Method: http.MethodGet, Path: "/notes"}
	sse.Register(api, operation, map[string]any{"note": note{}}, func(ctx context.Context, _ *struct{}, send sse.Sender) {
		send.Data(note{1})
		select {
		case <-ctx.Done():
		case <-time.After(sse.WriteTimeout + 2*time.Second):
			send.Data(note{2})
		}
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go (&http.Server{Handler: mux, Protocols: protocols(one, two)}).Serve(listener)
	for _, p := range []*http.Protocols{protocols(one), protocols(two)} {
		client := http.Client{Transport: &http.Transport{Protocols: p}}
		began := time.Now()
		resp, err := client.Get("http://" + listener.Addr().String() + "/notes")
		if err != nil {
			log.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		fmt.Printf("%s: %d events, error: %v, after %d s\n",
			resp.Proto, strings.Count(string(body), "event: note"), err, time.Since(began)/time.Second)
	}
}
GO
GOFLAGS=-mod=mod go run . 2>log | tee out || { cat log; exit 1; }
diff - out <<'WANT'
HTTP/1.1: 2 events, error: <nil>, after 7 s
HTTP/2.0: 1 events, error: stream error: stream ID 1; INTERNAL_ERROR; received from peer, after 5 s
WANT
