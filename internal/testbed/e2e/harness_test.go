package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/httpcall"
	"github.com/shardscaler/shardscaler/internal/testbed/openapitest"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/internal/testbed/servers/fetch"
)

// programs are built once for all tests.
var programs product.Programs

// TestMain has every test begin at once: each then waits for its turn, in start.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "100"); err != nil {
		panic(err)
	}
	os.Exit(product.RunTests(m, &programs))
}

// worldsBeside is how many worlds without APIServices run at a time, beside one that has them. A
// world mostly waits: two cores carry three.
const worldsBeside = 2

var (
	placesBeside = make(chan struct{}, worldsBeside)
	placeWithAPI = make(chan struct{}, 1)
)

// takePlace waits for a turn, which ends with the test.
func takePlace(t *testing.T, places chan struct{}) {
	t.Helper()
	places <- struct{}{}
	t.Cleanup(func() { <-places })
}

// The kinds of every test, and what the manifests call their StatefulSets.
const (
	thing, rule         = "Thing", "Rule"
	thingSet, ruleSet   = "iota-dac", "iota-rules-engine"
	thingTarget         = 900
	ruleTarget          = 80
	thingInit, ruleInit = 2, 1
)

// testConfig has short timers, and instances so small that a few thousand resources need many.
const testConfig = `
syncPeriod: 500ms
kinds:
- name: Thing
  statefulSet: iota-dac
  capacity: 1000
  targetPerInstance: 900
  init: 2
  max: 30
  behavior: {scaleDown: {stabilizationWindow: 4s}}
  heartbeat: {staleAfter: 4s, restartAfter: 8s, startupGrace: 8s}
  catalogue: {interval: 5s, lag: 2s}
  rebalance: {listInterval: 200ms}
- name: Rule
  statefulSet: iota-rules-engine
  capacity: 100
  targetPerInstance: 80
  init: 1
  max: 20
  behavior: {scaleDown: {stabilizationWindow: 4s}}
  catalogue: {interval: 5s, lag: 2s}
  rebalance: {listInterval: 200ms}
`

// world is one test's product and servers.
type world struct {
	*product.Stack
	t *testing.T
}

// start brings up a product for this test. It has the APIServices, of which a cluster has one set:
// such tests take turns. change may alter the options, Config among them: what a running product is
// told later takes force a moment after world.change has returned.
func start(t *testing.T, change func(*servers.Env, *product.Options)) *world {
	t.Helper()
	t.Parallel()
	takePlace(t, placeWithAPI)
	return bringUp(t, change)
}

func bringUp(t *testing.T, change func(*servers.Env, *product.Options)) *world {
	t.Helper()
	env := servers.Require(t, servers.AllParts...)
	o := product.Options{
		Dir: t.TempDir(), Programs: programs,
		Chroot: env.ZooKeeper.Path(t), MQTTTopic: env.MQTT.Topic(t), Catalogue: env.Postgres.NewDatabase(t),
		Sizes:         map[string]int{thingSet: thingInit, ruleSet: ruleInit},
		Config:        parse(t, testConfig),
		WorkloadFlags: []string{"--beat", "1s", "--session-timeout", "4s", "--cpu-base", "0", "--memory-base", "0"},
	}
	if change != nil {
		change(env, &o)
	}
	if !o.Private { // the tests of all packages take turns
		unlock, err := fetch.Lock(filepath.Join(env.Dir, "metrics-api.lock"), syscall.LOCK_EX,
			func() { t.Log("waiting for a test that provides custom metrics") })
		require.NoError(t, err)
		t.Cleanup(unlock)
	}
	if o.Namespace == "" {
		o.Namespace = env.Kubernetes.Namespace(t)
	}
	bus := env.Kafka
	if o.Kafka != nil {
		bus = o.Kafka
	}
	o.BeatTopic = bus.Topic(t, 2)
	o.Config.Kinds[0].Heartbeat.Topic = o.BeatTopic
	w := &world{t: t}
	began := time.Now()
	s, err := product.Start(t.Context(), env, o)
	if err != nil {
		t.Fatal(err)
	}
	w.Stack = s
	w.answersAreDescribed(t)
	t.Logf("started in %s: namespace %s, chroot %s", time.Since(began).Round(time.Millisecond), o.Namespace, o.Chroot)
	t.Cleanup(func() {
		w.t = t // a subtest's has ended
		if t.Failed() {
			w.report()
		}
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return w
}

// described is what the product says of its API.
var described = sync.OnceValues(func() (*openapitest.Document, error) {
	root, err := servers.ModuleRoot()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "openapi.json"))
	if err != nil {
		return nil, err
	}
	return openapitest.Load(text)
})

// answersAreDescribed holds all that REST is answered to docs/openapi.json.
func (w *world) answersAreDescribed(t *testing.T) {
	t.Helper()
	doc, err := described()
	require.NoError(t, err)
	for _, v := range w.Servers {
		v.Checked = func(next http.RoundTripper) http.RoundTripper {
			return doc.Transport(next, func(err error) { t.Errorf("%s: %v", v.Name, err) })
		}
	}
}

// startBeside is start for a test that asks nothing of our APIs through the API server: it has no
// APIServices, and worldsBeside such tests run at a time.
func startBeside(t *testing.T, change func(*servers.Env, *product.Options)) *world {
	t.Helper()
	t.Parallel()
	takePlace(t, placesBeside)
	return bringUp(t, func(env *servers.Env, o *product.Options) {
		o.Private = true
		if change != nil {
			change(env, o)
		}
	})
}

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Parse([]byte(text))
	require.NoError(t, err)
	return c
}

