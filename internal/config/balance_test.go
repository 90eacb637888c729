package config

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBalanceAndPinsAreReadWithDefaultsAndSurviveARoundTrip(t *testing.T) {
	text, err := os.ReadFile("testdata/good/balance.yml")
	require.NoError(t, err)
	c, err := Parse(text)
	require.NoError(t, err)
	things, rules := c.Kinds[0], c.Kinds[1]
	require.Equal(t, Band{Enter: 1.3, Leave: 1.05}, *things.Rebalance.Band)
	require.Equal(t, 500, things.Rebalance.MovesPerPlan)
	require.Equal(t, `SELECT id, weight, labels FROM "Thing"`, things.Catalogue.Query, "the default asks for what is used")
	require.Equal(t, BalanceCount, rules.Balance)
	require.Nil(t, rules.Rebalance.Band)
	require.Equal(t, `SELECT id FROM "Rule"`, rules.Catalogue.Query, "a pin by id needs no labels")
	out, err := c.Marshal()
	require.NoError(t, err)
	again, err := Parse(out)
	require.NoError(t, err)
	require.Equal(t, c, again)
}

func TestPinsAreBounded(t *testing.T) {
	head := "kinds:\n- name: Thing\n  statefulSet: iota-dac\n  capacity: 10\n  init: 1\n  max: 2\n  pins:\n"
	var many strings.Builder
	for i := range maxPins + 1 {
		fmt.Fprintf(&many, "  - {name: p%d, ids: [x%d], ordinals: [0]}\n", i, i)
	}
	_, err := Parse([]byte(head + many.String()))
	require.ErrorContains(t, err, "kinds[0].pins: Too many: 101: must have at most 100 items")

	ids := make([]string, maxPinnedIDs+1)
	for i := range ids {
		ids[i] = fmt.Sprintf("t%d", i)
	}
	_, err = Parse([]byte(head + "  - {name: a, ordinals: [0], ids: [" + strings.Join(ids, ", ") + "]}\n"))
	require.ErrorContains(t, err, "kinds[0].pins: Invalid value: 10001: all pins together must name at most 10000 ids")
}
