package servingcert

import (
	"testing"
)

// A Secret can hold anything: it is refused, or it is one that can be served and renewed.
func FuzzParse(f *testing.F) {
	names := []string{"shardscaler-metrics.iota.svc"}
	good, err := newMaterial(names, start)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good.serving.cert, good.serving.key, good.bundle, good.ca.key)
	f.Add(good.serving.cert, good.ca.key, good.bundle, good.serving.key)
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), []byte(nil), []byte("x"))
	f.Add(append(good.bundle, good.serving.cert...), good.serving.key, append(good.serving.cert, good.bundle...), good.ca.key)
	f.Fuzz(func(t *testing.T, cert, key, bundle, caPrivate []byte) {
		m, err := parse(map[string][]byte{certKey: cert, keyKey: key, caBundleKey: bundle, caKey: caPrivate}, names)
		if err != nil {
			return
		}
		next, _, err := m.renewed(names, start)
		if err != nil {
			t.Fatal(err)
		}
		if err := next.trusted(start); err != nil {
			t.Fatalf("what follows is not trusted: %v", err)
		}
	})
}
