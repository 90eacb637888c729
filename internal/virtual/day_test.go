package virtual

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPrototype(t *testing.T) {
	day, err := NewDay(1, 20_000, 100)
	require.NoError(t, err)
	begun := time.Now()
	r, err := day.Run(t.Context(), 4*time.Hour)
	t.Log(time.Since(begun), err)
	t.Logf("%+v", r)
}
