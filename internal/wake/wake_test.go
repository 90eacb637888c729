package wake

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestUntilEndsAtTheSameMomentForAll(t *testing.T) {
	hour := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct{ now, every, after, want time.Duration }{
		{0, time.Second, 0, time.Second},
		{time.Millisecond, time.Second, 0, 999 * time.Millisecond},
		{999 * time.Millisecond, time.Second, 0, time.Millisecond},
		{3 * time.Second, 10 * time.Second, 500 * time.Millisecond, 7500 * time.Millisecond},
		{200 * time.Millisecond, 10 * time.Second, 500 * time.Millisecond, 300 * time.Millisecond},
		{500 * time.Millisecond, 10 * time.Second, 500 * time.Millisecond, 10 * time.Second},
	} {
		require.Equal(t, c.want, Until(hour.Add(c.now), c.every, c.after), "%+v", c)
	}
}

func TestWakesBecomeOneToken(t *testing.T) {
	s := New()
	s.Wake()
	s.Wake()
	<-s
	require.Empty(t, s)
	s.Wake()
	require.Len(t, s, 1)
}
