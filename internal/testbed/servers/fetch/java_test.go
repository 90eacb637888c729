package fetch

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// onPath makes these scripts, by name, the only programs on PATH.
func onPath(t *testing.T, scripts map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, script := range scripts {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755))
	}
	t.Setenv("PATH", dir)
	t.Setenv("JAVA_HOME", "")
	return dir
}

func TestMissingJavaIsToldWithTheCommandThatHelps(t *testing.T) {
	for _, test := range []struct {
		name    string
		scripts map[string]string
		want    string
	}{
		{"no package manager", nil, "install a JDK 17 and Maven and put java and mvn on PATH"},
		{"dnf", map[string]string{"dnf": ""}, "found: none; install it with: sudo dnf install -y java-17-openjdk-devel maven"},
		{"Maven is there", map[string]string{"apk": "", "mvn": ""}, "sudo apk add openjdk17"},
		{"too old", map[string]string{"dnf": "", "java": `echo 'openjdk version "11.0.2"' >&2`}, `which says openjdk version "11.0.2"; install it`},
	} {
		t.Run(test.name, func(t *testing.T) {
			onPath(t, test.scripts)
			_, err := Java(t.Context(), NewProgress(nil))
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestMissingJavaIsInstalledWhereThatIsAllowed(t *testing.T) {
	// This release of the system has only a newer JDK, and sudo asks for no password.
	dir := onPath(t, map[string]string{
		"sudo": `case "$*" in "-n true") exit 0;; esac; shift 2; exec "$@"`,
		"apt-get": `here=${0%/*}; echo "$*" >>"$here/log"
case "$*" in
*openjdk-17*) echo "no such package"; exit 100;;
*default-jdk*) printf '#!/bin/sh\necho openjdk version \\"21.0.1\\" >&2\n' >"$here/java"; /bin/chmod +x "$here/java";;
esac`,
	})
	var told bytes.Buffer
	java, err := Java(t.Context(), NewProgress(&told))
	require.NoError(t, err)
	require.Equal(t, filepath.Join(dir, "java"), java)
	require.Contains(t, told.String(), "installing it with: apt-get install -y --no-install-recommends openjdk-17-jdk-headless maven")
	log, err := os.ReadFile(filepath.Join(dir, "log"))
	require.NoError(t, err)
	require.Contains(t, string(log), "default-jdk-headless maven")
}
