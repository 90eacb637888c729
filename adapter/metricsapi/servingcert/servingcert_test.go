package servingcert

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	certutil "k8s.io/client-go/util/cert"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// replica is a Keeper with a clock of its own, over a Secret that others may share.
type replica struct {
	*Keeper
	at      time.Time
	changes int
}

// Enqueue implements dynamiccertificates.Listener.
func (r *replica) Enqueue() { r.changes++ }

func newReplica(client kubernetes.Interface) *replica {
	r := &replica{at: start}
	r.Keeper = New(Config{Namespace: "iota", Secret: "cert", Service: "shardscaler-metrics"}, client.CoreV1(),
		func() time.Time { return r.at }, slog.New(slog.NewTextHandler(io.Discard, nil)), prometheus.NewRegistry())
	r.AddListener(r)
	return r
}

// served requires that a caller who trusts bundle takes what is served, at that time, and returns
// the certificate.
func (r *replica) served(t *testing.T, bundle []byte, at time.Time) *x509.Certificate {
	t.Helper()
	certificate, err := tls.X509KeyPair(r.CurrentCertKeyContent())
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(bundle))
	_, err = certificate.Leaf.Verify(x509.VerifyOptions{
		Roots: roots, CurrentTime: at, DNSName: "shardscaler-metrics.iota.svc", KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	require.NoError(t, err)
	return certificate.Leaf
}

func TestReplicasShareOneCertificate(t *testing.T) {
	client := fake.NewClientset()
	a, b := newReplica(client), newReplica(client)
	cert, _ := a.CurrentCertKeyContent()
	require.Nil(t, cert)
	require.Nil(t, a.Bundle())
	require.NoError(t, a.Sync(t.Context()))
	require.NoError(t, b.Sync(t.Context()))
	require.Equal(t, a.Bundle(), b.Bundle())
	require.Equal(t, a.served(t, b.Bundle(), start).SerialNumber, b.served(t, a.Bundle(), start).SerialNumber)
	require.Equal(t, 1, a.changes)
	require.NoError(t, a.Sync(t.Context()))
	require.Equal(t, 1, a.changes, "nothing was due")
	require.InDelta(t, 1, testutil.ToFloat64(a.renewed), 0)
	require.InDelta(t, 0, testutil.ToFloat64(b.renewed), 0)
}

// Twelve years, looked at every ten days: what is served is at all times good for who trusts the
// bundle of now, and for who still has the bundle of the look before.
func TestTwelveYears(t *testing.T) {
	client := fake.NewClientset()
	a, b := newReplica(client), newReplica(client)
	serials := map[string]bool{}
	cas := map[string]bool{}
	require.Nil(t, a.SessionKeys())
	require.NoError(t, a.Sync(t.Context()))
	before, sessions := a.Bundle(), a.SessionKeys()
	for days := 0; days < 12*365; days += 10 {
		now := start.AddDate(0, 0, days)
		a.at, b.at = now, now.Add(time.Minute)
		for _, r := range []*replica{a, b} {
			require.NoError(t, r.Sync(t.Context()))
			leaf := r.served(t, before, r.at)
			require.Equal(t, sessions, r.SessionKeys(), "no session ends")
			r.served(t, r.Bundle(), r.at)
			require.Greater(t, leaf.NotAfter.Sub(r.at), servingValidity/renewShare-11*24*time.Hour, "renewed well before its end")
			serials[leaf.SerialNumber.String()] = true
			certs, err := certutil.ParseCertsPEM(r.Bundle())
			require.NoError(t, err)
			require.LessOrEqual(t, len(certs), 2)
			cas[certs[0].SerialNumber.String()] = true
		}
		require.Equal(t, a.Bundle(), b.Bundle())
		before = b.Bundle()
	}
	require.Len(t, cas, 2, "the CA was renewed once")
	require.Greater(t, len(serials), 60)
	require.Equal(t, len(serials), a.changes)
}

func TestSecretInAnyState(t *testing.T) {
	ours := func(t *testing.T) *corev1.Secret {
		client := fake.NewClientset()
		require.NoError(t, newReplica(client).Sync(t.Context()))
		secret, err := client.CoreV1().Secrets("iota").Get(t.Context(), "cert", metav1.GetOptions{})
		require.NoError(t, err)
		return secret
	}
	for name, tc := range map[string]struct {
		change func(*corev1.Secret)
		error  string
	}{
		"garbled":       {change: func(s *corev1.Secret) { s.Data[certKey] = []byte("garbage") }},
		"another's key": {change: func(s *corev1.Secret) { s.Data[keyKey] = ours(t).Data[keyKey] }},
		"another CA": {change: func(s *corev1.Secret) {
			o := ours(t)
			s.Data[caBundleKey], s.Data[caKey] = o.Data[caBundleKey], o.Data[caKey]
		}},
		"a bad CA behind a good one": {change: func(s *corev1.Secret) {
			bad := "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
			s.Data[caBundleKey] = append(s.Data[caBundleKey], bad...)
		}},
		"empty": {change: func(s *corev1.Secret) { s.Data = nil }},
		"made by others": {
			change: func(s *corev1.Secret) { delete(s.Data, caKey) },
			error:  "keep serving certificate in Secret iota/cert: it holds a certificate that another program made",
		},
	} {
		t.Run(name, func(t *testing.T) {
			secret := ours(t)
			tc.change(secret)
			client := fake.NewClientset(secret.DeepCopy())
			r := newReplica(client)
			err := r.Sync(t.Context())
			if tc.error != "" {
				require.ErrorContains(t, err, tc.error)
				kept, err := client.CoreV1().Secrets("iota").Get(t.Context(), "cert", metav1.GetOptions{})
				require.NoError(t, err)
				require.Equal(t, secret.Data, kept.Data, "it stays as it was")
				return
			}
			require.NoError(t, err)
			r.served(t, r.Bundle(), start)
			require.NoError(t, newReplica(client).Sync(context.Background()), "and the next replica takes what was mended")
		})
	}
}

// A Secret of an older build, and one from which a person has taken the key, get one.
func TestASecretGetsAKeyForSessions(t *testing.T) {
	client := fake.NewClientset()
	a, b := newReplica(client), newReplica(client)
	require.NoError(t, a.Sync(t.Context()))
	first := a.SessionKeys()
	require.Len(t, first, 1)
	require.Len(t, first[0], sessionKeySize)
	secret, err := client.CoreV1().Secrets("iota").Get(t.Context(), "cert", metav1.GetOptions{})
	require.NoError(t, err)
	delete(secret.Data, sessionKey)
	_, err = client.CoreV1().Secrets("iota").Update(t.Context(), secret, metav1.UpdateOptions{})
	require.NoError(t, err)
	for _, r := range []*replica{a, b} {
		require.NoError(t, r.Sync(t.Context()))
	}
	require.NotEqual(t, first, a.SessionKeys())
	require.Equal(t, a.SessionKeys(), b.SessionKeys())
	require.Equal(t, 1, a.changes, "the certificate is as it was")
	require.InDelta(t, 1, testutil.ToFloat64(a.renewed), 0)
	require.InDelta(t, 0, testutil.ToFloat64(b.renewed), 0)
}

// Two years of a Secret that is not written: each replica serves a certificate of its own, good at
// any time, and what another process writes into the Secret is served from then on.
func TestReadOnlyServesItsOwnUntilTheSecretHoldsOne(t *testing.T) {
	client := fake.NewClientset()
	readOnly := func() *replica {
		r := newReplica(client)
		r.cfg.ReadOnly = true
		return r
	}
	a, b := readOnly(), readOnly()
	require.NoError(t, b.Sync(t.Context()))
	require.NoError(t, a.Sync(t.Context()))
	sessions := a.SessionKeys()
	for days := 0; days < 2*365; days += 10 {
		a.at = start.AddDate(0, 0, days)
		require.NoError(t, a.Sync(t.Context()))
		a.served(t, a.Bundle(), a.at)
		require.Equal(t, sessions, a.SessionKeys(), "no session ends")
	}
	require.Greater(t, a.changes, 2, "it was renewed")
	require.NotEqual(t, a.Bundle(), b.Bundle())

	writing := newReplica(client)
	require.NoError(t, writing.Sync(t.Context()))
	require.NoError(t, b.Sync(t.Context()))
	require.Equal(t, writing.Bundle(), b.Bundle())
	require.Equal(t, writing.SessionKeys(), b.SessionKeys())
	for _, action := range client.Actions() {
		require.Contains(t, []string{"get", "create"}, action.GetVerb())
	}
	require.InDelta(t, 0, testutil.ToFloat64(a.renewed), 0)
}
