package workload

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDefaultLacksOnlyItsAddresses(t *testing.T) {
	cfg := Default()
	require.ErrorContains(t, cfg.Validate(), "zookeeper")
	cfg.ZooKeeper = []string{"127.0.0.1:2181"}
	require.NoError(t, cfg.Validate())
}

func TestValidateReportsEveryFault(t *testing.T) {
	cfg := Default()
	cfg.Namespace = ""
	cfg.Kinds = append(cfg.Kinds, Kind{Name: "Other", StatefulSet: "iota-dac"})
	cfg.Mode, cfg.Fences = "sometimes", true
	cfg.Chroot = "x/"
	cfg.Session, cfg.Beat = time.Millisecond, 0
	cfg.CPU.Base = -1
	err := cfg.Validate()
	for _, want := range []string{
		`namespace ""`, "Other=iota-dac", "zookeeper (none)", "chroot x/", "hand-off sometimes", "fences", "session-timeout 1ms", "beat 0s", "cpu",
	} {
		require.ErrorContains(t, err, want)
	}
}

func TestParseZooKeeper(t *testing.T) {
	for text, want := range map[string]struct {
		servers []string
		chroot  string
	}{
		"a:1":         {[]string{"a:1"}, ""},
		"a:1,b:2":     {[]string{"a:1", "b:2"}, ""},
		"a:1,b:2/x/y": {[]string{"a:1", "b:2"}, "/x/y"},
		"a:1/":        {[]string{"a:1"}, ""},
	} {
		servers, chroot, err := ParseZooKeeper(text)
		require.NoError(t, err, text)
		require.Equal(t, want.servers, servers, text)
		require.Equal(t, want.chroot, chroot, text)
	}
	for _, text := range []string{"", "a:1,", "/x"} {
		_, _, err := ParseZooKeeper(text)
		require.Error(t, err, text)
	}
}

func TestParseKind(t *testing.T) {
	k, err := ParseKind("Thing=iota-dac")
	require.NoError(t, err)
	require.Equal(t, Kind{Name: "Thing", StatefulSet: "iota-dac"}, k)
	for _, text := range []string{"Thing", "=x", "Thing=", "Thing/1=x"} {
		_, err := ParseKind(text)
		require.ErrorContains(t, err, "NAME=STATEFULSET", text)
	}
}
