package product

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestACommitThatTheCloneHasNotIsNamed(t *testing.T) {
	program := filepath.Join(t.TempDir(), "shardscaler")
	absent := strings.Repeat("0", 40)
	err := BuildCommit(t.Context(), absent, program)
	require.ErrorIs(t, err, ErrNoHistory)
	require.ErrorContains(t, err, absent)
	require.NoFileExists(t, program)
}
