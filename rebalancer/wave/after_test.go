package wave

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What a wave leaves out is whole sources, and none of what it holds.
func TestWhatAWaveLeavesOut(t *testing.T) {
	all := Gathering{}
	for n := range 3 {
		for range maxMoves / 2 {
			all.Add(n, "id", n/2)
		}
	}
	all.Add(3, "last", 1)
	moves := all.Moves()
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

// Moves of a source are ordered by target, those of one target as they were, and others come after.
func TestMovesAreOrderedByTarget(t *testing.T) {
	first, more := Gathering{}, Gathering{}
	for i, to := range []int{5, 5, 2, 5, -1, 2} {
		first.Add(7, fmt.Sprint(i), to)
	}
	first.Add(8, "other", 1)
	more.Add(7, "6", 3)
	more.Add(9, "7", 3)
	moves := first.Moves()
	moves.SortByTarget(7)
	moves.Join(more.Moves())
	require.Equal(t, []int{7, 8, 9}, moves.Sources())
	require.Equal(t, []string{"4", "2", "5", "0", "1", "3", "6"}, moves[7].IDs.Strings())
	require.Equal(t, []int{-1, 2, 2, 5, 5, 5, 3}, moves[7].To)
	require.Equal(t, 9, moves.Count())
	require.Equal(t, 4, moves.Keep(7, 3))
	require.Equal(t, []string{"4", "2", "5"}, moves[7].IDs.Strings())
}
