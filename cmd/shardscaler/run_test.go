package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/config"
)

func TestTheModeIsTheMostCautiousOfWhatIsAskedFor(t *testing.T) {
	for _, c := range []struct {
		flag     string
		dryRun   bool
		disabled string
		want     config.Mode
	}{
		{"act", false, "", config.ModeAct},
		{"act", true, "", config.ModeRecommend},
		{"act", false, "writes", config.ModeRecommend},
		{"observe", true, "writes", config.ModeObserve},
		{"recommend", false, "", config.ModeRecommend},
	} {
		mode, err := modeOf(c.flag, c.dryRun, c.disabled)
		require.NoError(t, err)
		require.Equal(t, c.want, mode, "%+v", c)
	}
	_, err := modeOf("dream", false, "")
	require.EqualError(t, err, `--mode "dream": must be observe, recommend or act`)
	_, err = modeOf("act", false, "write")
	require.EqualError(t, err, `SHARDSCALER_DISABLE="write": can only be writes, or empty`)
}
