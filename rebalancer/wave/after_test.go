package wave

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What a wave leaves out is whole sources, and none of what it holds.
func TestWhatAWaveLeavesOut(t *testing.T) {
	moves := Moves{}
	for n := range 3 {
		for range maxMoves / 2 {
			moves.Add(n, "id", n/2)
		}
	}
	moves.Add(3, "last", 1)
	var w Wave
	_, err := w.Fill(moves, nil, time.Now())
	require.NoError(t, err)
	require.Equal(t, 2, len(w.Moves))
	require.Empty(t, w.Shared, "the next source gives to another target")
	rest := moves.After(&w)
	require.Equal(t, []int{2, 3}, rest.Sources())
	require.Equal(t, w.Beyond, rest.Count())
	require.Equal(t, []int{0, 1, 2, 3}, moves.Sources(), "the moves are as they were")
}
