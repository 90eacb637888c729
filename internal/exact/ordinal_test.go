package exact

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// notOrdinals are texts that strconv.Atoi, or a person, may take for an ordinal.
var notOrdinals = []string{
	"", "+1", "-1", "-0", "+0", "01", "00", " 1", "1 ", "1\n", "1_0", "1.0", "1e0", "0x1", "x", "١",
	"2147483648", "99999999999999999999",
}

func TestAnOrdinalIsReadAsKubernetesWritesIt(t *testing.T) {
	for text, want := range map[string]int{"0": 0, "7": 7, "10": 10, "2147483647": MaxOrdinal} {
		n, err := Ordinal(text)
		require.NoError(t, err, text)
		require.Equal(t, want, n)
		n, ok := PodOrdinal("iota-dac", "iota-dac-"+text)
		require.True(t, ok, text)
		require.Equal(t, want, n)
	}
	for _, text := range notOrdinals {
		_, err := Ordinal(text)
		require.ErrorContains(t, err, "want a whole number from 0 to 2147483647", text)
		_, ok := PodOrdinal("iota-dac", "iota-dac-"+text)
		require.False(t, ok, text)
	}
	for _, pod := range []string{"iota-dac", "other-1", "iota-dac-1-2", "1"} {
		_, ok := PodOrdinal("iota-dac", pod)
		require.False(t, ok, pod)
	}
}
