#!/usr/bin/env bash
# huma v2.37.2: the two ways to describe the errors of an operation, Operation.Responses (by hand) and Operation.Errors (by status), undo
# each other in the OpenAPI document.
#
# A status that is in both loses what was written by hand; for an operation with a parameter in its path 422 and 500 are added to Errors, so
# that they are lost too when only another status is named. And without Errors the "default" error response, which the documentation of
# Errors promises ("If not specified, then a default error response is added"), is left out as soon as Responses holds one entry, also one
# that is no error. Nothing is reported. Seen as "status: description":
#
#	nothing given:                  200: OK; default: Error
#	202 by hand:                    200: OK; 202: Accepted, see Location
#	404 and 422 by hand:            200: OK; 404: No such shard; 422: The name is not valid
#	the same, and Errors 404:       200: OK; 404: Not Found; 422: Unprocessable Entity; 500: Internal Server Error
#	the same, and Errors 409:       200: OK; 404: No such shard; 409: Conflict; 422: Unprocessable Entity; 500: Internal Server Error
#
# Needs Go and a module proxy. Exits 1 if the behaviour is another one.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.25

require github.com/danielgtaylor/huma/v2 v2.37.2
MOD
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

type input struct {
	Name string `path:"name"`
}

type output struct{ Body string }

func described(byHand map[string]string, errors ...int) string {
	responses := map[string]*huma.Response{}
	for status, description := range byHand {
		responses[status] = &huma.Response{Description: description}
	}
	api := humago.New(http.NewServeMux(), huma.DefaultConfig("shards", "1"))
	huma.Register(api, huma.Operation{OperationID: "shard", Method: http.MethodGet, Path: "/shards/{name}", Responses: responses, Errors: errors},
		func(context.Context, *input) (*output, error) { return &output{}, nil })
	got := api.OpenAPI().Paths["/shards/{name}"].Get.Responses
	var texts []string
	for _, status := range slices.Sorted(maps.Keys(got)) {
		texts = append(texts, status+": "+got[status].Description)
	}
	return strings.Join(texts, "; ")
}

func main() {
	fmt.Println(described(nil))
	fmt.Println(described(map[string]string{"202": "Accepted, see Location"}))
	byHand := map[string]string{"404": "No such shard", "422": "The name is not valid"}
	fmt.Println(described(byHand))
	fmt.Println(described(byHand, 404))
	fmt.Println(described(byHand, 409))
}
GO
GOFLAGS=-mod=mod go run . 2>log | tee out || { cat log; exit 1; }
diff - out <<'WANT'
200: OK; default: Error
200: OK; 202: Accepted, see Location
200: OK; 404: No such shard; 422: The name is not valid
200: OK; 404: Not Found; 422: Unprocessable Entity; 500: Internal Server Error
200: OK; 404: No such shard; 409: Conflict; 422: Unprocessable Entity; 500: Internal Server Error
WANT
