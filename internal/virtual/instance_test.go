package virtual

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

func TestAnInstanceReleasesBeforeItAcknowledges(t *testing.T) {
	b := placed(t)
	in := NewInstance(b.z, thing, 0, "uid")
	require.NotEmpty(t, in.unreleased(1))
	require.NoError(t, in.Step())
	require.Equal(t, 2, in.runs.Len())
	quiet := b.z.zxid
	require.NoError(t, in.Step())
	require.Equal(t, quiet, b.z.zxid, "nothing new, nothing said")

	b.commit(protocol.Revoke(b.st, 0, []string{"a"}, []int{1}, "uid"))
	b.st = b.read()
	require.EqualValues(t, 1, b.st.Instances[0].Status.Times)
	require.Equal(t, "the process of pod uid runs 2 resources and has applied 1, not 2", in.unreleased(2))
	require.NoError(t, in.Step())
	require.Equal(t, 1, in.runs.Len())
	require.Empty(t, in.unreleased(2))
	require.Equal(t, protocol.Status{Times: 2, Pod: "uid", SessionMs: sessionMs}, *b.read().Instances[0].Status)
}

func TestAnInstanceWaitsForItsZnodesAndForTheStatusOfAnother(t *testing.T) {
	b := placed(t)
	early := NewInstance(b.z, thing, 5, "uid")
	require.NoError(t, early.Step())
	require.Zero(t, early.runs.Len())

	first, second := NewInstance(b.z, thing, 0, "one"), NewInstance(b.z, thing, 0, "two")
	require.NoError(t, first.Step())
	require.NoError(t, second.Step())
	require.Zero(t, second.runs.Len(), "the status is another's")
	first.End()
	require.Zero(t, first.runs.Len())
	require.NoError(t, second.Step())
	require.Equal(t, 2, second.runs.Len())
	require.Equal(t, "two", b.read().Instances[0].Status.Pod)
}

func TestAnInstanceBeatsWhenItIsTime(t *testing.T) {
	b := placed(t)
	in := NewInstance(b.z, thing, 0, "uid")
	beat, due := in.Beat(noon, 30*time.Second)
	require.True(t, due)
	require.Equal(t, noon, beat.At)
	_, due = in.Beat(noon.Add(29*time.Second), 30*time.Second)
	require.False(t, due)
	_, due = in.Beat(noon.Add(30*time.Second), 30*time.Second)
	require.True(t, due)
}

func TestWhatALeaderHeardAndDidNotAnswerIsAskedAgain(t *testing.T) {
	b := placed(t)
	c := &Callers{judge: b.judge}
	c.Ask(resync.Created, []string{"x"})
	c.Ask(resync.Deleted, []string{"a"})
	first := b.inventory()
	require.NoError(t, c.speak(b.clock, first))
	require.Equal(t, []string{"x"}, first.Writer.Pending(resync.Created))
	require.NoError(t, c.speak(b.clock, first), "it is heard once")
	require.NoError(t, c.listen())
	require.Equal(t, 2, len(c.open))

	c.forget()
	second := b.inventory()
	require.NoError(t, c.speak(b.clock, second))
	b.commit(protocol.Create(b.st, 2, second.Writer.Pending(resync.Created)))
	second.Writer.Answer(resync.Created, []string{"x"})
	require.NoError(t, c.listen())
	require.Equal(t, 1, len(c.open))
	require.Equal(t, [2]int{1, 0}, c.Answered)
	second.Writer.Answer(resync.Deleted, []string{"a"})
	require.NoError(t, c.listen())
	require.ErrorContains(t, b.judge.fault, `id "a": its delete was answered, and it is in`)
}
