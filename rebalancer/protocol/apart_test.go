package protocol

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A revoke into several pieces raises `_reload` to the last of them, so that who has applied that has
// released all; and a grant of one leaves the others as they are written.
func TestRevokeApart(t *testing.T) {
	f, s := world(t)
	before := s.NextTimes(0)
	m, err := RevokeApart(s, 0, NewIDs([]string{"a0", "a1", "a2"}), []int{2, 2, ToPool}, []int{2, 3}, "uid")
	f.must(t, s, m, err)
	first, second := FlightName(0, before), FlightName(0, before+1)
	require.Equal(t, before+1, s.Instances[0].Times)
	require.Equal(t, []string{"a0", "a1"}, s.Flight[first].IDs.Strings())
	require.Equal(t, []int{ToPool}, s.Flight[second].To)
	require.Equal(t, before+2, s.NextTimes(0))
	for _, name := range []string{first, second} {
		released, _ := Released(s.Flight[name], &Status{Times: before + 1, Pod: "uid"}, Fate{}, Absence{})
		require.True(t, released)
		released, _ = Released(s.Flight[name], &Status{Times: before - 1, Pod: "uid"}, Fate{}, Absence{})
		require.False(t, released)
	}
	was := s.Flight[second].Version
	m, err = Grant(s, Give{To: 2, From: []Take{{Name: first}}})
	f.must(t, s, m, err)
	require.Nil(t, s.Flight[first])
	require.Equal(t, was, s.Flight[second].Version, "it is not written anew")

	_, err = RevokeApart(s, 0, NewIDs([]string{"a3", "a4"}), nil, []int{1}, "")
	require.ErrorContains(t, err, "2 ids with 1 destinations")
}
