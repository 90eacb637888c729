package preflight

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"

	zookeeper "github.com/go-zookeeper/zk"

	"github.com/shardscaler/shardscaler/adapter/catalog"
	"github.com/shardscaler/shardscaler/adapter/heartbeat"
	"github.com/shardscaler/shardscaler/adapter/notify"
	"github.com/shardscaler/shardscaler/internal/kubectl/doctor"
	"github.com/shardscaler/shardscaler/rebalancer/zk"
)

// Versions that the tests run with. Another one is told as such, and is no fault.
var (
	testedZooKeeper = []string{"3.9"}
	testedDatabases = []string{"PostgreSQL 15", "10.11"} // the latter is MariaDB's
)

// tested says of a version whether one of these begins it, up to a dot or its end.
func tested(version string, by []string) bool {
	return slices.ContainsFunc(by, func(known string) bool {
		rest, is := strings.CutPrefix(version, known)
		return is && (rest == "" || strings.ContainsAny(rest[:1], ". -"))
	})
}

func (l *look) zooKeeper(ctx context.Context, f *findings) {
	const check = "ZooKeeper"
	seen, err := zk.Probe(ctx, l.Store())
	up := 0
	for _, s := range seen.Servers {
		switch of := check + " " + s.Address; {
		case errors.Is(s.Trouble, zk.ErrNoWord):
			up++
			f.add(of, doctor.Info, "", "its version is not known: %v", s.Trouble)
		case s.Trouble != nil:
			f.add(of, doctor.Warning, "start it, or correct --zookeeper and the network between", "it cannot be reached: %v", s.Trouble)
		case s.Mode == "":
			f.add(of, doctor.Warning, "look at the other servers: it is in no quorum", "version %s, in no quorum", s.Version)
		case !tested(s.Version, testedZooKeeper):
			up++
			f.add(of, doctor.Info, "", "version %s, %s; the tests run with %s", s.Version, s.Mode, strings.Join(testedZooKeeper, ", "))
		default:
			up++
			f.add(of, doctor.OK, "", "version %s, %s", s.Version, s.Mode)
		}
	}
	where := seen.Chroot + "/"
	switch {
	case err != nil:
		f.add(check, doctor.Critical, cureOfStore(err), "%v", err)
	case up <= len(seen.Servers)/2:
		f.add(check, doctor.Warning, "start the other servers", "%d of %d servers answer: the next that ends takes the quorum", up, len(seen.Servers))
	case !seen.Exists:
		f.add(check, doctor.OK, "", "a session is opened; %s does not exist yet and can be made", where)
	default:
		f.add(check, doctor.OK, "", "a session is opened; znodes can be made below %s", where)
	}
}

func cureOfStore(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "start the servers, or correct --zookeeper, --zookeeper-tls and the network between"
	case errors.Is(err, zookeeper.ErrNoAuth):
		return "correct the file of --zookeeper-auth-file, or the access list of the znode: docs/operating.md, \"ZooKeeper with credentials and TLS\""
	}
	return "docs/operating.md, \"ZooKeeper with credentials and TLS\""
}

func (l *look) kafka(ctx context.Context, f *findings) {
	const check = "Kafka"
	var topics []string
	for _, k := range l.kinds() {
		if k.Heartbeat != nil && !slices.Contains(topics, k.Heartbeat.Topic) {
			topics = append(topics, k.Heartbeat.Topic)
		}
	}
	switch {
	case l.Kafka == "" && len(topics) > 0:
		f.add(check, doctor.Critical, "set --kafka (the chart's value kafka), or take heartbeat out of the configuration", "a kind has heartbeats, and no broker is named")
		return
	case l.Kafka == "":
		f.add(check, doctor.Info, "", "no broker is named: no kind has heartbeats")
		return
	}
	found := map[string]int{}
	missing := map[string]error{}
	for _, b := range heartbeat.Probe(ctx, l.Heartbeats(), topics) {
		if b.Trouble != nil {
			f.add(check+" "+b.Address, doctor.Warning, "start it, or correct --kafka, --kafka-tls and --kafka-sasl-mechanism", "%v", b.Trouble)
			continue
		}
		f.add(check+" "+b.Address, doctor.OK, "", "it answers; request Fetch up to version %d", b.Fetch)
		for topic, n := range b.Partitions {
			found[topic] = n
		}
		for topic, err := range b.Missing {
			missing[topic] = err
		}
	}
	for _, topic := range topics {
		switch n, there := found[topic]; {
		case there:
			f.add(check+" topic "+topic, doctor.OK, "", "partitions: %d", n)
		case missing[topic] != nil:
			f.add(check+" topic "+topic, doctor.Warning, "make it, or correct heartbeat.topic of the kind; until then no instance has a heartbeat", "%v", missing[topic])
		default:
			f.add(check+" topic "+topic, doctor.Critical, "make a broker answer first", "no broker answers")
		}
	}
}

func (l *look) mqtt(ctx context.Context, f *findings) {
	const check = "MQTT"
	broker, err := url.Parse(l.MQTT)
	if err != nil || l.MQTT == "" {
		f.add(check, doctor.Critical, "set --mqtt (the chart's value mqtt)", "no broker is named")
		return
	}
	if err := notify.Probe(ctx, l.Notifications()); err != nil {
		f.add(check+" "+broker.Redacted(), doctor.Critical, "start it, or correct --mqtt, --mqtt-username, --mqtt-password-file and --mqtt-tls-ca-file",
			"%s", strings.ReplaceAll(err.Error(), l.MQTT, broker.Redacted()))
		return
	}
	f.add(check+" "+broker.Redacted(), doctor.OK, "", "it takes a connection")
}

func (l *look) catalogue(ctx context.Context, f *findings) {
	const check = "catalogue"
	dsn, err := l.CatalogueDSN()
	if err != nil {
		f.add(check, doctor.Critical, "make the Secret of the chart's value credentialsSecret, with the entry catalogue-dsn", "%v", err)
		return
	}
	version, wrong, err := catalog.Probe(ctx, dsn, l.kinds())
	if err != nil {
		f.add(check, doctor.Critical, "start the database, or correct the address in the file of --catalogue-dsn-file", "%v", err)
		return
	}
	short, _, _ := strings.Cut(version, " on ")
	status, more := doctor.OK, ""
	if !tested(version, testedDatabases) {
		status, more = doctor.Info, "; the tests run with PostgreSQL 15 and MariaDB 10.11"
	}
	f.add(check, status, "", "it answers, version %s%s", short, more)
	for _, k := range l.kinds() {
		of := "kind " + k.Name + ": catalogue.query"
		if err := wrong[k.Name]; err != nil {
			f.add(of, doctor.Critical, "correct catalogue.query of the kind, or give the user the right to read", "%v", err)
			continue
		}
		f.add(of, doctor.OK, "", "it returns the columns that are needed")
	}
}
