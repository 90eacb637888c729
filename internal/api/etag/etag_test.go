package etag

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestATagTellsDocumentsApart(t *testing.T) {
	a, err := Weak(map[string]int{"a": 1})
	require.NoError(t, err)
	again, err := Weak(map[string]int{"a": 1})
	require.NoError(t, err)
	require.Equal(t, a, again)
	require.Regexp(t, `^W/"[0-9a-f]{32}"$`, a)
	for _, other := range []func() (string, error){
		func() (string, error) { return Weak(map[string]int{"a": 2}) },
		func() (string, error) { return Weak(map[string]int{"a": 1}, []byte("list")) },
	} {
		b, err := other()
		require.NoError(t, err)
		require.NotEqual(t, a, b)
	}
	_, err = Weak(math.NaN())
	require.ErrorContains(t, err, "make etag")
}

func TestNames(t *testing.T) {
	for header, want := range map[string]bool{
		`W/"a"`: true, `"a"`: true, `"b", W/"a"`: true, "*": true, "": false, `"b"`: false, `W/"ab"`: false, "a": false,
	} {
		require.Equal(t, want, Names(header, `W/"a"`), header)
	}
}
