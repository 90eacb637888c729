// Package servingcert makes and renews the serving certificate of the metrics APIs.
//
// In: a Secret that all replicas share, and the time. Out: the certificate to serve, which changes
// without a restart, and the CAs to trust. Invariant: what is served is signed by a CA that was
// among them before; a Secret that is not ours (a certificate, no CA key) is never written. The
// Secret holds one key more, which no renewal changes: that of sessions.
//
// pair.go makes certificates, material.go decides what comes next, this file keeps the Secret.
package servingcert

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/shardscaler/shardscaler/adapter/informer"
	"github.com/shardscaler/shardscaler/internal/meter"
)

// Config names the Secret and the Service that callers ask for.
type Config struct {
	Namespace, Secret, Service string
	// ReadOnly: a Secret that should change stays as it is, and each replica serves a certificate of
	// its own, which no APIService trusts.
	ReadOnly bool
}

// Keeper keeps the Secret and what is served from it. It is a
// dynamiccertificates.CertKeyContentProvider and its Notifier.
type Keeper struct {
	cfg     Config
	names   []string // of the certificate
	secrets typedcorev1.SecretInterface
	now     func() time.Time
	log     *slog.Logger
	expires *prometheus.GaugeVec
	renewed prometheus.Counter

	own *material // what ReadOnly has this replica serve; nil: what the Secret holds

	mu        sync.Mutex
	held      *material // nil: none yet
	listeners []dynamiccertificates.Listener
}

// New returns a Keeper that has nothing to serve until Sync succeeded once.
func New(cfg Config, secrets typedcorev1.SecretsGetter, now func() time.Time, log *slog.Logger, reg prometheus.Registerer) *Keeper {
	name := cfg.Service + "." + cfg.Namespace + ".svc"
	in := meter.In(reg)
	return &Keeper{
		cfg: cfg, names: []string{name, name + ".cluster.local"}, secrets: secrets.Secrets(cfg.Namespace), now: now, log: log,
		expires: in.Gauges("shardscaler_serving_cert_expiry_timestamp_seconds",
			"When the self-managed serving certificate, and its CA, expire, in Unix seconds.", "certificate"),
		renewed: in.Counter("shardscaler_serving_cert_renewals_total", "Self-managed certificates and CAs that this replica made."),
	}
}

// Watch calls changed whenever the Secret may have changed.
func (k *Keeper) Watch(changed func()) *informer.Informer {
	cfg := informer.Config{Renew: informer.QuietRenew, Name: k.cfg.Secret, Changed: informer.Calling(changed)}
	return informer.New(cfg, &corev1.Secret{}, k.secrets, k.secrets)
}

// Sync reads the Secret, renews what is due, and serves what it holds. Of two replicas that renew
// at once one wins, and the other takes what that one wrote.
func (k *Keeper) Sync(ctx context.Context) error {
	const tries = 3
	var err error
	for range tries {
		if err = k.sync(ctx); !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("keep serving certificate in Secret %s/%s: %w", k.cfg.Namespace, k.cfg.Secret, err)
	}
	return nil
}

func (k *Keeper) sync(ctx context.Context) error {
	secret, err := k.secrets.Get(ctx, k.cfg.Secret, metav1.GetOptions{})
	missing := apierrors.IsNotFound(err)
	switch {
	case missing:
		secret = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: k.cfg.Secret, Namespace: k.cfg.Namespace}, Type: corev1.SecretTypeTLS}
	case err != nil:
		return err
	}
	next, why, err := k.next(secret.Data)
	if err != nil {
		return err
	}
	fresh := why != ""
	if next.session = secret.Data[sessionKey]; len(next.session) < sessionKeySize {
		next.session = newSessionKey()
		why = cmp.Or(why, "it had no key for sessions")
	}
	if why != "" && k.cfg.ReadOnly {
		return k.serveOwn(next)
	}
	if why != "" {
		secret.Data = next.data()
		if missing {
			_, err = k.secrets.Create(ctx, secret, metav1.CreateOptions{})
		} else {
			_, err = k.secrets.Update(ctx, secret, metav1.UpdateOptions{})
		}
		if err != nil {
			return err
		}
		if fresh {
			k.renewed.Inc()
		}
		k.log.Info("Secret of the serving certificate written", "secret", k.cfg.Secret, "because", why)
	}
	k.own = nil
	k.serve(next)
	return nil
}

// serveOwn serves what the Secret should hold without writing it there: the same until it is due.
func (k *Keeper) serveOwn(next *material) error {
	if k.own != nil {
		renewed, _, err := k.own.renewed(k.names, k.now())
		if err != nil {
			return err
		}
		renewed.session, next = k.own.session, renewed
	}
	k.own = next
	k.serve(next)
	return nil
}

var errForeign = errors.New("it holds a certificate that another program made: delete it, or do without --tls-self-managed")

// next is what the Secret should hold, and why it does not; "": it does.
func (k *Keeper) next(data map[string][]byte) (next *material, why string, err error) {
	if len(data[caKey]) == 0 && len(data[certKey]) > 0 {
		return nil, "", errForeign
	}
	if len(data) == 0 {
		next, err = newMaterial(k.names, k.now())
		return next, "there was none", err
	}
	current, fault := parse(data, k.names)
	if fault != nil {
		next, err = newMaterial(k.names, k.now())
		return next, fault.Error(), err
	}
	return current.renewed(k.names, k.now())
}

// serve takes m into use and tells those who listen if it is news.
func (k *Keeper) serve(m *material) {
	k.expires.WithLabelValues("serving").Set(float64(m.serving.parsed.NotAfter.Unix()))
	k.expires.WithLabelValues("ca").Set(float64(m.ca.parsed.NotAfter.Unix()))
	k.mu.Lock()
	news := k.held == nil || !bytes.Equal(k.held.serving.cert, m.serving.cert)
	k.held = m
	listeners := k.listeners
	k.mu.Unlock()
	if news {
		for _, l := range listeners {
			l.Enqueue()
		}
	}
}

// Bundle is what callers must trust; nil until there is a certificate.
func (k *Keeper) Bundle() []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held == nil {
		return nil
	}
	return k.held.bundle
}

// SessionKeys are what sessions are sealed with; nil until there is a certificate.
func (k *Keeper) SessionKeys() [][]byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held == nil {
		return nil
	}
	return [][]byte{k.held.session}
}

// Name implements dynamiccertificates.CertKeyContentProvider.
func (k *Keeper) Name() string { return "self-managed:" + k.cfg.Namespace + "/" + k.cfg.Secret }

// CurrentCertKeyContent implements dynamiccertificates.CertKeyContentProvider.
func (k *Keeper) CurrentCertKeyContent() (cert, key []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held == nil {
		return nil, nil
	}
	return k.held.serving.cert, k.held.serving.key
}

// AddListener implements dynamiccertificates.Notifier.
func (k *Keeper) AddListener(l dynamiccertificates.Listener) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.listeners = append(k.listeners, l)
}
