package main

import (
	"context"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func measured(values map[string]float64, err error) func(context.Context, *bench) (map[string]float64, error) {
	return func(context.Context, *bench) (map[string]float64, error) { return values, err }
}

func TestEachFigureIsALine(t *testing.T) {
	g := group{
		name: "x",
		figures: []figure{
			{"x_fast_ms", atMost(10)},
			{"x_slow_ms", atMost(10)},
			{"x_ratio", atLeast(8)},
			{name: "x_told_s"},
			{name: "x_nonsense_s"},
			{"x_absent_s", atMost(1)},
			{name: "x_absent_MB"},
		},
		measure: measured(map[string]float64{
			"x_fast_ms": 10, "x_slow_ms": 10.01, "x_ratio": 8.25, "x_told_s": 1234.5, "x_nonsense_s": math.NaN(),
		}, nil),
	}
	var out strings.Builder
	r := report{out: &out}
	require.NoError(t, g.run(t.Context(), nil, &r))
	require.Equal(t, `bar x_fast_ms 10.0 <=10 ok
bar x_slow_ms 10.0 <=10 short
bar x_ratio 8.25 >=8 ok
bar x_told_s 1234 - ok
bar x_nonsense_s NaN - short
bar x_absent_s - <=1 short
bar x_absent_MB - - short
`, out.String())
	require.Equal(t, 7, r.printed)
	require.Equal(t, 4, r.short)
}

func TestWhatFailsIsShort(t *testing.T) {
	broken := errors.New("broken")
	g := group{name: "x", figures: []figure{{name: "x_a_s"}, {name: "x_b_s"}}, measure: measured(map[string]float64{"x_a_s": 1}, broken)}
	var out strings.Builder
	r := report{out: &out}
	require.ErrorIs(t, g.run(t.Context(), nil, &r), broken)
	require.Equal(t, "bar x_a_s 1.00 - ok\nbar x_b_s - - short\n", out.String())
	require.Equal(t, 1, r.short)
}

func TestOnlyPicksByPrefix(t *testing.T) {
	g := group{name: "x", figures: []figure{{name: "x_a_s"}, {name: "x_b_s"}}, measure: measured(map[string]float64{"x_a_s": 1, "x_b_s": 2}, nil)}
	var out strings.Builder
	r := report{out: &out, only: "x_b"}
	require.True(t, r.picksAny(g))
	require.NoError(t, g.run(t.Context(), nil, &r))
	require.Equal(t, "bar x_b_s 2.00 - ok\n", out.String())
	require.False(t, (&report{only: "y"}).picksAny(g))
	require.True(t, (&report{}).picksAny(g))
}

func TestAnotherProgramsLinesCount(t *testing.T) {
	relay := func(err error, lines ...string) group {
		return group{name: "plan", relay: func(_ context.Context, _ *bench, _ string, say func(string)) error {
			for _, line := range lines {
				say(line)
			}
			return err
		}}
	}
	failed := errors.New("exit status 1")
	for name, c := range map[string]struct {
		group   group
		only    string
		want    string
		short   int
		refused bool
	}{
		"good":                {group: relay(nil, "| a table |", "bar plan_a_ms 1 <=2 ok", ""), want: "bar plan_a_ms 1 <=2 ok\n"},
		"picked":              {group: relay(nil, "bar plan_a_ms 1 - ok", "bar plan_b_ms 1 - ok"), only: "plan_b", want: "bar plan_b_ms 1 - ok\n"},
		"short":               {group: relay(failed, "bar plan_a_ms 3 <=2 short"), want: "bar plan_a_ms 3 <=2 short\n", short: 1, refused: true},
		"silent":              {group: relay(nil), want: "bar plan - - short\n", short: 1, refused: true},
		"ended in the middle": {group: relay(failed, "bar plan_a_ms 1 - ok"), want: "bar plan_a_ms 1 - ok\nbar plan - - short\n", short: 1, refused: true},
		"unreadable":          {group: relay(nil, "bar plan a"), want: "bar plan - - short\n", short: 1, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			r := report{out: &out, only: c.only}
			require.True(t, r.picksAny(c.group))
			err := c.group.run(t.Context(), nil, &r)
			require.Equal(t, c.refused, err != nil, "%v", err)
			require.Equal(t, c.want, out.String())
			require.Equal(t, c.short, r.short)
		})
	}
	require.False(t, (&report{only: "memory_"}).picksAny(relay(nil)))
	require.True(t, (&report{only: "pl"}).picksAny(relay(nil)))
}

func TestNamesAreUniqueAndBeginAsTheirGroups(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range append(allGroups(false), coldGroup(true)) {
		for _, f := range g.figures {
			require.False(t, seen[f.name], f.name)
			seen[f.name] = true
			require.True(t, strings.HasPrefix(f.name, g.name+"_"), f.name)
			require.NotContains(t, f.name, " ")
		}
		require.NotEqual(t, g.relay == nil, g.measure == nil, g.name)
	}
	printNames(io.Discard, allGroups(false))
}

func TestQuantiles(t *testing.T) {
	var values []float64
	for v := 100; v >= 1; v-- {
		values = append(values, float64(v))
	}
	require.InDelta(t, 50, median(values), 0)
	require.InDelta(t, 99, quantile(values, 0.99), 0)
	require.InDelta(t, 1, quantile(values, 0), 0)
	require.InDelta(t, 100, quantile(values, 1), 0)
	require.InDelta(t, 7, median([]float64{7}), 0)
	require.True(t, math.IsNaN(median(nil)))
}

func TestRssAnonIsRead(t *testing.T) {
	mb, err := parseRssAnon([]byte("Name:\tx\nVmRSS:\t  999 kB\nRssAnon:\t   50000 kB\nRssFile:\t 1 kB\n"))
	require.NoError(t, err)
	require.InDelta(t, 51.2, mb, 1e-9)
	_, err = parseRssAnon([]byte("Name:\tzombie\nState:\tZ (zombie)\n"))
	require.ErrorContains(t, err, "ended")
}
