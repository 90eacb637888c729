package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/shardscaler/shardscaler/adapter/heartbeat"
	"github.com/shardscaler/shardscaler/internal/app"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/gcpace"
	"github.com/shardscaler/shardscaler/internal/telemetry"
)

func newRunCommand() *cobra.Command {
	var o app.Options
	var level, format, mode string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the server: scaler, rebalancer and metrics adapter",
		Long: `Runs one replica of the server. Every replica follows and serves; the one that leads also sizes and moves.
What operators tune is in the ConfigMap and takes effect without a restart; the flags are addresses, credentials and identity.
SIGTERM ends it in order, a second one at once; SIGHUP has the configuration be read again.
SHARDSCALER_DISABLE=writes in its environment has it write nothing at all, whatever the flags and the configuration say.
GOGC, if set, overrides its own setting of the garbage collector.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := telemetry.NewLogger(cmd.ErrOrStderr(), level, format)
			if err != nil {
				return err
			}
			if o.Mode, err = modeOf(mode, dryRun, os.Getenv(disableVariable)); err != nil {
				return err
			}
			gcpace.Start()
			o.Version = version
			oneConfiguration(cmd, &o)
			server, err := app.New(cmd.Context(), o, log)
			if err != nil {
				return fmt.Errorf("start: %w", err)
			}
			reload := make(chan os.Signal, 1)
			signal.Notify(reload, syscall.SIGHUP)
			defer signal.Stop(reload)
			return server.Run(cmd.Context(), reload)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	inputFlags(f, &o)
	servingFlags(f, &o)
	f.StringVar(&mode, "mode", string(config.ModeAct), "the most that is done, whatever a kind's mode says: observe, recommend (both write nothing) or act")
	f.BoolVar(&dryRun, "dry-run", false, "")
	_ = f.MarkDeprecated("dry-run", "use --mode=recommend") // it exists
	leaderFlags(f, &o)
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&format, "log-format", "text", "text or json")
	return cmd
}

// oneConfiguration lets a file stand in for the ConfigMap of the default name.
func oneConfiguration(cmd *cobra.Command, o *app.Options) {
	if o.ConfigFile != "" && !cmd.Flags().Changed("config-map") {
		o.ConfigMap = ""
	}
}

// disableVariable is the environment variable with what is switched off: writes, and nothing else so
// far.
const disableVariable = "SHARDSCALER_DISABLE"

// modeOf is the most that the process does. What is asked for in words that are not known is refused:
// it was asked for so that something does not happen.
func modeOf(flag string, dryRun bool, disabled string) (config.Mode, error) {
	mode := config.Mode(flag)
	if !slices.Contains(config.Modes, mode) {
		return "", fmt.Errorf("--mode %q: must be observe, recommend or act", flag)
	}
	switch disabled {
	case "":
	case "writes":
		dryRun = true
	default:
		return "", fmt.Errorf("%s=%q: can only be writes, or empty", disableVariable, disabled)
	}
	if dryRun {
		mode = mode.AtMost(config.ModeRecommend)
	}
	return mode, nil
}

// inputFlags say who this replica is, and where its configuration and its sources are.
func inputFlags(f *pflag.FlagSet, o *app.Options) {
	f.StringVar(&o.Namespace, "namespace", os.Getenv("POD_NAMESPACE"), "namespace of the workloads and the ConfigMap; with --lease-name it names the election (default $POD_NAMESPACE)")
	f.StringVar(&o.PodName, "pod-name", os.Getenv("POD_NAME"), "name of this replica (default $POD_NAME)")
	f.StringVar(&o.ConfigMap, "config-map", "shardscaler", "ConfigMap that holds the configuration under the key "+app.ConfigKey)
	f.StringVar(&o.ConfigFile, "config", "", "file with the configuration, instead of the ConfigMap")
	f.StringVar(&o.Kubeconfig, "kubeconfig", "", "kubeconfig file; empty: the pod's service account")
	f.StringVar(&o.ZooKeeper, "zookeeper", "", "ZooKeeper servers: host:port,host:port[/chroot]")
	f.StringVar(&o.ZooKeeperAuth, "zookeeper-auth-file", "", "file with user:password for ZooKeeper's digest authentication")
	f.BoolVar(&o.ZooKeeperTLS.Wanted, "zookeeper-tls", false, "encrypt connections to ZooKeeper; each of the next three files implies it")
	f.StringVar(&o.ZooKeeperTLS.CAFile, "zookeeper-tls-ca-file", "", "authorities of the servers' certificates (default the system's); read again for every connection, as the next two")
	f.StringVar(&o.ZooKeeperTLS.CertFile, "zookeeper-tls-cert-file", "", "our own certificate, for servers that ask for one")
	f.StringVar(&o.ZooKeeperTLS.KeyFile, "zookeeper-tls-key-file", "", "its private key")
	f.DurationVar(&o.ZooKeeperSession, "zookeeper-session-timeout", 10*time.Second, "session timeout asked of ZooKeeper")
	f.StringVar(&o.Kafka, "kafka", "", "Kafka brokers: host:port,host:port; empty: no kind has heartbeats")
	f.BoolVar(&o.KafkaTLS.Wanted, "kafka-tls", false, "encrypt connections to Kafka; each of the next three files implies it")
	f.StringVar(&o.KafkaTLS.CAFile, "kafka-tls-ca-file", "", "authorities of the brokers' certificates (default the system's); read again for every connection, as the next two")
	f.StringVar(&o.KafkaTLS.CertFile, "kafka-tls-cert-file", "", "our own certificate, for brokers that ask for one")
	f.StringVar(&o.KafkaTLS.KeyFile, "kafka-tls-key-file", "", "its private key")
	f.StringVar(&o.KafkaSASL, "kafka-sasl-mechanism", "", strings.Join(heartbeat.Mechanisms, ", ")+"; needs TLS")
	f.StringVar(&o.KafkaUsername, "kafka-username", "", "Kafka user")
	f.StringVar(&o.KafkaPasswordFile, "kafka-password-file", "", "file with the Kafka password; read again for every connection")
	f.StringVar(&o.MQTT, "mqtt", "", "MQTT broker: tcp://host:port or ssl://host:port")
	f.StringVar(&o.MQTTClientID, "mqtt-client-id", "", "client id of the persistent MQTT session, the same for all replicas (default: --lease-name and --namespace, joined by -)")
	f.StringVar(&o.MQTTTopic, "mqtt-topic", "cm/notify", "MQTT topic of change notifications")
	f.StringVar(&o.MQTTUsername, "mqtt-username", "", "MQTT user")
	f.StringVar(&o.MQTTPasswordFile, "mqtt-password-file", "", "file with the MQTT password")
	f.StringVar(&o.MQTTTLS.CAFile, "mqtt-tls-ca-file", "", "authorities of the broker's certificate (default the system's), for ssl://; read again for every connection, as the next two")
	f.StringVar(&o.MQTTTLS.CertFile, "mqtt-tls-cert-file", "", "our own certificate, for a broker that asks for one")
	f.StringVar(&o.MQTTTLS.KeyFile, "mqtt-tls-key-file", "", "its private key")
	f.StringVar(&o.CatalogueDSNFile, "catalogue-dsn-file", "", "file with the catalogue's address: postgres://…, mysql://… or mariadb://…")
}

// servingFlags say where this replica serves, and whom.
func servingFlags(f *pflag.FlagSet, o *app.Options) {
	f.StringVar(&o.Listen, "listen", ":8080", "address of the REST API, the probes and /metrics")
	f.StringVar(&o.Advertise, "advertise", advertised(), "host:port at which the other replicas reach --listen (default $POD_IP:8080)")
	f.StringVar(&o.BindAddress, "bind-address", "0.0.0.0", "address of --secure-port")
	f.IntVar(&o.SecurePort, "secure-port", 6443, "port of what is served over TLS: the metrics APIs, the REST API with tokens, the aggregated API; 0: not served")
	f.StringVar(&o.AdvertiseSecure, "advertise-secure", "", "host:port at which the other replicas reach --secure-port (default: the host of --advertise, and that port)")
	f.StringVar(&o.TLSCertFile, "tls-cert-file", "", "serving certificate of --secure-port; read again when it changes")
	f.StringVar(&o.TLSKeyFile, "tls-private-key-file", "", "its private key")
	f.BoolVar(&o.TLSSelfManaged, "tls-self-managed", false, "make and renew the serving certificate, and keep the caBundle of the APIServices current")
	f.StringVar(&o.TLSSecret, "tls-secret", "shardscaler-self-managed-cert", "Secret in which the replicas share the self-managed certificate")
	f.StringVar(&o.MetricsService, "metrics-service", "shardscaler-metrics", "Service before --secure-port, as the APIServices name it")
	f.IntVar(&o.MetricsServicePort, "metrics-service-port", 443, "port of that Service, for APIServices that are taken over")
	f.BoolVar(&o.TakeOverAPIServices, "take-over-apiservices", false, "change APIServices that lead to another provider of metrics; without it they are reported and left alone")
	f.StringVar(&o.TokenAudience, "token-audience", "shardscaler", "audience that tokens of the REST API must be for; empty: that of the API server")
	f.StringVar(&o.OldReads, "old-reads", "open", "GET /v1/api/orchestrations/… and /v1/api/snapshot over plain HTTP without a token: open or closed")
	f.BoolVar(&o.PlainHTTPTokens, "plain-http-tokens", false, "let the old POSTs take tokens over plain HTTP, where they can be read on their way, and of the API server's audience")
	f.StringVar(&o.SessionKeyFile, "session-key-file", "", "file of keys for sessions, a line of base64 each: the first seals, each opens; without it they are in --tls-secret, or end with the serving certificate's key")
	f.StringSliceVar(&o.AllowedHosts, "allowed-hosts", nil, "names under which browsers come, such as an ingress's; loopback and the names of the Services are known")
	f.BoolVar(&o.InsecureLocal, "insecure-local", false, "let POST pass without a token; only with a loopback --listen")
}

func leaderFlags(f *pflag.FlagSet, o *app.Options) {
	f.BoolVar(&o.LeaderElect, "leader-elect", true, "take part in leader election; false only where a single replica runs")
	f.DurationVar(&o.LeaderTimeout, "leader-timeout", 2500*time.Millisecond, "how long the others wait for a silent leader, 2.5s to 1m and the same on all replicas; it beats every two fifths of that")
	f.StringVar(&o.LeaseName, "lease-name", "shardscaler", "name of the election in the namespace, and of the Lease by which builds before --leader-timeout elect")
	for _, former := range []string{"lease-duration", "renew-deadline", "retry-period"} {
		f.Duration(former, 0, "")
		_ = f.MarkDeprecated(former, "it has no effect: see --leader-timeout") // it exists
	}
}

// advertised is where the other replicas reach this one, if the pod was told its address.
func advertised() string {
	if ip := os.Getenv("POD_IP"); ip != "" {
		return net.JoinHostPort(ip, "8080")
	}
	return ""
}
