package idlist

import (
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const uuid = "0f3e1a2b-3c4d-4e5f-a0b1-c2d3e4f5a6b7"

// alike are texts of which some are UUIDs, some almost, and one stands for the same bytes as a UUID.
var alike = []string{
	uuid, "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff",
	"61616161-6161-6161-6161-616161616161", strings.Repeat("a", uuidBytes),
	strings.ToUpper(uuid), strings.Replace(uuid, "a", "A", 1), strings.Replace(uuid, "-", "_", 1), strings.Replace(uuid, "0", "g", 1),
	strings.Replace(uuid, "0", "-", 1), uuid + "0", uuid[1:], "thing-1", "日本", `"\`, "é", "\x00",
	strings.ReplaceAll(uuid, "f", "é")[:uuidText],
}

func anyIDs(t *rapid.T, name string) []string {
	onlyUUIDs := rapid.Bool().Draw(t, name+" are UUIDs")
	id := rapid.Custom(func(t *rapid.T) string {
		if onlyUUIDs || rapid.Bool().Draw(t, "UUID") {
			return fmt.Sprintf("%08x-0000-4000-8000-%012x", rapid.Uint32Range(0, 3).Draw(t, "high"), rapid.Uint32Range(0, 3).Draw(t, "low"))
		}
		return rapid.SampledFrom(alike).Draw(t, "id")
	})
	return rapid.SliceOfN(id, 0, 8).Draw(t, name)
}

// TestAListTellsWhatItWasMadeOf compares every call with the same on a slice of strings.
func TestAListTellsWhatItWasMadeOf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids, more := anyIDs(t, "ids"), anyIDs(t, "more")
		l, o := Of(ids), Of(more)
		same(t, ids, l)
		same(t, append(slices.Clip(ids), more...), l.With(more...))

		from := rapid.IntRange(0, len(ids)).Draw(t, "from")
		to := rapid.IntRange(from, len(ids)).Draw(t, "to")
		same(t, ids[from:to], l.Slice(from, to))
		same(t, append(slices.Clone(ids[from:to]), more...), l.Slice(from, to).With(more...))

		keep := rapid.SliceOfN(rapid.Bool(), len(ids), len(ids)).Draw(t, "keep")
		var kept []string
		for i, id := range ids {
			if keep[i] {
				kept = append(kept, id)
			}
		}
		asked := 0
		same(t, kept, l.Filter(func(i int) bool {
			require.Equal(t, asked, i)
			asked++
			return keep[i]
		}))

		set := map[string]struct{}{}
		for _, id := range more {
			set[id] = struct{}{}
		}
		require.Equal(t, slices.Collect(func(yield func(string) bool) {
			for _, id := range ids {
				if _, in := set[id]; in && !yield(id) {
					return
				}
			}
		}), l.Among(set))
		for _, id := range more {
			require.Equal(t, slices.Index(ids, id), l.Index(id))
		}

		a, b := ids, more
		for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
			a, b = a[1:], b[1:]
		}
		for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
			a, b = a[:len(a)-1], b[:len(b)-1]
		}
		rest, other := l.Differ(o)
		same(t, a, rest)
		same(t, b, other)
	})
}

// Without leaves the others in order, whatever the order of what goes, or says what cannot go.
func TestWithout(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ids []string
		for _, id := range anyIDs(t, "ids") {
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
		gone := rapid.Permutation(ids).Draw(t, "gone")
		gone = gone[:rapid.IntRange(0, len(gone)).Draw(t, "number")]
		if rapid.Bool().Draw(t, "the newest first") {
			gone = slices.Clone(ids[len(ids)-len(gone):])
			slices.Reverse(gone)
		}
		rest, missing := Of(ids).Without(Of(gone))
		require.Equal(t, -1, missing)
		same(t, slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return slices.Contains(gone, id) }), rest)

		if more := anyIDs(t, "more"); len(more) > 0 {
			gone = rapid.Permutation(append(slices.Clone(gone), more...)).Draw(t, "what goes with more")
			bad := func(id string) bool {
				first := slices.Index(gone, id)
				return !slices.Contains(ids, id) || slices.Contains(gone[first+1:], id)
			}
			_, missing = Of(ids).Without(Of(gone))
			require.Equal(t, slices.ContainsFunc(gone, bad), missing >= 0)
			require.True(t, missing < 0 || bad(gone[missing]))
		}
	})
}

func same(t *rapid.T, want []string, l List) {
	require.Equal(t, len(want), l.Len())
	require.Equal(t, len(strings.Join(want, "")), l.Bytes())
	require.Equal(t, append([]string{}, want...), l.Strings())
	seed := maphash.MakeSeed()
	for i, id := range l.All() {
		require.Equal(t, want[i], id)
		require.Equal(t, id, l.At(i))
		require.Equal(t, len(id), l.Size(i))
		require.Equal(t, id, string(l.Append(nil, i)))
	}
	for i, id := range l.Lent() {
		require.Equal(t, want[i], id)
	}
	for i, hash := range l.Hashes(seed) {
		require.Equal(t, Hash(seed, want[i]), hash)
	}
}

func TestHashesOfDifferentIDsDiffer(t *testing.T) {
	seed, of := maphash.MakeSeed(), map[uint64]string{}
	for _, id := range alike {
		hash := Hash(seed, id)
		require.Empty(t, of[hash], "%q", id)
		of[hash] = id
	}
}

// Long lists are compared in blocks.
func TestLongListsDiffer(t *testing.T) {
	ids := make([]string, 1000)
	for i := range ids {
		ids[i] = fmt.Sprintf("%08x-0000-4000-8000-000000000000", i)
	}
	whole := Of(ids)
	for _, at := range []int{0, 1, 63, 64, 65, 127, 128, 960, 999} {
		rest, other := whole.Differ(whole.Slice(0, at).With(uuid).With(ids[at:]...))
		require.Zero(t, rest.Len(), at)
		require.Equal(t, []string{uuid}, other.Strings(), at)
		rest, other = whole.Differ(whole.Filter(func(i int) bool { return i != at }))
		require.Equal(t, ids[at:at+1], rest.Strings(), at)
		require.Zero(t, other.Len(), at)
		rest, other = whole.Differ(whole.Slice(0, at))
		require.Equal(t, ids[at:], rest.Strings(), at)
		require.Zero(t, other.Len(), at)
	}
}

// A List keeps no part of what it was made of, nor of a longer List.
func TestAListIsItself(t *testing.T) {
	l := Of([]string{uuid, uuid})
	require.True(t, l.Is(l))
	require.True(t, List{}.Is(Of(nil)))
	require.False(t, l.Is(Of([]string{uuid, uuid})))
	require.False(t, l.Is(l.Slice(0, 1)))
	kept := l.Filter(func(i int) bool { return i == 0 })
	require.False(t, kept.Is(l.Slice(0, 1)))
	require.Len(t, kept.data, uuidBytes)
}

// The memory that README and operating guide name.
func TestAUUIDTakes16Bytes(t *testing.T) {
	ids := make([]string, 1000)
	for i := range ids {
		ids[i] = fmt.Sprintf("%08x-0000-4000-8000-%012x", i, rand.Uint64()>>16)
	}
	require.Len(t, Of(ids).data, 1000*uuidBytes)
	mixed := Of(append(ids, "thing-1"))
	require.Len(t, mixed.data, 1000*uuidText+len("thing-1"))
	require.Len(t, mixed.starts, 1002)
	require.Len(t, mixed.Filter(func(i int) bool { return i < 1000 }).data, 1000*uuidBytes)
}

func FuzzList(f *testing.F) {
	f.Add(strings.Join(alike, "\n"))
	f.Fuzz(func(t *testing.T, text string) {
		ids := strings.Split(text, "\n")
		require.Equal(t, ids, Of(ids).Strings())
	})
}

func BenchmarkList5000UUIDs(b *testing.B) {
	ids := make([]string, 5000)
	for i := range ids {
		ids[i] = fmt.Sprintf("%08x-0000-4000-8000-%012x", i, rand.Uint64()>>16)
	}
	l := Of(ids)
	b.Run("of", func(b *testing.B) {
		for b.Loop() {
			Of(ids)
		}
	})
	b.Run("strings", func(b *testing.B) {
		for b.Loop() {
			l.Strings()
		}
	})
	b.Run("hashes", func(b *testing.B) {
		seed := maphash.MakeSeed()
		for b.Loop() {
			for range l.Hashes(seed) {
			}
		}
	})
}
