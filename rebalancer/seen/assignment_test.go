package seen

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func state() *protocol.State {
	st := protocol.NewState("Thing")
	st.ReadAt, st.Head.Open = noon, []int{0, 1}
	st.Instances[0] = &protocol.Instance{Ordinal: 0, IDs: protocol.NewIDs([]string{"a", "b"}), Times: 3, Status: &protocol.Status{Times: 3, Pod: "uid"}}
	st.Instances[1] = &protocol.Instance{Ordinal: 1, StatusFault: "is persistent"}
	st.Pool["1-0"] = &protocol.Piece{Name: "1-0", IDs: protocol.NewIDs([]string{"c"})}
	st.Flight["0-2"] = &protocol.Flight{Name: "0-2", From: 0, IDs: protocol.NewIDs([]string{"d", "e"})}
	return st
}

func TestWhatAStateTells(t *testing.T) {
	st := state()
	who := Speakers(nil).Follow(st)
	a := Assignment(st, who)
	require.Equal(t, []int{2, 2, 1}, []int{a.Assigned, a.InFlight, a.Unassigned})
	require.Equal(t, []int{0, 1}, a.Open)
	require.Nil(t, a.Weights)
	require.Equal(t, observed.List{
		Count: 2, Times: 3, InFlight: 2, Status: &observed.Status{Times: 3, PodUID: "uid"}, StatusSince: noon,
	}, a.Lists[0])
	require.Equal(t, "is persistent", a.Lists[1].StatusFault)
}

// Who makes an empty list gets no time from ZooKeeper, and who reads it does: it is not shown.
func TestAnEmptyListThatWasJustMadeHasNotChanged(t *testing.T) {
	st := state()
	st.Instances[1].Changed = noon
	require.Zero(t, Assignment(st, nil).Lists[1].Changed)
	st.Instances[1].ListVersion = 1
	require.Equal(t, noon, Assignment(st, nil).Lists[1].Changed)
	st.Instances[0].Changed = noon // another orchestrator made it with what it holds
	require.Equal(t, noon, Assignment(st, nil).Lists[0].Changed)
}

func TestSinceWhenWhoSpeaks(t *testing.T) {
	st := state()
	who := Speakers(nil).Follow(st)
	later := st.Clone()
	later.ReadAt = noon.Add(time.Minute)
	require.Equal(t, who, who.Follow(later), "the same go on")
	later.Instances[0] = &protocol.Instance{Ordinal: 0, Status: &protocol.Status{Pod: "another"}}
	who = who.Follow(later)
	require.Equal(t, later.ReadAt, Assignment(later, who).Lists[0].StatusSince)
	require.Equal(t, noon, Assignment(later, who).Lists[1].StatusSince)
}

func TestSame(t *testing.T) {
	for name, c := range map[string]struct {
		change func(st *protocol.State)
		same   bool
	}{
		"nothing":         {func(*protocol.State) {}, true},
		"its age":         {func(st *protocol.State) { st.ReadAt = noon.Add(time.Hour) }, true},
		"a document":      {func(st *protocol.State) { st.Kept["scaler"] = &protocol.Doc{} }, true},
		"the weights":     {func(st *protocol.State) { st.Kept["weights"] = &protocol.Doc{} }, false},
		"an instance":     {func(st *protocol.State) { st.Instances[0] = &protocol.Instance{} }, false},
		"a new instance":  {func(st *protocol.State) { st.Instances[2] = &protocol.Instance{} }, false},
		"a piece":         {func(st *protocol.State) { delete(st.Pool, "1-0") }, false},
		"a flight":        {func(st *protocol.State) { delete(st.Flight, "0-2") }, false},
		"who may receive": {func(st *protocol.State) { st.Head.Open = []int{0} }, false},
	} {
		st := state()
		other := st.Clone()
		c.change(other)
		require.Equal(t, c.same, Same(st, other), name)
	}
}
