// Package spans writes ordinals as text for people.
//
// In: ascending ordinals. Out: runs of them, as "3-5, 9". It is pure.
package spans

import (
	"fmt"
	"strings"
)

// maxBytes is about the most bytes of a text: an event and a stored reason have bounds.
const maxBytes = 1000

// Text writes ascending ordinals as runs from the first to the last, with the word between these;
// beyond about 1,000 bytes it counts what is left: "1-3, 7 and 12 more".
func Text(ns []int, to string) string {
	var b strings.Builder
	for i := 0; i < len(ns); {
		if b.Len() > maxBytes {
			return fmt.Sprintf("%s and %d more", b.String(), len(ns)-i)
		}
		k := i
		for k+1 < len(ns) && ns[k+1] == ns[k]+1 {
			k++
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprint(&b, ns[i])
		if k > i {
			fmt.Fprint(&b, to, ns[k])
		}
		i = k + 1
	}
	return b.String()
}
