#!/usr/bin/env bash
# k8s.io/client-go v0.37.1 (rest): for one and the same answer of an API server, Request.DoRaw gives another error than Request.Do and
# Request.Stream, also another reason.
#
# The server answers with a Status in JSON, made and written as Kubernetes does. Do and Stream decode it. DoRaw makes a Status of its own from
# the number and the method, with the word "unknown" for the message. For 409 it guesses the reason by the method: AlreadyExists for a POST,
# Conflict for others. So what tells "it changed, read it again" from "it is there" is turned round:
#
#	POST, Conflict
#	  Do:     Conflict: Operation cannot be fulfilled on shards "one": changed
#	  Stream: Conflict: Operation cannot be fulfilled on shards "one": changed
#	  DoRaw:  AlreadyExists: the server reported a conflict
#	PUT, AlreadyExists
#	  Do:     AlreadyExists: shards "one" already exists
#	  Stream: AlreadyExists: shards "one" already exists
#	  DoRaw:  Conflict: the server reported a conflict
#	GET, Forbidden
#	  Do:     Forbidden: shards "one" is forbidden: quota
#	  Stream: Forbidden: shards "one" is forbidden: quota
#	  DoRaw:  Forbidden: unknown
#
# A client of calls that are no objects must decode the body that DoRaw returns next to its error.
#
# Needs Go and a module proxy. Exits 1 if the behaviour is another one.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.26

require (
	k8s.io/apimachinery v0.37.1
	k8s.io/client-go v0.37.1
)
MOD
cat >main.go <<'GO'
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

func client(host string) *rest.RESTClient {
	client, err := rest.UnversionedRESTClientFor(&rest.Config{Host: host, ContentConfig: rest.ContentConfig{
		NegotiatedSerializer: scheme.Codecs.WithoutConversion(), GroupVersion: &schema.GroupVersion{Version: "v1"}}})
	if err != nil {
		log.Fatal(err)
	}
	return client
}

func compare(verb string, answer *apierrors.StatusError) {
	status := answer.Status()
	status.APIVersion, status.Kind = "v1", "Status"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(int(status.Code))
		json.NewEncoder(w).Encode(status)
	}))
	defer server.Close()
	ctx := context.Background()
	request := func() *rest.Request { return client(server.URL).Verb(verb).AbsPath("/shards/one") }
	fmt.Printf("%s, %s\n", verb, status.Reason)
	_, streamed := request().Stream(ctx)
	_, raw := request().DoRaw(ctx)
	for _, got := range []struct {
		call string
		err  error
	}{{"Do:", request().Do(ctx).Error()}, {"Stream:", streamed}, {"DoRaw:", raw}} {
		fmt.Printf("  %-7s %s: %v\n", got.call, apierrors.ReasonForError(got.err), got.err)
	}
}

func main() {
	shards := schema.GroupResource{Resource: "shards"}
	compare("POST", apierrors.NewConflict(shards, "one", errors.New("changed")))
	compare("PUT", apierrors.NewAlreadyExists(shards, "one"))
	compare("GET", apierrors.NewForbidden(shards, "one", errors.New("quota")))
}
GO
GOFLAGS=-mod=mod go run . 2>log | tee out || { cat log; exit 1; }
diff - out <<'WANT'
POST, Conflict
  Do:     Conflict: Operation cannot be fulfilled on shards "one": changed
  Stream: Conflict: Operation cannot be fulfilled on shards "one": changed
  DoRaw:  AlreadyExists: the server reported a conflict
PUT, AlreadyExists
  Do:     AlreadyExists: shards "one" already exists
  Stream: AlreadyExists: shards "one" already exists
  DoRaw:  Conflict: the server reported a conflict
GET, Forbidden
  Do:     Forbidden: shards "one" is forbidden: quota
  Stream: Forbidden: shards "one" is forbidden: quota
  DoRaw:  Forbidden: unknown
WANT
