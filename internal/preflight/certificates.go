package preflight

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	certutil "k8s.io/client-go/util/cert"

	"github.com/shardscaler/shardscaler/internal/kubectl/doctor"
)

// expiresSoon is how long before its end a certificate is a warning.
const expiresSoon = 14 * 24 * time.Hour

// certificates reads the files that the flags name.
func (l *look) certificates(_ context.Context, f *findings) {
	name := l.MetricsService + "." + l.Namespace + ".svc"
	switch {
	case l.SecurePort == 0:
	case l.TLSSelfManaged:
		f.add("serving certificate", doctor.OK, "", "the server makes it and keeps it in Secret %s/%s", l.Namespace, l.TLSSecret)
	case l.TLSCertFile == "":
		f.add("serving certificate", doctor.Warning, "set --tls-self-managed, or --tls-cert-file and --tls-private-key-file", "none is named: callers are served one that no authority has signed")
	default:
		l.pair(f, "serving certificate", "--tls-cert-file", l.TLSCertFile, l.TLSKeyFile, name)
	}
	for _, of := range []struct {
		server string
		ca     string
		cert   string
		key    string
	}{
		{"zookeeper", l.ZooKeeperTLS.CAFile, l.ZooKeeperTLS.CertFile, l.ZooKeeperTLS.KeyFile},
		{"kafka", l.KafkaTLS.CAFile, l.KafkaTLS.CertFile, l.KafkaTLS.KeyFile},
		{"mqtt", l.MQTTTLS.CAFile, l.MQTTTLS.CertFile, l.MQTTTLS.KeyFile},
	} {
		if of.ca != "" {
			l.authorities(f, "--"+of.server+"-tls-ca-file", of.ca)
		}
		if of.cert != "" {
			flag := "--" + of.server + "-tls-cert-file"
			l.pair(f, flag, flag, of.cert, of.key, "")
		}
	}
}

// pair looks at a certificate and its key; name is whose it must be, "" that does not count.
func (l *look) pair(f *findings, check, flag, certFile, keyFile, name string) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		f.add(check, doctor.Critical, "correct the files of "+flag+" and of its key", "%v", err)
		return
	}
	if name != "" {
		if err := pair.Leaf.VerifyHostname(name); err != nil {
			f.add(check, doctor.Critical, "make one that is for "+name, "%v", err)
			return
		}
	}
	l.expiry(f, check, pair.Leaf)
}

func (l *look) authorities(f *findings, flag, file string) {
	text, err := os.ReadFile(file)
	var all []*x509.Certificate
	if err == nil {
		all, err = certutil.ParseCertsPEM(text)
	}
	if err != nil {
		f.add(flag, doctor.Critical, "correct the file", "%s: %v", file, err)
		return
	}
	longest := all[0]
	for _, c := range all {
		if c.NotAfter.After(longest.NotAfter) {
			longest = c
		}
	}
	l.expiry(f, flag, longest)
}

func (l *look) expiry(f *findings, check string, c *x509.Certificate) {
	of := fmt.Sprintf("%s, valid from %s to %s", c.Subject, c.NotBefore.UTC().Format(time.DateTime), c.NotAfter.UTC().Format(time.DateTime))
	switch {
	case l.Now.After(c.NotAfter):
		f.add(check, doctor.Critical, "renew it", "it has expired: %s", of)
	case l.Now.Before(c.NotBefore):
		f.add(check, doctor.Critical, "correct the clock, or make another one", "it is not valid yet: %s", of)
	case l.Now.After(c.NotAfter.Add(-expiresSoon)):
		f.add(check, doctor.Warning, "renew it", "it expires soon: %s", of)
	default:
		f.add(check, doctor.OK, "", "%s", of)
	}
}
