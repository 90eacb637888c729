package observed

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// An instance that hangs for long costs no more than one that hangs for a while, and its oldest
// change stays known.
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

func TestWhatIsNoAcknowledgement(t *testing.T) {
	for want, i := range map[string]Instance{
		"":                                {Pod: &Pod{UID: "a"}, List: &List{Status: &Status{PodUID: "a"}}},
		"its status is absent":            {Pod: &Pod{UID: "a"}},
		"its status is present and empty": {Pod: &Pod{UID: "a"}, List: &List{StatusFault: "is present and empty"}},
		`its status is of pod "b", and it is pod a`:                       {Pod: &Pod{UID: "a"}, List: &List{Status: &Status{PodUID: "b"}}},
		`its status is of pod "", and it is pod a`:                        {Pod: &Pod{UID: "a"}, List: &List{Status: &Status{}}},
		`its status is of pod "b", and Kubernetes does not know this pod`: {List: &List{Status: &Status{PodUID: "b"}}},
	} {
		require.Equal(t, want, i.NotAcknowledging())
	}
}