// report shows what a failed test left.
func (w *world) report() {
	for _, v := range w.Servers {
		w.t.Logf("%s\n%s", v.Log, v.Tail(60))
	}
	w.t.Logf("%s\n%s", w.Workload.Log, w.Workload.Tail(20))
	for _, kind := range []string{thing, rule} {
		if a, err := w.Assignment(context.Background(), kind); err == nil {
			held := map[int]int{}
			for n, in := range a.Instances {
				held[n] = len(in.IDs)
			}
			w.t.Logf("%s: lists %v, pool %d, in flight %d, open %v", kind, held, len(a.Pool), a.InFlight(), a.Open)
		}
	}
}

// until waits for what the product will do.
func (w *world) until(what string, try func(ctx context.Context) error) {
	w.t.Helper()
	began := time.Now()
	if err := product.Until(w.t.Context(), product.Patience, try); err != nil {
		w.t.Fatalf("never: %s: %v", what, err)
	}
	w.t.Logf("%s: after %s", what, time.Since(began).Round(100*time.Millisecond))
}

// change edits a kind in the ConfigMap. It does not wait until that is in force.
func (w *world) change(kind string, edit func(*config.Kind)) {
	w.t.Helper()
	require.NoError(w.t, w.Configure(w.t.Context(), func(c *config.Config) {
		k, ok := c.Kind(kind)
		require.True(w.t, ok)
		edit(k)
	}))
}

// assignment reads a kind; a ZooKeeper that does not answer is asked again.
func (w *world) assignment(kind string) (a *product.Assignment) {
	w.t.Helper()
	w.until("the assignment is read", func(ctx context.Context) (err error) {
		a, err = w.Assignment(ctx, kind)
		return err
	})
	return a
}

// settled waits until a kind has this size in Kubernetes, all pods ready, and every id in one list
// of the first ordinals, evenly, and returns what it then found.
func (w *world) settled(kind, set string, size, ids int) (a *product.Assignment) {
	w.t.Helper()
	w.until(fmt.Sprintf("%d %ss settle on %d instances", ids, kind, size), func(ctx context.Context) (err error) {
		a, err = w.Settled(ctx, kind, set, size, ids)
		return err
	})
	return a
}

// holds requires that a kind's ids are exactly these, each once.
func (w *world) holds(a *product.Assignment, ids []string) {
	w.t.Helper()
	require.NoError(w.t, a.Check())
	got := slices.Sorted(maps.Keys(a.Owners()))
	want := slices.Sorted(slices.Values(ids))
	require.Equal(w.t, len(want), len(got), "%s", a.Kind)
	require.True(w.t, slices.Equal(want, got), "%s: other ids than expected", a.Kind)
}

// runsWhatIsAssigned waits until the workload runs what ZooKeeper says.
func (w *world) runsWhatIsAssigned(kind string) {
	w.t.Helper()
	w.until("the instances run the "+kind+"s that ZooKeeper assigns", func(ctx context.Context) error {
		return w.RunsAsAssigned(ctx, kind)
	})
}

// ledger reads ZooKeeper's own log and requires that at no transaction an id was in two places.
func (w *world) ledger(kind string) *product.Ledger {
	w.t.Helper()
	l, err := w.Ledger(kind, 0)
	require.NoError(w.t, err)
	require.Positive(w.t, l.Transactions, "the transaction log is empty")
	require.Empty(w.t, l.Faults)
	return l
}

// lostNothing requires that only deleted ids ever left ZooKeeper.
func (w *world) lostNothing(kind string, deleted []string) {
	w.t.Helper()
	gone := make(map[string]bool, len(deleted))
	for _, id := range deleted {
		gone[id] = true
	}
	l := w.ledger(kind)
	var lost []string
	for id := range l.Lost {
		if !gone[id] {
			lost = append(lost, id)
		}
	}
	require.Empty(w.t, lost, "%ss that are gone without a delete", kind)
}

// drainedFirst requires that whenever replicas were lowered, what went was empty before and stayed
// so, and that the product alone wrote sizes. It returns how often replicas were lowered.
func (w *world) drainedFirst(kind, set string, initial int) (lowered int) {
	w.t.Helper()
	lowered, err := w.DrainedFirst(w.t.Context(), kind, set, initial)
	require.NoError(w.t, err)
	writes, err := w.ScaleWrites()
	require.NoError(w.t, err)
	for _, s := range writes {
		require.Equal(w.t, w.User(), s.User, "who wrote %+v", s)
	}
	return lowered
}

// leader is the replica that leads, once there is one.
func (w *world) leader() *product.Server {
	w.t.Helper()
	var leader *product.Server
	w.until("a replica leads", func(ctx context.Context) (err error) {
		leader, err = w.Leader(ctx)
		return err
	})
	return leader
}

// statusOf is the HTTP status of an error answer; 0 if it is none.
func statusOf(err error) int {
	var status *httpcall.StatusError
	if errors.As(err, &status) {
		return status.Code
	}
	return 0
}

func podName(set string, ordinal int) string { return fmt.Sprintf("%s-%d", set, ordinal) }

// slowMoves lets what is revoked stay in flight for a second, so that a test can meet it there.
func slowMoves(c *config.Config) {
	for i := range c.Kinds {
		c.Kinds[i].SettleSeconds = 1
	}
}
