package app

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/adapter/heartbeat"
	"github.com/shardscaler/shardscaler/adapter/notify"
	"github.com/shardscaler/shardscaler/internal/clienttls"
	"github.com/shardscaler/shardscaler/internal/samesite"
)

// Options are the flags: addresses, credentials, identity, which a running server cannot change.
type Options struct {
	Namespace string // of the workloads, the ConfigMap and the Lease
	PodName   string // this replica's name in the Lease, the head and the events

	ConfigMap  string // name of the ConfigMap; its key is ConfigKey
	ConfigFile string // read instead of the ConfigMap, and again whenever it changes
	Kubeconfig string // empty: the cluster this pod runs in

	ZooKeeper        string // host:port,…[/chroot]
	ZooKeeperAuth    string // file with user:password for digest authentication
	ZooKeeperSession time.Duration
	ZooKeeperTLS     TLS

	Kafka             string // host:port,…; empty only if no kind has a heartbeat
	KafkaTLS          TLS
	KafkaSASL         string // one of heartbeat.Mechanisms; empty: none
	KafkaUsername     string
	KafkaPasswordFile string

	MQTT             string // tcp://host:port or ssl://host:port
	MQTTClientID     string // empty: made of the Lease's name and the namespace, which together are the installation's
	MQTTTopic        string
	MQTTUsername     string
	MQTTPasswordFile string
	MQTTTLS          TLS // for ssl:// and wss://

	CatalogueDSNFile string // file with postgres://…, mysql://… or mariadb://…

	Listen         string // REST, probes, Prometheus
	Advertise      string // host:port at which other replicas reach Listen; empty: the pod's address is not known, writes are not forwarded
	SecurePort     int    // custom metrics API; 0: not served
	BindAddress    string // address of SecurePort
	TLSCertFile    string
	TLSKeyFile     string
	TLSSelfManaged bool   // make and renew the certificate, instead of files
	TLSSecret      string // in which the replicas share it

	MetricsService      string // the Service before SecurePort, as the APIServices name it
	MetricsServicePort  int    // its port, for APIServices that are taken over
	TakeOverAPIServices bool   // change APIServices that lead to another provider

	InsecureLocal bool // POST without a token, only on a loopback address

	DryRun        bool
	LeaderElect   bool
	LeaseName     string
	LeaseDuration time.Duration
	RenewDeadline time.Duration
	RetryPeriod   time.Duration
}

// TLS says how connections to a kind of server are encrypted.
type TLS struct {
	Wanted bool // implied by each of the files
	clienttls.Files
}

// files is nil where TLS is neither wanted nor implied.
func (t *TLS) files() *clienttls.Files {
	if !t.Wanted && t.Files == (clienttls.Files{}) {
		return nil
	}
	return &t.Files
}

// together is an error where one of our certificate and its key is set without the other.
func (t *TLS) together(server string) error {
	if (t.CertFile == "") == (t.KeyFile == "") {
		return nil
	}
	return fmt.Errorf("--%[1]s-tls-cert-file and --%[1]s-tls-key-file go together", server)
}

// ConfigKey is the ConfigMap's key that holds the configuration.
const ConfigKey = "config.yaml"

// Validate reports all faults at once, each with the flag's name.
func (o *Options) Validate() error {
	var errs []error
	require := func(flag, value string) {
		if value == "" {
			errs = append(errs, fmt.Errorf("--%s must be set", flag))
		}
	}
	require("namespace", o.Namespace)
	require("pod-name", o.PodName)
	require("zookeeper", o.ZooKeeper)
	require("mqtt", o.MQTT)
	require("catalogue-dsn-file", o.CatalogueDSNFile)
	if (o.ConfigMap == "") == (o.ConfigFile == "") {
		errs = append(errs, errors.New("set one of --config-map and --config"))
	}
	if (o.TLSCertFile == "") != (o.TLSKeyFile == "") {
		errs = append(errs, errors.New("--tls-cert-file and --tls-private-key-file go together"))
	}
	errs = append(errs, // Join passes over those that are nil
		o.ZooKeeperTLS.together("zookeeper"), o.KafkaTLS.together("kafka"), o.MQTTTLS.together("mqtt"))
	errs = append(errs, o.validateKafka()...)
	errs = append(errs, o.validateMQTT()...)
	errs = append(errs, o.validateCertificate()...)
	if o.SecurePort < 0 || o.SecurePort > 65535 {
		errs = append(errs, fmt.Errorf("--secure-port %d: must be between 0 (off) and 65535", o.SecurePort))
	}
	if o.InsecureLocal && !samesite.Loopback(o.Listen) {
		errs = append(errs, fmt.Errorf("--insecure-local: --listen %q must be a loopback address such as 127.0.0.1:8080", o.Listen))
	}
	if !(o.LeaseDuration > o.RenewDeadline && o.RenewDeadline > o.RetryPeriod && o.RetryPeriod > 0) {
		errs = append(errs, fmt.Errorf("--lease-duration %s, --renew-deadline %s, --retry-period %s: each must be greater than the next, the last greater than 0",
			o.LeaseDuration, o.RenewDeadline, o.RetryPeriod))
	}
	if o.ZooKeeperSession < time.Second || o.ZooKeeperSession > time.Minute {
		errs = append(errs, fmt.Errorf("--zookeeper-session-timeout %s: must be between 1s and 1m", o.ZooKeeperSession))
	}
	return errors.Join(errs...)
}

// mqttClientID is the same for all replicas of an installation, and another one for each
// installation: a broker throws the older of two clients with one id out.
func (o *Options) mqttClientID() string {
	return cmp.Or(o.MQTTClientID, o.LeaseName+"-"+o.Namespace)
}

