package release

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// A write of ours shows nothing new of the statuses: without a look, an absence does not grow.
func TestAnAbsenceGrowsOnlyByLooking(t *testing.T) {
	f := New()
	begun := time.Now()
	at := func(s int) time.Time { return begun.Add(time.Duration(s) * time.Second) }
	there := &protocol.State{Instances: map[int]*protocol.Instance{0: {Live: true, Status: &protocol.Status{Pod: "p", Fences: true, SessionMs: 1}}}}
	gone := &protocol.State{Instances: map[int]*protocol.Instance{0: {}}}
	f.Observe(there, at(0), at(0))
	f.Observe(gone, at(5), at(5))
	f.Note(gone, at(11))
	require.Zero(t, f.absence(gone, 0, at(4)).For)
	f.Observe(gone, at(12), at(12))
	require.Equal(t, 7*time.Second, f.absence(gone, 0, at(4)).For)
	require.Equal(t, 2*time.Second, f.absence(gone, 0, at(10)).For, "the later of the two counts")
	require.Zero(t, f.absence(gone, 0, at(13)).For)
	f.Observe(gone, at(30), at(30))
	require.Zero(t, f.absence(gone, 0, at(4)).For, "unseen for too long: it may have been there")
}
