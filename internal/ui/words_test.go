package ui_test

import (
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEachReasonOfADecisionHasItsWords(t *testing.T) {
	source, err := os.ReadFile("../../scaler/decide/decision.go")
	require.NoError(t, err)
	reasons := regexp.MustCompile(`\bReason = "([a-z-]+)"`).FindAllSubmatch(source, -1)
	require.Greater(t, len(reasons), 20)
	for _, language := range []string{"en", "zh"} {
		catalogue, err := os.ReadFile("src/i18n/" + language + ".ts")
		require.NoError(t, err)
		for _, reason := range reasons {
			require.Contains(t, string(catalogue), "'reason."+string(reason[1])+"':", language)
		}
	}
}
