package resync

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAClaimIsDecidedByTheNextRead(t *testing.T) {
	b := newBench(ids(50))
	b.claim("id-007")
	b.claim("id-008")
	out := b.read(t, without(ids(50), "id-007"))
	require.Equal(t, []string{"id-007"}, out.Claimed)
	require.Empty(t, out.Deletes)
	require.Zero(t, out.Confirm)
	out = b.read(t, without(ids(50), "id-007", "id-008"))
	require.Empty(t, out.Claimed, "the read before had it: the condition was narrower than what was left of it")
	require.NotZero(t, out.Confirm)
}

func TestAClaimDuringAReadIsDecidedByTheOneAfter(t *testing.T) {
	b := newBench(ids(50))
	b.begin()
	b.claim("id-007")
	b.claim("id-008")
	out := b.end(t, without(ids(50), "id-007"))
	require.Empty(t, out.Claimed, "it may have begun before the row was there")
	out = b.read(t, without(ids(50), "id-007", "id-008"))
	require.Equal(t, []string{"id-007", "id-008"}, out.Claimed)
}

func TestARepeatedClaimIsNeitherPutOffNorLost(t *testing.T) {
	b := newBench(ids(50))
	b.claim("id-007")
	b.claim("id-008")
	b.begin()
	b.claim("id-007")
	b.claim("id-008")
	require.Equal(t, []string{"id-007"}, b.end(t, without(ids(50), "id-007")).Claimed, "the first word was before the read")
	require.Equal(t, []string{"id-008"}, b.read(t, without(ids(50), "id-007", "id-008")).Claimed, "the last word was after the read that had it")
}

func TestAMessageAfterAClaimWins(t *testing.T) {
	b := newBench(ids(50))
	b.claim("id-007")
	b.said(Created, "id-007")
	require.Empty(t, b.read(t, without(ids(50), "id-007")).Claimed)
	b.claim("id-008")
	b.begin()
	b.said(Created, "id-008")
	require.Empty(t, b.end(t, without(ids(50), "id-008")).Claimed)
	require.Zero(t, b.Claimed())
}

func TestAClaimSettlesWhatWaitsForAPerson(t *testing.T) {
	b := newBench(ids(50))
	rows := ids(40)
	b.read(t, rows)
	b.read(t, rows)
	require.Equal(t, 10, b.Waiting().Count)
	b.claim("id-045")
	require.Equal(t, []string{"id-045"}, b.read(t, rows).Claimed)
	require.Equal(t, 9, b.Waiting().Count)
}

func TestAReadThatFailsDecidesNoClaim(t *testing.T) {
	b := newBench(ids(50))
	b.claim("id-007")
	b.begin()
	b.Abort()
	b.begin()
	require.Equal(t, []string{"id-007"}, b.end(t, without(ids(50), "id-007")).Claimed)
}
