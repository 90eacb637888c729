package app

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/shardscaler/shardscaler/adapter/heartbeat"
	"github.com/shardscaler/shardscaler/adapter/notify"
	"github.com/shardscaler/shardscaler/internal/clienttls"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/samesite"
	"github.com/shardscaler/shardscaler/rebalancer/zk"
)

// Options are the flags: addresses, credentials, identity, which a running server cannot change.
type Options struct {
	Version   string // of this build, for the document of the API
	Namespace string // of the workloads, the ConfigMap and the Lease
	PodName   string // this replica's name in the beat, the head and the events

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

	Listen     string // REST, probes, Prometheus
	Advertise  string // host:port at which other replicas reach Listen; empty: the pod's address is not known, writes are not forwarded
	SecurePort int    // metrics APIs, and the API for operators; 0: not served
	// AdvertiseSecure is the host:port at which other replicas reach SecurePort; empty: the host of
	// Advertise, and SecurePort.
	AdvertiseSecure string
	BindAddress     string // address of SecurePort
	TLSCertFile     string
	TLSKeyFile      string
	TLSSelfManaged  bool   // make and renew the certificate, instead of files
	TLSSecret       string // in which the replicas share it

	SessionKeyFile      string // keys of sessions; empty: in TLSSecret, or made from the certificate's
	MetricsService      string // the Service before SecurePort, as the APIServices name it
	MetricsServicePort  int    // its port, for APIServices that are taken over
	TakeOverAPIServices bool   // change APIServices that lead to another provider

	TokenAudience   string   // what tokens must be for; empty: for the API server
	OldReads        string   // over plain HTTP: one of oldReadsOpen and oldReadsClosed
	PlainHTTPTokens bool     // the old POSTs take a token over plain HTTP
	AllowedHosts    []string // names under which browsers come, beside those of the Services and loopback
	InsecureLocal   bool     // no token is needed over plain HTTP, only on a loopback address

	// Mode is the most that this process does, whatever the mode of a kind. Unless it is ModeAct,
	// the process writes nothing at all: no Event, no beat, no certificate.
	Mode          config.Mode
	LeaderElect   bool
	LeaseName     string        // with Namespace the installation's name: of its beat, and of the Lease by which older builds elect
	LeaderTimeout time.Duration // how long the leader's beat may be the last one
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

func (t *TLS) validate(f *flagFaults, server string) {
	f.when((t.CertFile == "") != (t.KeyFile == ""), "--%[1]s-tls-cert-file and --%[1]s-tls-key-file go together", server)
}

// ConfigKey is the ConfigMap's key that holds the configuration.
const ConfigKey = "config.yaml"

// leastLeaderTimeout makes a beat a second.
const leastLeaderTimeout = 2500 * time.Millisecond

// flagFaults collects what is wrong with the flags.
type flagFaults []error

func (f *flagFaults) add(format string, args ...any) { *f = append(*f, fmt.Errorf(format, args...)) }

// when notes a fault if something is wrong.
func (f *flagFaults) when(wrong bool, format string, args ...any) {
	if wrong {
		f.add(format, args...)
	}
}

// Validate reports all faults at once, each with the flag's name.
func (o *Options) Validate() error {
	var f flagFaults
	f.when(o.Namespace == "", "--namespace must be set")
	f.when(o.PodName == "", "--pod-name must be set")
	f.when(o.ZooKeeper == "", "--zookeeper must be set")
	f.when(o.MQTT == "", "--mqtt must be set")
	f.when(o.CatalogueDSNFile == "", "--catalogue-dsn-file must be set")
	f.when((o.ConfigMap == "") == (o.ConfigFile == ""), "set one of --config-map and --config")
	f.when((o.TLSCertFile == "") != (o.TLSKeyFile == ""), "--tls-cert-file and --tls-private-key-file go together")
	o.ZooKeeperTLS.validate(&f, "zookeeper")
	o.KafkaTLS.validate(&f, "kafka")
	o.MQTTTLS.validate(&f, "mqtt")
	o.validateKafka(&f)
	o.validateMQTT(&f)
	o.validateCertificate(&f)
	f.when(o.SecurePort < 0 || o.SecurePort > 65535, "--secure-port %d: must be between 0 (off) and 65535", o.SecurePort)
	f.when(o.InsecureLocal && !samesite.Loopback(o.Listen),
		"--insecure-local: --listen %q must be a loopback address such as 127.0.0.1:8080", o.Listen)
	f.when(o.OldReads != oldReadsOpen && o.OldReads != oldReadsClosed,
		"--old-reads %q: must be %s or %s", o.OldReads, oldReadsOpen, oldReadsClosed)
	for _, host := range o.AllowedHosts {
		f.when(host == "" || strings.ContainsAny(host, ":/* "), "--allowed-hosts %q: must be names without scheme, port and *", host)
	}
	f.when(!slices.Contains(config.Modes, o.Mode), "--mode %q: must be observe, recommend or act", o.Mode)
	f.when(o.LeaderTimeout < leastLeaderTimeout || o.LeaderTimeout > time.Minute,
		"--leader-timeout %s: must be between %s and 1m", o.LeaderTimeout, leastLeaderTimeout)
	for _, fault := range validation.IsDNS1123Subdomain(o.LeaseName) {
		f.add("--lease-name %q: %s", o.LeaseName, fault)
	}
	f.when(o.ZooKeeperSession < time.Second || o.ZooKeeperSession > time.Minute,
		"--zookeeper-session-timeout %s: must be between 1s and 1m", o.ZooKeeperSession)
	return errors.Join(f...)
}

// Store is how ZooKeeper is reached.
func (o *Options) Store() zk.Config {
	return zk.Config{Servers: o.ZooKeeper, SessionTimeout: o.ZooKeeperSession, AuthFile: o.ZooKeeperAuth, TLS: o.ZooKeeperTLS.files()}
}

// Heartbeats is how Kafka is reached; without Kafka it names no broker.
func (o *Options) Heartbeats() heartbeat.Config {
	c := heartbeat.Config{TLS: o.KafkaTLS.files(), SASL: o.kafkaSASL()}
	if o.Kafka != "" {
		c.Brokers = o.kafkaBrokers()
	}
	return c
}

// Notifications is how the MQTT broker is reached.
func (o *Options) Notifications() notify.Config {
	return notify.Config{
		Broker: o.MQTT, TLS: o.MQTTTLS.files(), ClientID: o.mqttClientID(), Topic: o.MQTTTopic, Username: o.MQTTUsername, PasswordFile: o.MQTTPasswordFile,
	}
}

// CatalogueDSN is the catalogue's address, as the file has it.
func (o *Options) CatalogueDSN() (string, error) {
	text, err := os.ReadFile(o.CatalogueDSNFile)
	if err != nil {
		return "", fmt.Errorf("read --catalogue-dsn-file: %w", err)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

// acts says whether the process may write.
func (o *Options) acts() bool { return o.Mode == config.ModeAct }

// installation names the beat: another one for each installation, also in one ZooKeeper. A namespace
// has no dot.
func (o *Options) installation() string { return o.Namespace + "." + o.LeaseName }

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

func (o *Options) validateKafka(f *flagFaults) {
	f.when(o.Kafka != "" && slices.ContainsFunc(o.kafkaBrokers(), func(broker string) bool {
		host, port, err := net.SplitHostPort(broker)
		return err != nil || host == "" || port == "" || strings.ContainsAny(broker, "/;?# ")
	}), "--kafka %q: must be host:port,host:port", o.Kafka)
	if o.KafkaSASL == "" {
		f.when(o.KafkaUsername != "" || o.KafkaPasswordFile != "", "--kafka-username and --kafka-password-file need --kafka-sasl-mechanism")
		return
	}
	f.when(!slices.Contains(heartbeat.Mechanisms, o.KafkaSASL),
		"--kafka-sasl-mechanism %q: must be one of %s", o.KafkaSASL, strings.Join(heartbeat.Mechanisms, ", "))
	f.when(o.KafkaUsername == "" || o.KafkaPasswordFile == "", "--kafka-sasl-mechanism needs --kafka-username and --kafka-password-file")
	f.when(o.KafkaTLS.files() == nil, "--kafka-sasl-mechanism needs --kafka-tls: the password must not be read on its way")
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

func (o *Options) validateMQTT(f *flagFaults) {
	topic := notify.CheckTopic(o.MQTTTopic)
	f.when(topic != nil, "--mqtt-topic: %w", topic)
	if o.MQTT == "" {
		return // said already
	}
	broker, err := url.Parse(o.MQTT)
	if err != nil { // it has the text, and that may have a password
		f.add("--mqtt: not an URL such as tcp://host:port or ssl://host:port")
		return
	}
	encrypted, known := encryptedMQTT[broker.Scheme]
	if !known {
		f.add("--mqtt %q: must be tcp://host:port or ssl://host:port", broker.Redacted())
		return
	}
	f.when(!encrypted && o.MQTTTLS.files() != nil,
		"--mqtt-tls-ca-file and --mqtt-tls-cert-file need --mqtt ssl://host:port, not %s://", broker.Scheme)
	ws := strings.HasPrefix(broker.Scheme, "ws")
	switch { // what of the address, or beside it, would not count
	case broker.User != nil && (o.MQTTUsername != "" || o.MQTTPasswordFile != ""):
		f.add("--mqtt has a user, and so have --mqtt-username and --mqtt-password-file: set one of them")
	case broker.Fragment != "":
		f.add("--mqtt: a part that begins with #: want none")
	case broker.RawQuery != "" && !ws:
		f.add("--mqtt: options after a question mark: %s:// has none", broker.Scheme)
	case strings.Trim(broker.Path, "/") != "" && !ws && broker.Scheme != "unix":
		f.add("--mqtt: path %q: %s:// has none; the topic is --mqtt-topic", broker.Path, broker.Scheme)
	}
}

func (o *Options) validateCertificate(f *flagFaults) {
	if o.TLSSelfManaged {
		f.when(o.TLSCertFile != "", "--tls-self-managed and --tls-cert-file %q: set one of them", o.TLSCertFile)
		f.when(o.TLSSecret == "" || o.MetricsService == "", "--tls-self-managed needs --tls-secret and --metrics-service")
	}
	f.when(o.TakeOverAPIServices && !o.TLSSelfManaged,
		"--take-over-apiservices needs --tls-self-managed: the caBundle must be known to be taken over as well")
	f.when(o.MetricsServicePort < 0 || o.MetricsServicePort > 65535 || o.TakeOverAPIServices && o.MetricsServicePort == 0,
		"--metrics-service-port %d: must be between 1 and 65535", o.MetricsServicePort)
}

// Values of OldReads.
const oldReadsOpen, oldReadsClosed = "open", "closed"

// secureAddress is where the other replicas reach SecurePort; empty: they cannot.
func (o *Options) secureAddress() string {
	host, _, err := net.SplitHostPort(o.Advertise)
	switch {
	case o.SecurePort == 0:
		return ""
	case o.AdvertiseSecure != "":
		return o.AdvertiseSecure
	case err != nil:
		return ""
	}
	return net.JoinHostPort(host, strconv.Itoa(o.SecurePort))
}

// identity is this replica's name and where the others reach it, as the leader's beat has it. Builds
// that knew no secure port take what follows the @ for the address, and what comes before it for a name.
func (o *Options) identity() string {
	name := o.PodName
	if secure := o.secureAddress(); secure != "" {
		name += "/" + secure
	}
	return name + "@" + o.Advertise
}

// addresses reads an identity. secure is empty for a build that has no secure port.
func addresses(identity string) (secure, plain string) {
	name, plain, _ := strings.Cut(identity, "@")
	_, secure, _ = strings.Cut(name, "/")
	return secure, plain
}

// allowedHosts are the names of the Services, and those that the flag adds.
func (o *Options) allowedHosts() []string {
	names := slices.Clone(o.AllowedHosts)
	for _, domain := range []string{"", "." + o.Namespace, "." + o.Namespace + ".svc", "." + o.Namespace + ".svc.cluster.local"} {
		names = append(names, o.MetricsService+domain)
	}
	return names
}

// secureURL is where people find the secure port: its Service.
func (o *Options) secureURL() string {
	if o.SecurePort == 0 {
		return ""
	}
	host := o.MetricsService + "." + o.Namespace + ".svc"
	if o.MetricsServicePort != 443 {
		host = net.JoinHostPort(host, strconv.Itoa(o.MetricsServicePort))
	}
	return "https://" + host
}
