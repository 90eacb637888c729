package observed

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// An instance that hangs for long costs no more than one that hangs for a while, and its oldest change stays known.
func TestBacklogIsBounded(t *testing.T) {
	var b backlog
	behind := &Status{Times: 1}
	for times := int64(2); times < 100; times++ {
		before := len(b[0])
		next := b.follow(map[int]List{0: {Times: times, Changed: at(int(times)), Status: behind}})
		require.Len(t, b[0], before, "what an earlier snapshot was made from stays as it was")
		b = next
	}
	require.Len(t, b[0], maxBacklog)
	require.Equal(t, at(2), b.since(0, &List{Times: 99, Status: behind}))
	b = b.follow(map[int]List{0: {Times: 99, Changed: at(99), Status: &Status{Times: 98}}})
	require.Equal(t, at(maxBacklog+1), b.since(0, &List{Times: 99, Status: &Status{Times: 98}}), "never younger than it is")
	b = b.follow(map[int]List{0: {Times: 99, Changed: at(99), Status: &Status{Times: 99}}})
	require.Empty(t, b)
}