func (o *Options) kafkaBrokers() []string {
	brokers := strings.Split(o.Kafka, ",")
	for i := range brokers {
		brokers[i] = strings.TrimSpace(brokers[i])
	}
	return brokers
}

func (o *Options) validateKafka() (errs []error) {
	for _, broker := range o.kafkaBrokers() {
		host, port, err := net.SplitHostPort(broker)
		if o.Kafka != "" && (err != nil || host == "" || port == "" || strings.ContainsAny(broker, "/;?# ")) {
			errs = append(errs, fmt.Errorf("--kafka %q: must be host:port,host:port", o.Kafka))
			break
		}
	}
	if o.KafkaSASL == "" {
		if o.KafkaUsername != "" || o.KafkaPasswordFile != "" {
			errs = append(errs, errors.New("--kafka-username and --kafka-password-file need --kafka-sasl-mechanism"))
		}
		return errs
	}
	if !slices.Contains(heartbeat.Mechanisms, o.KafkaSASL) {
		errs = append(errs, fmt.Errorf("--kafka-sasl-mechanism %q: must be one of %s", o.KafkaSASL, strings.Join(heartbeat.Mechanisms, ", ")))
	}
	if o.KafkaUsername == "" || o.KafkaPasswordFile == "" {
		errs = append(errs, errors.New("--kafka-sasl-mechanism needs --kafka-username and --kafka-password-file"))
	}
	if o.KafkaTLS.files() == nil {
		errs = append(errs, errors.New("--kafka-sasl-mechanism needs --kafka-tls: the password must not be read on its way"))
	}
	return errs
}

// kafkaSASL is nil where Kafka is not told who we are.
func (o *Options) kafkaSASL() *heartbeat.SASL {
	if o.KafkaSASL == "" {
		return nil
	}
	return &heartbeat.SASL{Mechanism: o.KafkaSASL, Username: o.KafkaUsername, PasswordFile: o.KafkaPasswordFile}
}

// encryptedMQTT are the schemes of a broker's address; true: they are encrypted.
var encryptedMQTT = map[string]bool{
	"tcp": false, "mqtt": false, "ws": false, "unix": false,
	"ssl": true, "tls": true, "tcps": true, "mqtts": true, "mqtt+ssl": true, "wss": true,
}

func (o *Options) validateMQTT() (errs []error) {
	if err := notify.CheckTopic(o.MQTTTopic); err != nil {
		errs = append(errs, fmt.Errorf("--mqtt-topic: %w", err))
	}
	if o.MQTT == "" {
		return errs // said already
	}
	broker, err := url.Parse(o.MQTT)
	if err != nil { // it has the text, and that may have a password
		return append(errs, errors.New("--mqtt: not an URL such as tcp://host:port or ssl://host:port"))
	}
	encrypted, known := encryptedMQTT[broker.Scheme]
	if !known {
		return append(errs, fmt.Errorf("--mqtt %q: must be tcp://host:port or ssl://host:port", broker.Redacted()))
	}
	if !encrypted && o.MQTTTLS.files() != nil {
		errs = append(errs, fmt.Errorf("--mqtt-tls-ca-file and --mqtt-tls-cert-file need --mqtt ssl://host:port, not %s://", broker.Scheme))
	}
	return append(errs, o.mqttLeavesOut(broker))
}

// mqttLeavesOut is what of the broker's address, or beside it, would not count.
func (o *Options) mqttLeavesOut(broker *url.URL) error {
	ws := strings.HasPrefix(broker.Scheme, "ws")
	switch {
	case broker.User != nil && (o.MQTTUsername != "" || o.MQTTPasswordFile != ""):
		return errors.New("--mqtt has a user, and so have --mqtt-username and --mqtt-password-file: set one of them")
	case broker.Fragment != "":
		return errors.New("--mqtt: a part that begins with #: want none")
	case broker.RawQuery != "" && !ws:
		return fmt.Errorf("--mqtt: options after a question mark: %s:// has none", broker.Scheme)
	case strings.Trim(broker.Path, "/") != "" && !ws && broker.Scheme != "unix":
		return fmt.Errorf("--mqtt: path %q: %s:// has none; the topic is --mqtt-topic", broker.Path, broker.Scheme)
	}
	return nil
}

func (o *Options) validateCertificate() (errs []error) {
	if o.TLSSelfManaged {
		if o.TLSCertFile != "" {
			errs = append(errs, fmt.Errorf("--tls-self-managed and --tls-cert-file %q: set one of them", o.TLSCertFile))
		}
		if o.TLSSecret == "" || o.MetricsService == "" {
			errs = append(errs, errors.New("--tls-self-managed needs --tls-secret and --metrics-service"))
		}
		if o.DryRun {
			errs = append(errs, errors.New("--tls-self-managed writes a Secret and APIServices, --dry-run writes nothing: set one of them"))
		}
	}
	if o.TakeOverAPIServices && !o.TLSSelfManaged {
		errs = append(errs, errors.New("--take-over-apiservices needs --tls-self-managed: the caBundle must be known to be taken over as well"))
	}
	if o.MetricsServicePort < 0 || o.MetricsServicePort > 65535 || o.TakeOverAPIServices && o.MetricsServicePort == 0 {
		errs = append(errs, fmt.Errorf("--metrics-service-port %d: must be between 1 and 65535", o.MetricsServicePort))
	}
	return errs
}

// identity is this replica's name in the Lease: the pod, and where the others reach it.
func (o *Options) identity() string { return o.PodName + "@" + o.Advertise }
