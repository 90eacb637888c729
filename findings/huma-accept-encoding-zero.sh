#!/usr/bin/env bash
# huma v2.37.2 (github.com/danielgtaylor/huma/v2/negotiation) selects an encoding that the header refuses with q=0 (RFC 9110, 12.4.2:
# such a value is not acceptable), and its two functions for that disagree.
#
# Seen: with "gzip" as the only allowed value, Accept-Encoding "gzip;q=0" selects gzip, so that a server compresses for a client that says
# that it cannot unpack. With "identity" before it SelectQValue selects nothing, and SelectQValueFast still gzip.
#
#	gzip;q=0 [gzip]          -> "gzip" "gzip"
#	gzip;q=0 [identity gzip] -> "" "gzip"
#	gzip;q=0.5 [identity gzip] -> "gzip" "gzip"
#
# Needs Go. Exits 1 if the behaviour is another one.
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
	"fmt"

	"github.com/danielgtaylor/huma/v2/negotiation"
)

func main() {
	for _, c := range []struct {
		header  string
		allowed []string
	}{
		{"gzip;q=0", []string{"gzip"}},
		{"gzip;q=0", []string{"identity", "gzip"}},
		{"gzip;q=0.5", []string{"identity", "gzip"}},
	} {
		fmt.Printf("%s %v -> %q %q\n", c.header, c.allowed,
			negotiation.SelectQValue(c.header, c.allowed), negotiation.SelectQValueFast(c.header, c.allowed))
	}
}
GO
GOFLAGS=-mod=mod go run . 2>"$dir/log" | tee "$dir/out" || { cat "$dir/log"; exit 1; }
diff - "$dir/out" <<'WANT'
gzip;q=0 [gzip] -> "gzip" "gzip"
gzip;q=0 [identity gzip] -> "" "gzip"
gzip;q=0.5 [identity gzip] -> "gzip" "gzip"
WANT
