package exact

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// MaxOrdinal bounds ordinals: the size of a StatefulSet is an int32.
const MaxOrdinal = math.MaxInt32

// Ordinal reads an ordinal, from 0 to MaxOrdinal, as in the name of a pod: digits without a sign, a
// leading zero or a space. strconv.Atoi reads "+1", "01" and "-0" as well, which name no instance.
func Ordinal(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > MaxOrdinal || strconv.Itoa(n) != text {
		return 0, fmt.Errorf("ordinal %.40q: want a whole number from 0 to %d, without sign, leading zeros and spaces", text, MaxOrdinal)
	}
	return n, nil
}

// PodOrdinal is the ordinal of `<statefulSet>-<n>`; false: no pod of that StatefulSet.
func PodOrdinal(statefulSet, pod string) (int, bool) {
	tail, ours := strings.CutPrefix(pod, statefulSet+"-")
	n, err := Ordinal(tail)
	return n, ours && err == nil
}
