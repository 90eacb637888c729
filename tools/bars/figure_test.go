package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func measured(values map[string]float64, err error) measure {
	return func(context.Context, *bench) (map[string]float64, error) { return values, err }
}

func TestEachFigureIsALine(t *testing.T) {
	g := group{
		name: "x",
		figures: figures("fast_ms <=10", "slow_ms <=10", "ratio >=8", "equal_ms <10", "equal_ratio >1", "told_s", "little_ms",
			"nonsense_s", "absent_s <=1", "absent_MB"),
		measure: measured(map[string]float64{
			"fast_ms": 10, "slow_ms": 10.01, "ratio": 8.25, "equal_ms": 10, "equal_ratio": 1, "told_s": 1234.5, "little_ms": 0.01454,
			"nonsense_s": math.NaN(),
		}, nil),
	}
	var out strings.Builder
	r := report{out: &out}
	require.NoError(t, g.run(t.Context(), nil, &r))
	require.Equal(t, `bar x_fast_ms 10.0 <=10 ok
bar x_slow_ms 10.0 <=10 short
bar x_ratio 8.25 >=8 ok
bar x_equal_ms 10.0 <10 short
bar x_equal_ratio 1.00 >1 short
bar x_told_s 1234 - ok
bar x_little_ms 0.0145 - ok
bar x_nonsense_s NaN - short
bar x_absent_s - <=1 short
bar x_absent_MB - - short
`, out.String())
	require.Equal(t, 10, r.printed)
	require.Equal(t, 6, r.short)
}

func TestWhatFailsIsShort(t *testing.T) {
	broken := errors.New("broken")
	g := group{name: "x", figures: figures("a_s", "b_s"), measure: measured(map[string]float64{"a_s": 1}, broken)}
	var out strings.Builder
	r := report{out: &out}
	require.ErrorIs(t, g.run(t.Context(), nil, &r), broken)
	require.Equal(t, "bar x_a_s 1.00 - ok\nbar x_b_s - - short\n", out.String())
	require.Equal(t, 1, r.short)
	require.False(t, run(t.Context(), []group{g}, "x_a"), "what was measured before a failure is good, the run is not")
	require.False(t, run(t.Context(), []group{g}, "y"), "nothing was measured")
}

func TestOnlyPicksByPrefix(t *testing.T) {
	g := group{name: "x", figures: figures("a_s", "b_s"), measure: measured(map[string]float64{"a_s": 1, "b_s": 2}, nil)}
	var out strings.Builder
	r := report{out: &out, only: "x_b"}
	require.True(t, r.picksAny(g))
	require.NoError(t, g.run(t.Context(), nil, &r))
	require.Equal(t, "bar x_b_s 2.00 - ok\n", out.String())
	require.False(t, (&report{only: "y"}).picksAny(g))
	require.True(t, (&report{}).picksAny(g))
}

// A unit such as MB, which the library turns into bytes, is read as it was reported.
func TestMetricsOfABenchmarkAreRead(t *testing.T) {
	got, err := readMetrics(strings.NewReader("goos: linux\nBenchmarkX/a-2 \t 15\t 123456 ns/op\t 0.02278 ms\t 7.5 MB\n--- BENCH: BenchmarkX/a-2\n    x_test.go:1: told\nPASS\n"))
	require.NoError(t, err)
	require.InDelta(t, 0.02278, got["ms"], 0)
	require.InDelta(t, 7.5, got["MB"], 0)
	got, err = readMetrics(strings.NewReader("--- FAIL: BenchmarkX\nFAIL\nexit status 1\n"))
	require.NoError(t, err)
	require.Empty(t, got)
}

// TestPage holds docs/bars.md to the table, row by row, and the table to the code that measures.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/bars.md")
	require.NoError(t, err)
	type row struct{ name, bar, code string }
	var said, meant []row
	for _, line := range strings.Split(string(page), "\n") {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(strings.TrimSuffix(strings.TrimPrefix(line, "| "), " |"), " | ")
		require.Len(t, cells, 5, line)
		require.NotContains(t, cells, "", line)
		said = append(said, row{cells[0], cells[3], cells[4]})
	}
	seen := map[string]bool{}
	for _, g := range append(table(true)[:1:1], table(false)...) {
		source, err := os.ReadFile(g.code)
		require.NoError(t, err)
		for _, f := range g.figures {
			name := g.name + "_" + f.name
			require.False(t, seen[name], name)
			seen[name] = true
			if strings.HasSuffix(g.code, "_test.go") {
				require.True(t, bytes.Contains(source, []byte(`, "`+f.name+`")`)), "%s does not report %s", g.code, name)
			}
			meant = append(meant, row{"`" + name + "`", "`" + f.printed() + "`", "[" + g.code + "](../tools/bars/" + g.code + ")"})
		}
	}
	for i, row := range meant[:min(len(meant), len(said))] {
		require.Equal(t, row, said[i], "row %d", i+1)
	}
	require.Len(t, said, len(meant))
}

func TestMemoryOfAProcessIsRead(t *testing.T) {
	mb, err := rssAnon(os.Getpid())
	require.NoError(t, err)
	require.Greater(t, mb, 1.0)
	gone := exec.CommandContext(t.Context(), "true")
	require.NoError(t, gone.Start())
	defer func() { require.NoError(t, gone.Wait()) }()
	require.Eventually(t, func() bool { _, err = rssAnon(gone.Process.Pid); return err != nil }, 10e9, 1e6)
	require.ErrorContains(t, err, "ended")
	require.FileExists(t, filepath.Join("/proc", fmt.Sprint(gone.Process.Pid), "status"))
}
