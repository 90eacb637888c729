package gate

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatIsHeldUpGoesOnOrEnds(t *testing.T) {
	var g Gate
	require.NoError(t, g.Pass(t.Context()))
	g.Shut()
	g.Shut()
	ended, end := context.WithCancel(t.Context())
	end()
	require.ErrorIs(t, g.Pass(ended), context.Canceled)
	passed := make(chan error)
	go func() { passed <- g.Pass(t.Context()) }()
	g.Open()
	require.NoError(t, <-passed)
	g.Open()
	require.NoError(t, g.Pass(t.Context()))
	require.Error(t, g.Pass(ended), "over, though the gate is open")
}
