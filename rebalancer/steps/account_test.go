package steps

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// The account of weights fits, however many ordinals others put into the tree.
func TestTheAccountOfWeightsFits(t *testing.T) {
	a := account{V: accountVersion, At: time.Now(), ByWeight: true, Total: 1.7976931348623157e+308, Lists: map[int]float64{}}
	for n := range 50_000 {
		a.Lists[1_000_000_000+n] = 1.2345678901234567e+300
	}
	data, err := a.encode()
	require.NoError(t, err)
	require.LessOrEqual(t, len(data), protocol.MaxDocBytes)
	require.Len(t, a.Lists, 50_000)
	st := protocol.NewState("Thing")
	st.Kept[AccountName] = &protocol.Doc{Data: data}
	read, ok := accountOf(st)
	require.True(t, ok)
	require.NotEmpty(t, read.Lists)
	require.Equal(t, 50_000-len(read.Lists), read.LeftOut)
}
