package access

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/testbed/servers/certs"
)

// installation is a certificate that replicas share, and can renew.
type installation struct{ cert, key []byte }

func newInstallation(t testing.TB) *installation {
	t.Helper()
	i := &installation{}
	i.renew(t)
	return i
}

func (i *installation) renew(t testing.TB) {
	t.Helper()
	files, err := certs.Write(t.TempDir(), "shardscaler")
	require.NoError(t, err)
	i.cert, err = os.ReadFile(files.ServerCert)
	require.NoError(t, err)
	i.key, err = os.ReadFile(files.ServerKey)
	require.NoError(t, err)
}

func (i *installation) read() (cert, key []byte, err error) { return i.cert, i.key, nil }

// leads serves the secure door of a replica, and answers with who calls.
func leads(t *testing.T, peers *Peers, cert, key []byte) *httptest.Server {
	t.Helper()
	pair, err := tls.X509KeyPair(cert, key)
	require.NoError(t, err)
	guard := New(Config{Namespace: "iota"}, nil, peers, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	s := httptest.NewUnstartedServer(guard.Secure(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := from(r.Context())
		_ = json.NewEncoder(w).Encode(map[string]any{"user": c.user.Name, "door": c.door, "source": c.source, "vouched": c.vouched, "token": r.Header.Get("Authorization")})
	})))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// passOn is what a replica does for ann, who has come through the API server.
func passOn(t *testing.T, client http.RoundTripper, url string) (int, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer anns-token")
	req.Header.Set("Origin", "https://scaler.example.com") // of the page that ann has open
	Vouch(with(t.Context(), &caller{user: User{Name: "ann", Groups: []string{"ops"}}, door: Aggregated, source: "10.0.0.7:1"}), req)
	resp, err := client.RoundTrip(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text), nil
}

func TestReplicasKnowEachOtherByTheirCertificate(t *testing.T) {
	ours, theirs := newInstallation(t), newInstallation(t)
	leader := leads(t, NewPeers(ours.read), ours.cert, ours.key)

	status, text, err := passOn(t, NewPeers(ours.read).Transport(), leader.URL)
	require.NoError(t, err)
	require.Equal(t, 200, status, text)
	require.JSONEq(t, `{"user":"ann","door":"aggregated","source":"10.0.0.7:1","vouched":true,"token":""}`, text)

	_, _, err = passOn(t, NewPeers(theirs.read).Transport(), leader.URL)
	require.ErrorContains(t, err, "not that of this installation", "what has taken over the leader's address gets nothing")

	for name, certificates := range map[string][]tls.Certificate{"nothing": nil, "another certificate": {pairOf(t, theirs)}} {
		stranger := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: certificates}} //nolint:gosec // an attacker's
		status, text, err = passOn(t, stranger, leader.URL)
		require.NoError(t, err, name)
		require.Equal(t, http.StatusServiceUnavailable, status, text)
		require.Contains(t, text, "no replica of this installation", name)
	}
}

func pairOf(t *testing.T, i *installation) tls.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(i.cert, i.key)
	require.NoError(t, err)
	return pair
}

// One replica reads a renewed certificate before the other does.
func TestARenewedCertificateKeepsReplicasTogether(t *testing.T) {
	old := newInstallation(t)
	renewed := &installation{cert: old.cert, key: old.key}
	peers := NewPeers(renewed.read)
	before := leads(t, peers, old.cert, old.key)
	status, text, err := passOn(t, NewPeers(old.read).Transport(), before.URL)
	require.NoError(t, err)
	require.Equal(t, 200, status, text)
	renewed.renew(t)
	status, text, err = passOn(t, NewPeers(old.read).Transport(), before.URL)
	require.NoError(t, err)
	require.Equal(t, 200, status, "it still knows the former one: %s", text)
	status, text, err = passOn(t, peers.Transport(), leads(t, NewPeers(old.read), old.cert, old.key).URL)
	require.NoError(t, err, "and who serves the former one")
	require.Equal(t, http.StatusServiceUnavailable, status, "which is asked again in a moment: %s", text)
}

// BenchmarkKnowAReplica is what each vouched request costs beside its handshake.
func BenchmarkKnowAReplica(b *testing.B) {
	i := newInstallation(b)
	pair, err := tls.X509KeyPair(i.cert, i.key)
	require.NoError(b, err)
	p := NewPeers(i.read)
	for b.Loop() {
		require.True(b, p.is(pair.Leaf, time.Now()))
	}
}
