package spans

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestText(t *testing.T) {
	for want, ns := range map[string][]int{
		"": nil, "2": {2}, "2-3": {2, 3}, "0, 2-4, 9": {0, 2, 3, 4, 9}, "7, 9": {7, 9},
	} {
		require.Equal(t, want, Text(ns, "-"))
	}
	require.Equal(t, "2 to 4, 9", Text([]int{2, 3, 4, 9}, " to "))
}

func TestALongTextCountsWhatIsLeft(t *testing.T) {
	var odd []int
	for n := 1; n < 2_000; n += 2 {
		odd = append(odd, n)
	}
	text := Text(odd, "-")
	require.Less(t, len(text), 1_050)
	named, left, found := strings.Cut(text, " and ")
	require.True(t, found, text)
	require.Equal(t, fmt.Sprintf("%d more", 1_000-strings.Count(named, ",")-1), left)
}
