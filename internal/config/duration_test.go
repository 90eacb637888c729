package config

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDurationsReadAsAPersonWritesThem(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 90 * time.Millisecond: "90ms", 31 * time.Second: "31s", time.Minute: "1m", 330 * time.Second: "5m30s", -time.Minute: "-1m",
		time.Hour: "1h", 65*time.Minute + 10*time.Second: "1h5m", 10 * time.Hour: "10h",
	} {
		require.Equal(t, want, Duration(d).String())
	}
}
