package wake

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWakesBecomeOneToken(t *testing.T) {
	s := New()
	s.Wake()
	s.Wake()
	<-s
	require.Empty(t, s)
	s.Wake()
	require.Len(t, s, 1)
}
