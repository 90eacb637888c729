package notify

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shardscaler/shardscaler/adapter/observed"
)

func TestFoldKeepsTheLastWord(t *testing.T) {
	f := fold([]change{
		{Message: Message{Create: []string{"a", "b"}}},
		{Message: Message{Delete: []string{"b", "c"}}},
		{Message: Message{Create: []string{"c", "a", "d"}}},
		{Message: Message{Delete: []string{"e"}}},
		{Message: Message{Create: []string{"e"}}},
		{Message: Message{Delete: []string{"e"}}},
		{Message: Message{Claim: []string{"f", "a", "g", "h"}}},
		{Message: Message{Create: []string{"g"}}},
		{Message: Message{Delete: []string{"h"}}},
		{Message: Message{Shown: []string{"a", "b", "i", "j", "k"}}},
		{Message: Message{Create: []string{"i"}}},
		{Message: Message{Delete: []string{"j"}}},
	})
	require.Equal(t, []string{"b", "c", "e", "h", "j"}, f.deletes)
	require.Equal(t, []observed.ResourceKnown{{ID: "a"}, {ID: "c"}, {ID: "d"}, {ID: "g"}, {ID: "i"}}, f.creates)
	require.Equal(t, []string{"a", "f"}, f.claims)
	require.Equal(t, []string{"a", "b", "k"}, f.shown)
}

// One folded commit leaves behind what the messages one by one would, and recreates what they
// recreate.
func TestFoldIsTheMessagesOneByOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.SampledFrom([]string{"a", "b", "c", "d"})
		known := rapid.SliceOf(id).Draw(t, "known")
		changes := rapid.SliceOf(rapid.Custom(func(t *rapid.T) change {
			ids := rapid.SliceOfN(id, 1, 3).Draw(t, "ids")
			return rapid.SampledFrom([]change{{Message: Message{Create: ids}}, {Message: Message{Delete: ids}}, {Message: Message{Claim: ids}}, {Message: Message{Shown: ids}}}).Draw(t, "what")
		})).Draw(t, "changes")

		// A world is the generation of each id that exists: a resource that was deleted and made
		// again is another one.
		slow, fast := newWorld(known), newWorld(known)
		for _, c := range changes {
			for _, id := range c.Create {
				slow.create(id)
			}
			for _, id := range c.Delete {
				slow.delete(id)
			}
			for _, id := range c.Claim {
				slow.claimed[id] = true
			}
			for _, id := range c.Shown {
				slow.show(id)
			}
		}
		f := fold(changes)
		for _, id := range f.deletes {
			fast.delete(id)
		}
		for _, r := range f.creates {
			fast.create(r.ID)
		}
		for _, id := range f.claims {
			fast.claimed[id] = true
		}
		for _, id := range f.shown {
			fast.show(id)
		}
		require.Equal(t, slow.claimed, fast.claimed)
		require.Equal(t, slow.missed(), fast.missed(), "rows that were shown and are not known in the end")
		require.Equal(t, len(slow.born), len(fast.born))
		for id, generation := range slow.born {
			require.Equal(t, generation == 0, fast.born[id] == 0, "%s was recreated by one and not by the other", id)
			require.Contains(t, fast.born, id)
		}
	})
}

type world struct {
	born    map[string]int
	died    map[string]int
	claimed map[string]bool
	shown   map[string]bool // and not known
}

func newWorld(known []string) *world {
	w := &world{born: map[string]int{}, died: map[string]int{}, claimed: map[string]bool{}, shown: map[string]bool{}}
	for _, id := range known {
		w.born[id] = 0
	}
	return w
}

func (w *world) create(id string) {
	delete(w.claimed, id)
	if _, ok := w.born[id]; !ok {
		w.born[id] = w.died[id]
	}
}

func (w *world) delete(id string) {
	delete(w.claimed, id)
	delete(w.shown, id)
	w.died[id]++
	delete(w.born, id)
}

func (w *world) show(id string) {
	if _, known := w.born[id]; !known {
		w.shown[id] = true
	}
}

// missed are the ids that were shown while they were not known, and of which nothing was said
// since.
func (w *world) missed() (ids []string) {
	for id := range w.shown {
		if _, known := w.born[id]; !known {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}
