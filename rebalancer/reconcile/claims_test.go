package reconcile

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAClaimIsDecidedByTheNextRead(t *testing.T) {
	w, r := ids(50), New()
	r.Claim("id-007")
	r.Claim("id-008")
	out := w.read(t, r, without(ids(50), "id-007"))
	require.Equal(t, []string{"id-007"}, out.Claimed)
	require.Empty(t, out.Deletes)
	require.False(t, out.Again)
	out = w.read(t, r, without(ids(50), "id-007", "id-008"))
	require.Empty(t, out.Claimed, "the read before had it: the condition was narrower than what was left of it")
	require.True(t, out.Again)
}

func TestAClaimDuringAReadIsDecidedByTheOneAfter(t *testing.T) {
	w, r := ids(50), New()
	w.begin(r)
	r.Claim("id-007")
	r.Claim("id-008")
	out := w.end(t, r, without(ids(50), "id-007"))
	require.Empty(t, out.Claimed, "it may have begun before the row was there")
	out = w.read(t, r, without(ids(50), "id-007", "id-008"))
	require.Equal(t, []string{"id-007", "id-008"}, out.Claimed)
}

func TestARepeatedClaimIsNeitherPutOffNorLost(t *testing.T) {
	w, r := ids(50), New()
	r.Claim("id-007")
	r.Claim("id-008")
	w.begin(r)
	r.Claim("id-007")
	r.Claim("id-008")
	require.Equal(t, []string{"id-007"}, w.end(t, r, without(ids(50), "id-007")).Claimed, "the first word was before the read")
	require.Equal(t, []string{"id-008"}, w.read(t, r, without(ids(50), "id-007", "id-008")).Claimed, "the last word was after the read that had it")
}

func TestAMessageAfterAClaimWins(t *testing.T) {
	w, r := ids(50), New()
	r.Claim("id-007")
	r.Said(Created, "id-007", true)
	require.Empty(t, w.read(t, r, without(ids(50), "id-007")).Claimed)
	r.Claim("id-008")
	w.begin(r)
	r.Said(Created, "id-008", true)
	require.Empty(t, w.end(t, r, without(ids(50), "id-008")).Claimed)
	_, n, _ := r.Claims()
	require.Zero(t, n)
}

func TestAClaimSettlesWhatWaitsForAPerson(t *testing.T) {
	w, r := ids(50), New()
	rows := ids(40)
	w.read(t, r, rows)
	w.read(t, r, rows)
	require.Equal(t, 10, r.Waiting().Count)
	r.Claim("id-045")
	require.Equal(t, []string{"id-045"}, w.read(t, r, rows).Claimed)
	require.Equal(t, 9, r.Waiting().Count)
}

func TestAReadThatFailsDecidesNoClaim(t *testing.T) {
	w, r := ids(50), New()
	r.Claim("id-007")
	w.begin(r)
	r.Abort()
	w.begin(r)
	require.Equal(t, []string{"id-007"}, w.end(t, r, without(ids(50), "id-007")).Claimed)
}
