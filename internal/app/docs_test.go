package app

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/testbed/docstest"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/rebalancer"
	"github.com/shardscaler/shardscaler/scaler"
)

// boundedLabels are those that series may have: their values are few, or as many as there are
// kinds, instances and topics. What a caller, a pod or a resource is called is none of them.
var boundedLabels = []string{
	"api", "apiservice", "certificate", "condition", "direction", "door", "kind", "metric", "mode", "ordinal", "outcome", "phase", "reason", "relief", "result",
	"signal", "source", "state", "step", "topic", "verb",
}

// The documentation has every series that is exported, and none has a label whose values are
// unbounded.
func TestMetricsDocumentation(t *testing.T) {
	var want strings.Builder
	want.WriteString("| series | labels | meaning |\n| --- | --- | --- |\n")
	for _, s := range everySeries(t) {
		require.Subset(t, boundedLabels, s.labels, s.name)
		require.NotEmpty(t, s.help, s.name)
		fmt.Fprintf(&want, "| `%s` | %s | %s |\n", s.name, strings.Join(s.labels, ", "), s.help)
	}
	docstest.Table(t, "../../docs/metrics.md", "go test ./internal/app -run TestMetricsDocumentation", want.String())
}

type describedSeries struct {
	name, help string
	labels     []string
}

// everySeries describes what a replica registers, as it does at start, for a kind, and for a term
// of the kind's leader. Nothing answers it.
func everySeries(t *testing.T) []describedSeries {
	t.Helper()
	ports, err := servers.FreePorts(1)
	require.NoError(t, err)
	o := validOptions()
	o.Listen, o.BindAddress, o.SecurePort, o.Kafka = "127.0.0.1:0", "127.0.0.1", ports[0], "127.0.0.1:1"
	o.ZooKeeper, o.MQTT, o.TLSSelfManaged = "127.0.0.1:1", "tcp://127.0.0.1:1", true
	dir := t.TempDir()
	o.CatalogueDSNFile, o.Kubeconfig = filepath.Join(dir, "dsn"), filepath.Join(dir, "kubeconfig")
	require.NoError(t, os.WriteFile(o.CatalogueDSNFile, []byte("postgres://127.0.0.1:1/iota"), 0o600))
	require.NoError(t, os.WriteFile(o.Kubeconfig, []byte(`{"apiVersion":"v1","kind":"Config","clusters":[{"name":"c","cluster":{"server":"http://127.0.0.1:1"}}],`+
		`"contexts":[{"name":"c","context":{"cluster":"c","user":""}}],"current-context":"c"}`), 0o600))
	var all descriptions
	a, err := newApp(t.Context(), o, slog.New(slog.DiscardHandler), &all)
	require.NoError(t, err)
	t.Cleanup(func() {
		a.store.Close()
		a.kube.close()
		a.listener.Close()
	})
	engine := rebalancer.New(rebalancer.Config{Kind: "Thing", Holder: o.PodName}, a.store, a.log, &all)
	scaler.New(scaler.Config{Kind: "Thing"}, engine, a.actuator, a.log, &all)
	slices.SortFunc(all.series, func(a, b describedSeries) int { return strings.Compare(a.name, b.name) })
	return all.series
}

// descriptions is a registry that keeps what collectors say of themselves: one of vectors without
// series would gather nothing.
type descriptions struct{ series []describedSeries }

var (
	descriptionText = regexp.MustCompile(`^Desc\{fqName: (".*?"), help: (".*"), unit: ".*", constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)
	constLabelName  = regexp.MustCompile(`(\w+)="`)
)

func (d *descriptions) Register(c prometheus.Collector) error {
	described := make(chan *prometheus.Desc)
	go func() {
		defer close(described)
		c.Describe(described)
	}()
	for desc := range described {
		parts := descriptionText.FindStringSubmatch(desc.String())
		if parts == nil {
			return fmt.Errorf("read %s", desc)
		}
		s, err := describe(parts)
		if err != nil {
			return fmt.Errorf("read %s: %w", desc, err)
		}
		d.series = append(d.series, s)
	}
	return nil
}

func describe(parts []string) (s describedSeries, err error) {
	name, nameErr := strconv.Unquote(parts[1])
	help, helpErr := strconv.Unquote(parts[2])
	s = describedSeries{name: name, help: help}
	for _, label := range constLabelName.FindAllStringSubmatch(parts[3], -1) {
		s.labels = append(s.labels, label[1])
	}
	if parts[4] != "" {
		s.labels = append(s.labels, strings.Split(parts[4], ",")...)
	}
	return s, errors.Join(nameErr, helpErr)
}

func (d *descriptions) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		if err := d.Register(c); err != nil {
			panic(err)
		}
	}
}

func (d *descriptions) Unregister(prometheus.Collector) bool { return false }
