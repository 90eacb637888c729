package access

import (
	"bytes"
	"encoding/base64"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

// keyOf is a line of a key file.
func keyOf(b byte) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32)) }

// keyFile is one whose content can be replaced, as Kubernetes does it.
type keyFile struct {
	*testing.T
	path string
}

func newKeyFile(t *testing.T, lines ...string) keyFile {
	t.Helper()
	f := keyFile{t, filepath.Join(t.TempDir(), "keys")}
	f.write(lines...)
	return f
}

func (f keyFile) write(lines ...string) {
	f.Helper()
	require.NoError(f, os.WriteFile(f.path+".new", []byte(strings.Join(lines, "\n")), 0o600))
	require.NoError(f, os.Rename(f.path+".new", f.path))
}

// Keys are rotated without a session's end: the new key joins, and seals when all replicas have it.
func TestKeysOfSessionsRotate(t *testing.T) {
	file, now := newKeyFile(t, keyOf(1)), time.Unix(1_000_000, 0)
	guard := func() *Guard {
		keys, err := OpenKeyFile(file.path, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		return New(Config{SessionKeys: keys.Keys}, nil, NewPeers(newInstallation(t).read), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	}
	one, other := guard(), guard()
	begin := func() string {
		cookie, _, err := one.Begin("opaque", now)
		require.NoError(t, err)
		return CookieName + "=" + cookie.Value
	}
	opens := func(header string) error {
		_, err := other.session(header, now)
		return err
	}
	first := begin()
	require.NoError(t, opens(first), "the certificates of the two differ: the key counts")
	file.write(keyOf(1), keyOf(2))
	require.NoError(t, opens(first))
	file.write("", keyOf(2), "  "+keyOf(1), "")
	second := begin()
	require.NoError(t, opens(first))
	file.write(keyOf(2))
	require.NoError(t, opens(second))
	require.ErrorIs(t, opens(first), errNoSession, "a key that is gone opens nothing")
}

// Sessions that were sealed with the certificate's key are not lost when there is a key file.
func TestASessionOfTheCertificateOpensBesideAKeyFile(t *testing.T) {
	i, now := newInstallation(t), time.Unix(1_000_000, 0)
	cookie, _, err := sessionsOf(t, i).Begin("opaque", now)
	require.NoError(t, err)
	g := sessionsOf(t, i)
	g.SessionKeys = func() [][]byte { return [][]byte{bytes.Repeat([]byte{7}, 32)} }
	_, err = g.session(CookieName+"="+cookie.Value, now)
	require.NoError(t, err)
}

func TestABadKeyFile(t *testing.T) {
	for name, content := range map[string]string{
		"empty": "", "short": "c2hvcnQ=", "no base64": strings.Repeat("*", 44), "one of two": keyOf(1) + "\nsecret", "huge": strings.Repeat(keyOf(1)+"\n", 100),
	} {
		file := newKeyFile(t, content)
		_, err := OpenKeyFile(file.path, slog.New(slog.DiscardHandler))
		require.ErrorContains(t, err, "read --session-key-file: ", name)
		require.NotContains(t, err.Error(), "secret")

		log := &strings.Builder{}
		file.write(keyOf(1))
		keys, err := OpenKeyFile(file.path, slog.New(slog.NewTextHandler(log, nil)))
		require.NoError(t, err)
		file.write(content)
		for range 3 {
			require.Len(t, keys.Keys(), 1, "the former keys stay")
		}
		require.Equal(t, 1, strings.Count(log.String(), "the former ones stay"), log.String())
		require.NoError(t, os.Remove(file.path))
		for range 3 {
			require.Len(t, keys.Keys(), 1)
		}
		require.Equal(t, 2, strings.Count(log.String(), "the former ones stay"), log.String())
		file.write(keyOf(2), keyOf(3))
		require.Len(t, keys.Keys(), 2, "it is read again")
	}
}
