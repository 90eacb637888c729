package chaos

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/fault"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// noticed says which test turns red by a bug, in the package of that folder, and what it says then:
// the smallest test that must.
var noticed = map[fault.Bug]struct{ folder, test, says string }{
	fault.HeadUnchecked:      {"rebalancer/zk", "TestAClosedOrdinalReceivesNothingDecidedBefore", "grant to an ordinal that was closed since"},
	fault.VersionIgnored:     {"rebalancer/zk", "TestConflictWithAForeignEdit", "conflict: a znode changed"},
	fault.LossTakenAsFailure: {"rebalancer/zk", "TestLostReply/create/1", "zookeeper unavailable"},
	fault.GrantedEarly:       {"rebalancer", "TestARecreateTurnsTheDeleteInFlight", "its instance has not released it"},
	fault.AbsentTakenAsFree:  {"rebalancer/protocol", "TestReleased/absent", "expected: false"},
	fault.RecreatedElsewhere: {"rebalancer", "TestARecreateTurnsTheDeleteInFlight", "a re-create turns it, and is no create of its own"},
	fault.DrainGivenUp:       {"scaler", "TestADrainThatCannotEndNeverShrinksAndSaysWhy", "replicas 4 -> 2 takes instance 2: open false, owns 100"},
	fault.ListReadFirst:      {"internal/testbed/workload", "TestListThatChangesBetweenTheReads", "it acknowledged what took a away, and runs a"},
}

// TestSeededBugs has each bug made in a test build, and demands that its test turns red, and for
// that reason; and that it is green in the same build without the bug.
func TestSeededBugs(t *testing.T) {
	servers.Require(t, servers.PartZooKeeper)
	caught := 0
	for _, bug := range fault.Bugs {
		t.Run(string(bug), func(t *testing.T) {
			began := time.Now()
			out, red := runWith(t, bug)
			require.True(t, red, "the bug was not noticed:\n%s", out)
			require.NotContains(t, out, "[build failed]")
			top, _, _ := strings.Cut(noticed[bug].test, "/")
			require.Contains(t, out, "--- FAIL: "+top, "nothing turned red")
			require.Contains(t, out, noticed[bug].says, "it turned red for another reason")
			t.Logf("%s: red after %s", noticed[bug].test, time.Since(began).Round(10*time.Millisecond))
			caught++
		})
	}
	counted.add("bugs put into the product: %d, caught %d", len(fault.Bugs), caught)
	require.Equal(t, len(fault.Bugs), caught)
	require.Len(t, noticed, len(fault.Bugs))
	out, red := runWith(t, fault.RecreatedElsewhere, fault.BugVar+"=")
	require.False(t, red, "%s", out)
}

// runWith runs the test that must notice a bug, in a build that makes it, and returns what it
// printed.
func runWith(t *testing.T, bug fault.Bug, env ...string) (out string, red bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	n := noticed[bug]
	pattern := "^" + strings.ReplaceAll(n.test, "/", "$/^") + "$"
	cmd := exec.CommandContext(ctx, "go", "test", "-tags", "faults", "-count=1", "-timeout", "14m", "-vet=off", "-ldflags=-s -w", "-run", pattern, "./"+n.folder)
	cmd.Dir = "../../.."
	cmd.Env = append(append(os.Environ(), fault.BugVar+"="+string(bug)), env...)
	printed, err := cmd.CombinedOutput()
	require.NoError(t, ctx.Err(), "%s", printed)
	return string(printed), err != nil
}
