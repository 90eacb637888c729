package worldfile

import (
	"reflect"
	"testing"

	"github.com/shardscaler/shardscaler/internal/exact"
)

// FuzzPlainLine: the fast reader agrees with encoding/json on every line that it does not leave to
// it.
func FuzzPlainLine(f *testing.F) {
	for _, line := range []string{
		`{"id":"a","instance":3,"weight":1.5}`, `{ "weight": 0.25 , "id" : "a" }`, `{"id":"a","instance":03}`, `{"id":"a","weight":1.}`,
		`{"id":"a","weight":.5}`, `{"id":"a","weight":00.5}`, `{"id":"a","instance":1e3}`, `{"id":"\u0041"}`, `{"id":"a",}`, `{}`, `{"id":"a"}x`,
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		fast, ok := plainLine(line)
		if !ok {
			return
		}
		var want Resource
		if err := exact.KnownJSON(line, &want); err != nil {
			t.Fatalf("%q: read as %+v, refused by encoding/json: %v", line, fast, err)
		}
		if !reflect.DeepEqual(fast, want) {
			t.Fatalf("%q: %+v, encoding/json: %+v", line, fast, want)
		}
	})
}
