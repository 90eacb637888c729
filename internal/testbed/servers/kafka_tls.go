package servers

import (
	"context"
	"crypto/pbkdf2"
	"errors"
	"fmt"
	"net"
	"strconv"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl/scram"
)

// SecureKafka is a broker that also has listeners for TLS.
type SecureKafka struct {
	*Kafka
	TLS  string // host:port at which clients are known by their certificates
	SASL string // host:port at which clients are known by User and Password: PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512
	*Certificates
	User, Password string
}

// kafkaTLSConfig is what the listeners need.
const kafkaTLSConfig = `listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL
ssl.keystore.type=PEM
ssl.keystore.location=%[1]s
ssl.truststore.type=PEM
ssl.truststore.location=%[2]s
listener.name.ssl.ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_%[3]s="%[4]s";
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
`

// NewSecureKafka starts a broker for this test alone.
func (e *Env) NewSecureKafka(t testing.TB) *SecureKafka {
	t.Helper()
	k := startFor(t, func(ctx context.Context) (*SecureKafka, error) { return e.startSecureKafka(ctx, uniqueName(t)) })
	t.Cleanup(func() { stopAfter(t, k.Kill) })
	return k
}

func (e *Env) startSecureKafka(ctx context.Context, name string) (*SecureKafka, error) {
	certs, ports, err := e.newSecure(name, "kafka", 2)
	if err != nil {
		return nil, err
	}
	addr := func(port int) string { return net.JoinHostPort("localhost", strconv.Itoa(port)) }
	k := &SecureKafka{TLS: addr(ports[0]), SASL: addr(ports[1]), Certificates: certs, User: "shardscaler", Password: "secret"}
	k.Kafka, err = e.startKafka(ctx, name, kafkaMore{
		listeners: ",SSL://" + k.TLS + ",SASL_SSL://" + k.SASL,
		config:    fmt.Sprintf(kafkaTLSConfig, certs.server, certs.CAFile, k.User, k.Password),
	})
	if err != nil {
		return nil, err
	}
	return k, k.addUser(ctx)
}

// addUser makes the user known to SCRAM.
func (k *SecureKafka) addUser(ctx context.Context) error {
	const salt, iterations = "c2FsdA", 4096
	for mechanism, algorithm := range map[kafka.ScramMechanism]scram.Algorithm{
		kafka.ScramMechanismSha256: scram.SHA256, kafka.ScramMechanismSha512: scram.SHA512,
	} {
		salted, err := pbkdf2.Key(algorithm.Hash, k.Password, []byte(salt), iterations, algorithm.Hash().Size())
		if err != nil {
			return fmt.Errorf("add kafka user: %w", err)
		}
		user := kafka.UserScramCredentialsUpsertion{Name: k.User, Mechanism: mechanism, Iterations: iterations, Salt: []byte(salt), SaltedPassword: salted}
		if err := k.admin(func(client *kafka.Client) error { return alterUser(ctx, client, user) }); err != nil {
			return fmt.Errorf("add kafka user: %w", err)
		}
	}
	return nil
}

func alterUser(ctx context.Context, client *kafka.Client, user kafka.UserScramCredentialsUpsertion) error {
	res, err := client.AlterUserScramCredentials(ctx, &kafka.AlterUserScramCredentialsRequest{
		Upsertions: []kafka.UserScramCredentialsUpsertion{user},
	})
	if err != nil {
		return err
	}
	for _, result := range res.Results {
		err = errors.Join(err, result.Error)
	}
	return err
}
