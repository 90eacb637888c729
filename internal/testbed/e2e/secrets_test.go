package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// canary begins each secret of this test.
const canary = "c4nary-"

// TestNoSecretIsTold gives the product a secret of each sort, in files, some that count and some that
// are refused, has a person change something, and looks for them in all that it says.
func TestNoSecretIsTold(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(canary+name), 0o600))
		return path
	}
	auth := filepath.Join(dir, "zookeeper")
	require.NoError(t, os.WriteFile(auth, []byte("shardscaler:"+canary+"zookeeper"), 0o600))
	w := startBeside(t, func(_ *servers.Env, o *product.Options) {
		o.SelfManagedCert = true
		o.ServerFlags = []string{
			"--log-level=debug", "--zookeeper-auth-file", auth,
			"--mqtt-username=shardscaler", "--mqtt-password-file", file("mqtt"),
			"--kafka-tls", "--kafka-sasl-mechanism=PLAIN", "--kafka-username=shardscaler", "--kafka-password-file", file("kafka"), // no broker takes it
		}
	})
	token, err := w.OperatorToken(t.Context())
	require.NoError(t, err)
	w.leader()
	v := w.Servers[0]
	require.NoError(t, v.REST(t.Context(), http.MethodPost, "/v1/api/kinds/Thing/pause", token, map[string]any{}, nil))

	// the database's is renewed, with one that the database refuses
	address, err := url.Parse(w.Catalogue.ReaderURL)
	require.NoError(t, err)
	password, _ := address.User.Password()
	address.User = url.UserPassword(address.User.Username(), canary+"catalogue")
	require.NoError(t, os.WriteFile(filepath.Join(w.Dir, "catalogue-dsn"), []byte(address.String()), 0o600))
	w.until("the database refuses the new password", func(ctx context.Context) error {
		ready, err := v.Text(ctx, "/v1/api/snapshot")
		if err == nil && !strings.Contains(ready, "password authentication failed") {
			err = errors.New("it does not yet")
		}
		return err
	})

	said := map[string]string{}
	for _, path := range []string{"/readyz", "/livez", "/metrics", "/v1/api/snapshot", "/v1/api/orchestrations/Thing", "/v1/api/orchestrations/Thing/decision"} {
		said[path], err = v.Text(t.Context(), path)
		require.NoError(t, err)
	}
	for _, path := range []string{"", "/config", "/history", "/overrides", "/instances"} {
		var document any
		require.NoError(t, v.REST(t.Context(), http.MethodGet, "/v1/api/kinds/Thing"+path, token, nil, &document))
		said["kinds/Thing"+path] = jsonOf(t, document)
	}
	log, err := os.ReadFile(v.Log)
	require.NoError(t, err)
	said["log"] = string(log)
	require.Contains(t, said["log"], "audit", "a change was made")
	events, err := w.Events(t.Context())
	require.NoError(t, err)
	said["events"] = jsonOf(t, events)
	for where, words := range said {
		require.NotContains(t, words, canary, where)
		require.NotContains(t, words, token, where)
		require.NotContains(t, words, ":"+password+"@", where)
	}
}

func jsonOf(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	require.NoError(t, err)
	return string(text)
}
