package chaos

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// bug is a mistake put into the product's own source, and the smallest test that must turn red by it.
type bug struct {
	name string
	// file is where the mistake is made, from the module's root: each text is replaced by the one that follows it.
	file  string
	texts []string
	// test fails, in the package of that folder, and says so.
	folder, test, says string
}

// bugs are those that docs/protocol.md names as the ways to lose a resource, or to run it twice.
var bugs = []bug{
	{
		name: "no head check while an ordinal closes",
		file: "rebalancer/zk/commit.go", texts: []string{
			"return &zk.CheckVersionRequest{Path: path, Version: op.Version}",
			"return &zk.CheckVersionRequest{Path: path, Version: -1}",
		},
		folder: "rebalancer/zk", test: "TestAClosedOrdinalReceivesNothingDecidedBefore", says: "grant to an ordinal that was closed since",
	},
	{
		name: "grant before release",
		file: "rebalancer/release/releases.go", texts: []string{
			"if revokedFromDead(v.Orders, f) {",
			"if revokedFromDead(v.Orders, f) || v.Orders.HandOff == config.HandOffAcknowledged {",
		},
		folder: "rebalancer", test: "TestARecreateTurnsTheDeleteInFlight", says: "nobody has released it",
	},
	{
		name: "reply lost taken as failure",
		file: "rebalancer/zk/commit.go", texts: []string{
			"a.unknown = errors.Is(err, protocol.ErrUnavailable)",
			"a.unknown = false",
		},
		folder: "rebalancer/zk", test: "TestLostReply/create/1", says: "zookeeper unavailable",
	},
	{
		name: "drain that gives up",
		file: "scaler/act.go", texts: []string{
			"if left := t.left(); len(left) > 0 {",
			"if left := t.left(); len(left) > 0 && !s.givenUp() {",
			"case outcome.Total(left) > 0:",
			"case outcome.Total(left) > 0 && !s.givenUp():",
			"// draining says how far",
			"func (s *Scaler) givenUp() bool { return s.last.Drain != nil && s.input.Now.Sub(s.last.Drain.Since) > 60e9 }\n\n// draining says how far",
		},
		folder: "scaler", test: "TestADrainThatCannotEndNeverShrinksAndSaysWhy", says: "replicas 4 -> 2 takes instance 2: open false, owns 100",
	},
	{
		name: "version ignored",
		file: "rebalancer/zk/commit.go", texts: []string{
			"return &zk.SetDataRequest{Path: path, Data: op.Data, Version: op.Version}",
			"return &zk.SetDataRequest{Path: path, Data: op.Data, Version: -1}",
		},
		folder: "rebalancer/zk", test: "TestConflictWithAForeignEdit", says: "conflict: a znode changed",
	},
	{
		name: "`resources` read before `_reload`",
		file: "internal/testbed/workload/instance.go", texts: []string{
			"	raw, err := in.read(conn, in.root+\"/_reload\", true)\n",
			"	ids, err := in.readList(conn)\n	if err != nil {\n		return err\n	}\n	raw, err := in.read(conn, in.root+\"/_reload\", true)\n",
			"	ids, err := in.readList(conn)\n	if err != nil {\n		return err\n	}\n	return in.apply(",
			"	return in.apply(",
		},
		folder: "internal/testbed/workload", test: "TestListThatChangesBetweenTheReads", says: "it acknowledged what took a away, and runs a",
	},
	{
		name: "absent status taken as release",
		file: "rebalancer/protocol/release.go", texts: []string{
			`return false, "the status is absent, which proves nothing of an instance that does not fence itself"`,
			`return true, "iii"`,
		},
		folder: "rebalancer/protocol", test: "TestReleased/absent", says: "expected: false",
	},
	{
		name: "deleted id re-created elsewhere before release",
		file: "rebalancer/steps/create.go", texts: []string{
			"			flying[id] = struct{}{}\n		default:\n			durable",
			"			fresh = append(fresh, id)\n		default:\n			durable",
		},
		folder: "rebalancer", test: "TestARecreateTurnsTheDeleteInFlight", says: "a re-create turns it, and is no create of its own",
	},
}

// TestSeededBugs puts each bug into the product's source, in an overlay that the compiler reads in its place, and demands that its test
// turns red, and for that reason.
func TestSeededBugs(t *testing.T) {
	servers.Require(t, servers.PartZooKeeper)
	caught := 0
	for _, b := range bugs {
		t.Run(b.name, func(t *testing.T) {
			began := time.Now()
			out := b.run(t, b.overlay(t))
			require.NotContains(t, out, "[build failed]")
			top, _, _ := strings.Cut(b.test, "/")
			require.Contains(t, out, "--- FAIL: "+top, "nothing turned red")
			require.Contains(t, out, b.says, "it turned red for another reason")
			t.Logf("%s: red after %s", b.test, time.Since(began).Round(10*time.Millisecond))
			caught++
		})
	}
	counted.add("bugs put into the product's source: %d, caught %d", len(bugs), caught)
	require.Equal(t, len(bugs), caught)
}

// overlay writes the file with the bug, and what tells the compiler to read it instead of the right one. A text that is not there once is a
// test that has fallen behind the source.
func (b *bug) overlay(t *testing.T) string {
	t.Helper()
	file, err := filepath.Abs(filepath.Join("../../..", b.file))
	require.NoError(t, err)
	source, err := os.ReadFile(file)
	require.NoError(t, err)
	text := string(source)
	for i := 0; i < len(b.texts); i += 2 {
		require.Equal(t, 1, strings.Count(text, b.texts[i]), "%s: %q", b.file, b.texts[i])
		text = strings.Replace(text, b.texts[i], b.texts[i+1], 1)
	}
	dir := t.TempDir()
	wrong, list := filepath.Join(dir, filepath.Base(b.file)), filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(wrong, []byte(text), 0o600))
	replaced, err := json.Marshal(map[string]map[string]string{"Replace": {file: wrong}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(list, replaced, 0o600))
	return list
}

// run runs the test with the bug, and returns what it printed.
func (b *bug) run(t *testing.T, overlay string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	pattern := "^" + strings.ReplaceAll(b.test, "/", "$/^") + "$"
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout", "14m", "-vet=off", "-ldflags=-s -w", "-overlay", overlay, "-run", pattern, "./"+b.folder)
	cmd.Dir = "../../.."
	out, err := cmd.CombinedOutput()
	require.NoError(t, ctx.Err(), "%s", out)
	require.Error(t, err, "the bug was not noticed:\n%s", out)
	return string(out)
}
