package app

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/testbed/servers/certs"
)

// replicas are two servers that serve one certificate out of files, as a mounted Secret has them.
type replicas struct {
	*testing.T
	dir    string
	served *certs.Files
	both   [2]*doors
}

func openReplicas(t *testing.T, change func(*Options)) *replicas {
	t.Helper()
	r := &replicas{T: t, dir: t.TempDir()}
	r.issue()
	for i := range r.both {
		r.both[i] = openDoors(t, func(o *Options) {
			o.TLSCertFile, o.TLSKeyFile = filepath.Join(r.dir, "tls.crt"), filepath.Join(r.dir, "tls.key")
			change(o)
		})
	}
	r.trust()
	return r
}

// issue puts a new certificate, with a new key, into the files.
func (r *replicas) issue() {
	r.Helper()
	files, err := certs.Write(r.TempDir(), "shardscaler")
	require.NoError(r, err)
	r.served = files
	for from, to := range map[string]string{files.ServerKey: "tls.key", files.ServerCert: "tls.crt"} {
		text, err := os.ReadFile(from)
		require.NoError(r, err)
		require.NoError(r, os.WriteFile(filepath.Join(r.dir, to+".new"), text, 0o600))
		require.NoError(r, os.Rename(filepath.Join(r.dir, to+".new"), filepath.Join(r.dir, to)))
	}
}

func (r *replicas) trust() {
	for _, d := range r.both {
		d.trusted.AppendCertsFromPEM(r.served.CA)
	}
}

// rotate renews the certificate, and returns when both serve it.
func (r *replicas) rotate() {
	r.Helper()
	r.issue()
	r.trust()
	want, err := tls.LoadX509KeyPair(r.served.ServerCert, r.served.ServerKey)
	require.NoError(r, err)
	for _, d := range r.both {
		require.Eventually(r, func() bool {
			conn, err := tls.Dial("tcp", d.secure, &tls.Config{RootCAs: d.trusted, ServerName: "localhost", MinVersion: tls.VersionTLS12})
			if err != nil {
				return false
			}
			defer conn.Close()
			return conn.ConnectionState().PeerCertificates[0].Equal(want.Leaf)
		}, 90*time.Second, 10*time.Millisecond)
	}
}

// begin signs in at one of them, and returns the cookie.
func (r *replicas) begin(d *doors) string {
	r.Helper()
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, "https://"+d.secure+"/v1/api/session", nil)
	require.NoError(r, err)
	req.Header.Set("Authorization", "Bearer operator")
	resp, err := d.client("127.0.0.9").Do(req)
	require.NoError(r, err)
	defer resp.Body.Close()
	require.Equal(r, http.StatusOK, resp.StatusCode)
	require.Len(r, resp.Cookies(), 1)
	return resp.Cookies()[0].Name + "=" + resp.Cookies()[0].Value
}

// answers is what each of them says to a session.
func (r *replicas) answers(session string) (statuses [2]int) {
	r.Helper()
	for i, d := range r.both {
		status, _, err := d.call(http.MethodGet, "https://"+d.secure+"/v1/api/kinds", nil, "Cookie", session)
		require.NoError(r, err)
		statuses[i] = status
	}
	return statuses
}

// A session outlives any number of serving certificates, and counts at each replica.
func TestASessionOutlivesCertificates(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "session-keys")
	require.NoError(t, os.WriteFile(keys, fmt.Appendln(nil, base64.StdEncoding.EncodeToString(make([]byte, 32))), 0o600))
	r := openReplicas(t, func(o *Options) { o.SessionKeyFile = keys })
	first := r.begin(r.both[0])
	for range 2 {
		require.Equal(t, [2]int{200, 200}, r.answers(first))
		r.rotate()
	}
	require.Equal(t, [2]int{200, 200}, r.answers(first))
	require.Equal(t, [2]int{200, 200}, r.answers(r.begin(r.both[1])))
}

// Without a key of their own, sessions count beside one newer certificate, and not beside two.
func TestASessionOfTheCertificateEndsWithIt(t *testing.T) {
	r := openReplicas(t, func(*Options) {})
	session := r.begin(r.both[0])
	require.Equal(t, [2]int{200, 200}, r.answers(session))
	r.rotate()
	require.Equal(t, [2]int{200, 200}, r.answers(session))
	r.rotate()
	require.Equal(t, [2]int{401, 401}, r.answers(session))
}
