package product

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A write of which it is not known whether it was done counts, unless it is the last one and the
// size shows that it was not.
func TestWritesThatWereNotDone(t *testing.T) {
	done := func(n int) ScaleWrite { return ScaleWrite{Replicas: n, Accepted: true} }
	unknown := func(n int) ScaleWrite { return ScaleWrite{Replicas: n, Unknown: true} }
	for name, c := range map[string]struct {
		writes []ScaleWrite
		size   int
		left   int
	}{
		"none":                             {nil, 3, 0},
		"the size is another one":          {[]ScaleWrite{done(3), unknown(2)}, 3, 1},
		"it is the size":                   {[]ScaleWrite{done(3), unknown(2)}, 2, 2},
		"another write came after it":      {[]ScaleWrite{done(3), unknown(2), done(3)}, 3, 3},
		"two, and neither":                 {[]ScaleWrite{done(3), unknown(2), unknown(1)}, 3, 1},
		"two, and the first may have been": {[]ScaleWrite{done(3), unknown(2), unknown(3)}, 3, 3},
		"what was accepted counts":         {[]ScaleWrite{done(3)}, 4, 1},
	} {
		require.Len(t, withoutUndone(c.writes, c.size), c.left, name)
	}
}
