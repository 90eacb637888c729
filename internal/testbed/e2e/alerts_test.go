package e2e

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/shardscaler/shardscaler/dashboards"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// TestWhatIsSeen has a real Prometheus scrape the product: every query of every dashboard and every
// recorded series has numbers, and each alert fires at the fault that it is for, and not before.
// The faults of a stage are brought about together, since each alert waits.
func TestWhatIsSeen(t *testing.T) {
	const rulesSize, rules, few = 4, 240, 1_000
	const fewSize, size = 3, 4 // of the Things
	w, _ := startOnNodes(t, rulesSize, rules, func(env *servers.Env, o *product.Options, k *config.Kind) {
		o.ZooKeeper = env.NewZooKeeper(t, 1)
		k.Max, k.LostNodeGrace = rulesSize, config.Duration(2*time.Second)
		o.Sizes[thingSet] = fewSize
		o.Config.Kinds[0].Init, o.Config.Kinds[0].HandOff = fewSize, config.HandOffAcknowledged
		slowMoves(o.Config)
	})
	p := startPrometheus(w)
	lost := alarm{"ShardscalerInstanceLost", map[string]string{"kind": rule}}
	p.doesNotFire(lost)
	require.NoError(t, w.Control.Fault(t.Context(), rule, 1, "hang", 0))
	w.silenceNode(podName(ruleSet, 1)) // which Kubernetes loses later
	ofThings, ofRules := map[string]string{"kind": thing}, map[string]string{"kind": rule}
	things := product.IDs(3_400, 1)
	require.NoError(t, w.Platform.Import(t.Context(), thing, things, 1))
	w.settled(thing, thingSet, size, len(things))
	p.holdsAScaleDown()

	p.raises("a drain without acknowledgements, too many Rules, an HPA on their StatefulSet", func() {
		require.NoError(t, w.Control.Fault(t.Context(), thing, size-1, "stall", 0))
		require.NoError(t, w.Platform.Remove(t.Context(), thing, things[few:]...))
		require.NoError(t, w.Platform.Publish(t.Context(), product.BulkDeleted(thing, things[few:])))
		w.createHPA(ruleSet, autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "StatefulSet", Name: ruleSet},
			byCPU("10"), autoscalingv2.DisabledPolicySelect)
		require.NoError(t, w.Platform.Import(t.Context(), rule, product.IDs(rulesSize*100, 7), 7))
	},
		alarm{"ShardscalerConflictingHPA", ofRules}, alarm{"ShardscalerTooManyResources", ofRules}, alarm{"ShardscalerResourcesWait", ofRules}, alarm{"ShardscalerDrainStuck", ofThings})
	require.NoError(t, w.Kube.AutoscalingV2().HorizontalPodAutoscalers(w.Namespace).Delete(t.Context(), ruleSet, metav1.DeleteOptions{}))
	require.NoError(t, w.Control.Fault(t.Context(), thing, size-1, "resume", 0))
	w.settled(thing, thingSet, fewSize, few)
	p.showsEverything()

	tree := w.ZooKeeper.Dial(t)
	list := w.Chroot + protocol.ResourcesPath(rule, 0)
	text, _, err := tree.Get(list)
	require.NoError(t, err)
	p.raises("two of three instances without heartbeat, a list that cannot be read", func() {
		for n := range fewSize - 1 {
			require.NoError(t, w.Control.Fault(t.Context(), thing, n, "mute", 0))
		}
		_, err := tree.Set(list, []byte("{"), -1)
		require.NoError(t, err)
	},
		alarm{"ShardscalerStopped", ofRules}, alarm{"ShardscalerRestartsSuspended", ofThings},
		alarm{"ShardscalerInstanceSilent", map[string]string{"kind": thing, "ordinal": "0"}})
	for n := range fewSize - 1 {
		require.NoError(t, w.Control.Fault(t.Context(), thing, n, "unmute", 0))
	}
	p.raises("a size that is set against ours again", func() {
		w.kubectl("scale", "statefulset", thingSet, "--replicas=1")
		w.until("the size is raised again", func(ctx context.Context) error {
			size, err := w.Size(ctx, thingSet)
			if err == nil && size.Spec != fewSize {
				err = errors.New("it is not")
			}
			return err
		})
		w.kubectl("scale", "statefulset", thingSet, "--replicas=1")
	}, alarm{"ShardscalerForeignWriter", ofThings})
	p.awaits("a lost node", lost)
	_, err = tree.Set(list, text, -1)
	require.NoError(t, err)
	p.ends("ShardscalerStopped", "ShardscalerConflictingHPA", "ShardscalerDrainStuck")

	p.raises("no ZooKeeper, and a configuration that is none", func() {
		require.NoError(t, w.ConfigureText(t.Context(), "kinds: {"))
		require.NoError(t, w.ZooKeeper.Kill())
	},
		alarm{"ShardscalerConfigRefused", nil}, alarm{"ShardscalerNoLeader", nil},
		alarm{"ShardscalerSourceStale", map[string]string{"kind": thing, "source": "store"}}, alarm{"ShardscalerBlind", ofThings})
	require.NoError(t, w.ZooKeeper.Start(t.Context()))
	require.NoError(t, w.Configure(t.Context(), func(*config.Config) {}))
	p.ends("ShardscalerConfigRefused", "ShardscalerNoLeader", "ShardscalerBlind")

	var all []string
	for _, r := range ourRules(t) {
		if r.Alert != "" {
			all = append(all, r.Alert)
		}
	}
	require.ElementsMatch(t, all, slices.Collect(maps.Keys(p.raised)), "each alert has a fault")
}

