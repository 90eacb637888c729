package workload

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func runRecord(event Event, ordinal int, pod string, ids ...string) Record {
	return Record{Event: event, Kind: "Thing", Ordinal: ordinal, Pod: pod, IDs: ids}
}

func readRuns(t *testing.T, records ...Record) *Runs {
	t.Helper()
	var out bytes.Buffer
	log := NewRunLog(&out)
	for _, r := range records {
		log.write(r)
	}
	require.NoError(t, log.Err())
	runs, err := ReadRuns(&out)
	require.NoError(t, err)
	require.Equal(t, len(records)+1, runs.Records)
	return runs
}

func TestRunsThatTakeTurnsDoNotOverlap(t *testing.T) {
	runs := readRuns(t,
		runRecord(EventRun, 0, "u0", "a", "b"),
		runRecord(EventStop, 0, "u0", "a"),
		runRecord(EventRun, 1, "u1", "a"),
	)
	require.Empty(t, runs.Overlaps)
	require.Equal(t, map[string][]Place{"a": {{1, "u1"}}, "b": {{0, "u0"}}}, runs.Running["Thing"])
	require.Equal(t, 3, runs.Started["Thing"])
}

func TestRunsSeeAStartBeforeTheStop(t *testing.T) {
	runs := readRuns(t,
		runRecord(EventRun, 0, "u0", "a", "b"),
		runRecord(EventRun, 1, "u1", "a"),
		runRecord(EventStop, 0, "u0", "a"),
	)
	require.Len(t, runs.Overlaps, 1)
	o := runs.Overlaps[0]
	require.Equal(t, "a", o.ID)
	require.Equal(t, Place{0, "u0"}, o.First)
	require.Equal(t, Place{1, "u1"}, o.Second)
	require.Equal(t, []Place{{1, "u1"}}, runs.Running["Thing"]["a"])
}

func TestRunsOfTwoPodsOfOneOrdinalOverlapToo(t *testing.T) {
	runs := readRuns(t, runRecord(EventRun, 0, "old", "a"), runRecord(EventRun, 0, "new", "a"))
	require.Len(t, runs.Overlaps, 1)
}

func TestBootEndsWhatAnEarlierProcessRan(t *testing.T) {
	runs := readRuns(t, runRecord(EventRun, 0, "u0", "a"), Record{Event: EventBoot}, runRecord(EventRun, 1, "u1", "a"))
	require.Empty(t, runs.Overlaps)
}

func TestRunsLeaveOutALineStillBeingWritten(t *testing.T) {
	runs, err := ReadRuns(strings.NewReader(`{"event":"boot"}` + "\n" + `{"event":"run","ids":["a`))
	require.NoError(t, err)
	require.Equal(t, 1, runs.Records)
}

func TestRunsRefuseABrokenLine(t *testing.T) {
	_, err := ReadRuns(strings.NewReader(`{"event":"boot"}` + "\nnonsense\n"))
	require.ErrorContains(t, err, "line 2")
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestRunLogKeepsItsFirstError(t *testing.T) {
	require.ErrorContains(t, NewRunLog(full{}).Err(), "disk full")
}

func TestHashIDsIgnoresOrder(t *testing.T) {
	require.Equal(t, HashIDs([]string{"a", "b", "c"}), HashIDs([]string{"c", "a", "b"}))
	require.NotEqual(t, HashIDs([]string{"a", "b"}), HashIDs([]string{"a", "c"}))
	require.NotEqual(t, HashIDs([]string{"ab"}), HashIDs([]string{"a", "b"}))
}
