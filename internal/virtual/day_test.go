package virtual

import (
	"testing"
	"time"
	"os"
	"strconv"

	"github.com/stretchr/testify/require"
)

func num(name string, d int) int { if v, err := strconv.Atoi(os.Getenv(name)); err == nil { return v }; return d }

func TestPrototype(t *testing.T) {
	day, err := NewDay(uint64(num("SEED", 1)), num("N", 20_000), num("I", 20))
	require.NoError(t, err)
	begun := time.Now()
	r, err := day.Run(t.Context(), time.Duration(num("H", 24))*time.Hour)
	t.Log(time.Since(begun), err)
	t.Logf("%+v", r)
}
