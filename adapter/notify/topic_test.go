package notify

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The rules are those of MQTT 3.1.1: 1.5.3 and 4.7.
func TestTopicsThatABrokerWouldRefuse(t *testing.T) {
	for _, good := range []string{
		"cm/notify", "/cm/notify", "cm//notify", "cm/notify/", "/", "+", "#", "+/notify", "cm/+", "cm/+/notify", "cm/#", "Größe/Maß",
		"$share/shardscaler/cm/notify", strings.Repeat("x", 65_535),
	} {
		require.NoError(t, CheckTopic(good), "%.40q", good)
	}
	for bad, why := range map[string]string{
		"":                          "want 1 to 65535 bytes, it has 0",
		strings.Repeat("x", 65_536): "want 1 to 65535 bytes, it has 65536",
		"cm/\xff":                   "want UTF-8",
		"cm/\x00":                   "want no control character, it has U+0000",
		"cm/notify\n":               "want no control character, it has U+000A",
		"cm/\u0085":                 "want no control character, it has U+0085",
		"cm/\uffff":                 "want no control character, it has U+FFFF",
		"cm/#/notify":               "# stands for all that follows: want it last, and alone between slashes",
		"cm/#/":                     "want it last",
		"cm#":                       "want it last, and alone",
		"cm/notify#":                "want it last, and alone",
		"cm/notify+":                "+ stands for one level: want it alone between slashes",
		"cm/+x/y":                   "+ stands for one level",
		"++":                        "+ stands for one level",
		"+#":                        "stands for",
	} {
		require.ErrorContains(t, CheckTopic(bad), why, "%.40q", bad)
	}
}
