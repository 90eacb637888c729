package inventory

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestSpotsAreThoseOfAMap does to spots and to a map the same, with hashes that crowd at some homes.
func TestSpotsAreThoseOfAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		got, want := newSpots(rapid.IntRange(0, 20).Draw(t, "room")), map[uint64]spot{}
		hash := rapid.Custom(func(t *rapid.T) uint64 {
			near := rapid.SampledFrom([]uint64{0, 1 << 40, 1 << 63, math.MaxUint64 - 15}).Draw(t, "near")
			return near + rapid.Uint64Range(0, 15).Draw(t, "hash")
		}).Filter(func(hash uint64) bool { return hash != emptyHash })
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				h, s := hash.Draw(t, "hash"), spot{place: rapid.Int32().Draw(t, "place")}
				got.put(h, s)
				want[h] = s
			},
			"drop": func(t *rapid.T) {
				h := hash.Draw(t, "hash")
				got.drop(h)
				delete(want, h)
			},
			"": func(t *rapid.T) {
				require.Equal(t, len(want), got.n)
				h := hash.Draw(t, "look at")
				s, known := got.get(h)
				was, there := want[h]
				require.Equal(t, there, known)
				require.Equal(t, was, s)
				wellKept(t, got)
			},
		})
	})
}

// wellKept holds the cells against what spots says of them.
func wellKept(t require.TestingT, s *spots) {
	last, gap := uint64(0), -1
	for i, c := range s.cells {
		if c.hash == emptyHash {
			gap = i
			continue
		}
		require.Greater(t, c.hash, last)
		require.LessOrEqual(t, s.home(c.hash), i)
		require.Greater(t, s.home(c.hash), gap)
		last = c.hash
	}
}

func TestAHashOfZeroHasASpotToo(t *testing.T) {
	s := newSpots(0)
	_, known := s.get(0)
	require.False(t, known)
	s.put(0, spot{place: 7})
	at, known := s.get(0)
	require.True(t, known)
	require.Equal(t, int32(7), at.place)
	s.drop(0)
	require.Zero(t, s.n)
}

func TestSpotsTakeFewBytes(t *testing.T) {
	const n = 200_000
	random := rand.New(rand.NewPCG(1, 1))
	sized, grown := newSpots(n), newSpots(0)
	for range n {
		h := random.Uint64()
		sized.put(h, spot{})
		grown.put(h, spot{})
	}
	wellKept(t, sized)
	wellKept(t, grown)
	const each = 16
	require.Less(t, len(sized.cells)*each/n, 20)
	require.Less(t, len(grown.cells)*each/n, 25)
}
