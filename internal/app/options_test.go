package app

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/config"
)

func validOptions() Options {
	return Options{
		Namespace: "iota", PodName: "shardscaler-0", ConfigMap: "shardscaler",
		ZooKeeper: "zk:2181", ZooKeeperSession: 10 * time.Second, MQTT: "tcp://mqtt:1883", MQTTTopic: "cm/notify", MQTTClientID: "shardscaler", LeaseName: "shardscaler",
		CatalogueDSNFile: "/dsn", Listen: "127.0.0.1:8080", SecurePort: 6443, OldReads: oldReadsOpen,
		TLSSecret: "cert", MetricsService: "shardscaler-metrics", MetricsServicePort: 443,
		LeaderTimeout: 2500 * time.Millisecond, Mode: config.ModeAct,
	}
}

func TestOptionsNameEveryFaultyFlag(t *testing.T) {
	o := validOptions()
	require.NoError(t, o.Validate())
	o.Kafka = "a:9092, [::1]:9092"
	require.NoError(t, o.Validate())
	require.Equal(t, []string{"a:9092", "[::1]:9092"}, o.kafkaBrokers())

	for want, spoil := range map[string]func(*Options){
		"--namespace must be set":                                       func(o *Options) { o.Namespace = "" },
		"--zookeeper must be set":                                       func(o *Options) { o.ZooKeeper = "" },
		"set one of --config-map and --config":                          func(o *Options) { o.ConfigFile = "f" },
		"--tls-cert-file and --tls-private-key-file go together":        func(o *Options) { o.TLSCertFile = "c" },
		"--secure-port 70000: must be between 0 (off) and 65535":        func(o *Options) { o.SecurePort = 70000 },
		"--leader-timeout 1s: must be between 2.5s and 1m":              func(o *Options) { o.LeaderTimeout = time.Second },
		"--leader-timeout 2m0s: must be between 2.5s and 1m":            func(o *Options) { o.LeaderTimeout = 2 * time.Minute },
		`--lease-name "a/b": a lowercase RFC 1123 subdomain must`:       func(o *Options) { o.LeaseName = "a/b" },
		"--zookeeper-tls-cert-file and --zookeeper-tls-key-file go":     func(o *Options) { o.ZooKeeperTLS.KeyFile = "k" },
		`--kafka "kafka": must be host:port,host:port`:                  func(o *Options) { o.Kafka = "kafka" },
		`--kafka "a:9092,": must be host:port,host:port`:                func(o *Options) { o.Kafka = "a:9092," },
		`--kafka "a:9092;b:9092": must be host:port`:                    func(o *Options) { o.Kafka = "a:9092;b:9092" },
		"--kafka-tls-cert-file and --kafka-tls-key-file go":             func(o *Options) { o.KafkaTLS.CertFile = "c" },
		"--kafka-username and --kafka-password-file need":               func(o *Options) { o.KafkaUsername = "u" },
		`--kafka-sasl-mechanism "GSSAPI": must be one of PLAIN, SCRAM-`: func(o *Options) { o.KafkaSASL = "GSSAPI" },
		"--kafka-sasl-mechanism needs --kafka-username":                 func(o *Options) { o.KafkaSASL, o.KafkaTLS.Wanted = "PLAIN", true },
		"--kafka-sasl-mechanism needs --kafka-tls":                      func(o *Options) { o.KafkaSASL = "PLAIN" },
		`--mqtt "mqtt.iota:1883": must be tcp://`:                       func(o *Options) { o.MQTT = "mqtt.iota:1883" },
		`--mqtt "http://mqtt": must be tcp://`:                          func(o *Options) { o.MQTT = "http://mqtt" },
		"--mqtt: not an URL such as":                                    func(o *Options) { o.MQTT = "tcp://u:Pa55word@mqtt:x" },
		"--mqtt: options after a question mark: tcp:// has none":        func(o *Options) { o.MQTT = "tcp://mqtt:1883?clean=Pa55word" },
		"--mqtt: a part that begins with #":                             func(o *Options) { o.MQTT = "ssl://mqtt:1883#Pa55word" },
		`--mqtt: path "/cm/notify": tcp:// has none`:                    func(o *Options) { o.MQTT = "tcp://mqtt:1883/cm/notify" },
		"--mqtt has a user, and so have --mqtt-username":                func(o *Options) { o.MQTT, o.MQTTUsername = "tcp://u:Pa55word@mqtt:1883", "v" },
		`--mqtt-topic: topic "cm/#/notify": # stands for`:               func(o *Options) { o.MQTTTopic = "cm/#/notify" },
		"--mqtt-topic: topic \"\": want 1 to 65535 bytes, it has 0":     func(o *Options) { o.MQTTTopic = "" },
		`--mqtt-topic: topic "cm/notify\n": want no control character`:  func(o *Options) { o.MQTTTopic = "cm/notify\n" },
		"need --mqtt ssl://host:port, not tcp://":                       func(o *Options) { o.MQTTTLS.CAFile = "ca" },
		"--mqtt-tls-cert-file and --mqtt-tls-key-file go":               func(o *Options) { o.MQTT, o.MQTTTLS.KeyFile = "ssl://mqtt", "k" },
		"--zookeeper-session-timeout 2m0s":                              func(o *Options) { o.ZooKeeperSession = 2 * time.Minute },
		"--zookeeper-session-timeout 1ms":                               func(o *Options) { o.ZooKeeperSession = time.Millisecond },
		`--insecure-local: --listen ":8080" must be a loopback address`: func(o *Options) { o.InsecureLocal, o.Listen = true, ":8080" },
		`--tls-self-managed and --tls-cert-file "c": set one`:           func(o *Options) { o.TLSSelfManaged, o.TLSCertFile, o.TLSKeyFile = true, "c", "k" },
		"--tls-self-managed needs --tls-secret and --metrics-service":   func(o *Options) { o.TLSSelfManaged, o.TLSSecret = true, "" },
		"--take-over-apiservices needs --tls-self-managed":              func(o *Options) { o.TakeOverAPIServices = true },
		"--metrics-service-port 0: must be between 1 and 65535": func(o *Options) {
			o.TLSSelfManaged, o.TakeOverAPIServices, o.MetricsServicePort = true, true, 0
		},
	} {
		o := validOptions()
		spoil(&o)
		err := o.Validate()
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "Pa55word")
	}
	local := validOptions()
	local.InsecureLocal = true
	for _, listen := range []string{"127.0.0.1:8080", "[::1]:8080", "localhost:8080", "LOCALHOST:8080"} {
		local.Listen = listen
		require.NoError(t, local.Validate(), listen)
	}
	err := (&Options{}).Validate()
	require.ErrorContains(t, err, "--namespace")
	require.ErrorContains(t, err, "--mqtt", "all faults at once")
}

// Two installations at one broker must not share a session.
func TestTheMQTTClientIDNamesTheInstallation(t *testing.T) {
	o := validOptions()
	require.Equal(t, "shardscaler", o.mqttClientID(), "as it was set")
	o.MQTTClientID = ""
	require.NoError(t, o.Validate())
	require.Equal(t, "shardscaler-iota", o.mqttClientID())
	o.LeaseName = "shardscaler-b"
	require.Equal(t, "shardscaler-b-iota", o.mqttClientID(), "a second installation in one namespace has a Lease of its own")
}
