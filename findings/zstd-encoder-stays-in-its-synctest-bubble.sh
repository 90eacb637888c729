#!/usr/bin/env bash
# github.com/klauspost/compress v1.20.3 (zstd) and testing/synctest of Go 1.26: an Encoder that a package keeps for all its calls of
# EncodeAll ends the second test that runs in a bubble.
#
# EncodeAll is documented for concurrent use, and shows no channel. It keeps its encoders in one that the first call makes: a channel made
# in a bubble may only be used in it. What the runtime raises is a fatal error, no panic, so that no test can recover from it, and all tests
# of the package end. One call before the first bubble is enough for the Encoder to work in all of them; NewWriter is not such a call.
#
#	made before the bubbles:                 fatal error: receive on synctest channel from outside bubble
#	made, and used once, before the bubbles: ok
#
# Needs Go and a module proxy. Exits 1 if the behaviour is another one.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.26

require github.com/klauspost/compress v1.20.3
MOD
cat >bubble_test.go <<'GO'
package finding

import (
	"testing"
	"testing/synctest"

	"github.com/klauspost/compress/zstd"
)

func encodeInTwoBubbles(t *testing.T, used bool) {
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	if used {
		encoder.EncodeAll([]byte("text"), nil)
	}
	for range 2 {
		synctest.Test(t, func(*testing.T) { encoder.EncodeAll([]byte("text"), nil) })
	}
}

func TestMade(t *testing.T) { encodeInTwoBubbles(t, false) }

func TestUsed(t *testing.T) { encodeInTwoBubbles(t, true) }
GO
export GOFLAGS=-mod=mod
go test -c -o bubbles . 2>log || { cat log; exit 1; }
for name in Made Used; do
	{ ./bubbles -test.run "^Test$name\$" 2>&1 || true; } | sed -n "s/^\(fatal error: .*\)/$name: \1/p; s/^PASS/$name: ok/p"
done | tee out
diff - out <<'WANT'
Made: fatal error: receive on synctest channel from outside bubble
Used: ok
WANT
