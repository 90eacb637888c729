package fault

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	faults, err := Parse("create.sent=kill,scale.read=error@3,lead.sent=sleep:2s@2\n")
	require.NoError(t, err)
	require.Equal(t, []Fault{
		{Point: "create.sent", Action: Kill, Nth: 1},
		{Point: "scale.read", Action: Error, Nth: 3},
		{Point: "lead.sent", Action: Sleep, For: 2 * time.Second, Nth: 2},
	}, faults)
	for _, f := range faults {
		again, err := Parse(f.String())
		require.NoError(t, err)
		require.Equal(t, []Fault{f}, again)
	}
	none, err := Parse("")
	require.NoError(t, err)
	require.Empty(t, none)
	for text, want := range map[string]string{
		"create.sent":              "want point=action@n",
		"create.snet=kill":         `point "create.snet"`,
		"create.sent=explode":      `action "explode"`,
		"create.sent=kill@0":       `n "0"`,
		"create.sent=kill@x":       `n "x"`,
		"create.sent=sleep":        "a pause has a time",
		"create.sent=kill:2s":      "a pause has a time",
		"create.sent=sleep:-2s":    `pause "-2s"`,
		"create.sent=error":        "point create.sent cannot fail",
		"create.sent=kill,a=panic": `point "a"`,
	} {
		_, err := Parse(text)
		require.ErrorContains(t, err, want, text)
		require.ErrorContains(t, err, SpecVar, text)
	}
}

func TestPointsAreDistinct(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range Points {
		require.False(t, seen[p.Name], "%s stands twice", p.Name)
		seen[p.Name] = true
		require.NotEmpty(t, p.Group)
		require.NotEmpty(t, p.Passed)
	}
	require.GreaterOrEqual(t, len(Points), 66)
}

// A release build holds nothing of all this; and that this would be noticed, a build with the tag
// shows.
func TestReleaseHoldsNoPoint(t *testing.T) {
	const symbols = "internal/fault."
	build := func(tags string) (names int, hasSymbols bool) {
		program := filepath.Join(t.TempDir(), "shardscaler")
		out, err := exec.Command("go", "build", "-tags", tags, "-o", program, "../../cmd/shardscaler").CombinedOutput()
		require.NoError(t, err, "%s", out)
		listed, err := exec.Command("go", "tool", "nm", program).Output()
		require.NoError(t, err)
		content, err := os.ReadFile(program)
		require.NoError(t, err)
		for _, p := range Points {
			if bytes.Contains(content, []byte(p.Name)) {
				names++
			}
		}
		for _, b := range Bugs {
			if bytes.Contains(content, []byte(b)) {
				names++
			}
		}
		require.NotZero(t, bytes.Count(listed, []byte("rebalancer/zk.")), "the symbols were not listed")
		return names, bytes.Contains(listed, []byte(symbols))
	}
	names, has := build("")
	require.Zero(t, names, "names of points and bugs in a release build")
	require.False(t, has, "symbols of this package in a release build")
	names, has = build("faults")
	require.Equal(t, len(Points)+len(Bugs)-1, names, "all but that of the workload")
	require.True(t, has)
}