// byCPU is a metric of an HPA.
func byCPU(cores string) autoscalingv2.MetricSpec {
	value := resource.MustParse(cores)
	return autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
		Name: corev1.ResourceCPU, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: &value},
	}}
}

// holdsAScaleDown has a scale down of the Things held for a moment: nothing has been watched for as
// long as the window lasts.
func (p *prometheus) holdsAScaleDown() {
	p.w.t.Helper()
	window := func(d time.Duration) {
		p.w.change(thing, func(k *config.Kind) { *k.Behavior.ScaleDown.StabilizationWindow = config.Duration(d) })
	}
	window(10 * time.Minute)
	p.w.until("a scale down is held", func(ctx context.Context) error {
		n, err := p.samples(ctx, `shardscaler_shrink_held{kind="Thing"}`)
		if err == nil && n == 0 {
			err = errors.New("no such series")
		}
		return err
	})
	window(4 * time.Second)
}

// showsEverything waits until every query of the dashboards and every recorded series has had a number.
func (p *prometheus) showsEverything() {
	p.w.t.Helper()
	expressions, err := dashboards.Expressions()
	require.NoError(p.w.t, err)
	for _, r := range ourRules(p.w.t) {
		if r.Record != "" {
			expressions = append(expressions, dashboards.Expression{File: "rules", Panel: "rule", Query: r.Record + `{kind="Thing"}`})
		}
	}
	require.Greater(p.w.t, len(expressions), 100)
	p.w.until("every query has numbers", func(ctx context.Context) error {
		var none []error
		expressions = slices.DeleteFunc(expressions, func(e dashboards.Expression) bool {
			n, err := p.samples(ctx, e.Query)
			if err == nil && n == 0 {
				err = errors.New("no number")
			}
			if err != nil {
				none = append(none, errors.New(e.File+", "+e.Panel+": "+e.Query+": "+err.Error()))
			}
			return err == nil
		})
		return errors.Join(none...)
	})
}

type ourRule struct{ Alert, Record string }

// ourRules are the recorded series and the alerts.
func ourRules(t *testing.T) (all []ourRule) {
	root, err := servers.ModuleRoot()
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(root, "dashboards", "shardscaler.rules.yml"))
	require.NoError(t, err)
	var file struct{ Groups []struct{ Rules []ourRule } }
	require.NoError(t, yaml.Unmarshal(text, &file))
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	require.NotEmpty(t, all)
	return all
}
