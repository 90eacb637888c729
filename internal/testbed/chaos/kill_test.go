package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/fault"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// The points at which the product is killed once, by the work that passes them.
var (
	upPoints = []string{
		"message.received", "message.parsed", "message.acknowledged",
		"create.received", "create.queued", "create.sending", "create.sent", "create.replied", "create.applied", "create.published",
		"assign.sent", "assign.replied",
		"scale.decided", "scale.read", "scale.sending", "scale.sent", "scale.replied",
		"add-ordinal.sending", "add-ordinal.replied", "open.sending", "open.sent", "open.replied",
		"move.planned", "store-plan.sent", "store-plan.replied", "revoke.sending", "revoke.sent", "revoke.replied", "revoke.applied",
		"move.released", "grant.sending", "grant.sent", "grant.replied", "grant.applied", "clear-plan.replied",
	}
	downPoints = []string{
		"message.received", "message.parsed", "message.acknowledged",
		"delete.received", "delete.queued", "delete.sending", "delete.sent", "delete.replied", "delete.applied", "delete.published",
		"forget.sending", "forget.replied",
		"scale.decided", "scale.read", "scale.verified", "scale.sending", "scale.sent", "scale.replied",
		"open.sending", "open.sent", "open.replied", "drain.planned", "store-plan.sent", "store-plan.replied", "revoke.sent", "revoke.replied",
		"move.released", "grant.replied", "clear-plan.replied", "remove-ordinal.sending", "remove-ordinal.replied",
	}
	startPoints = []string{
		"config.offered", "config.parsed", "config.in-force", "config.applied",
		"lead.begun", "lead.sending", "lead.sent", "lead.replied", "lead.reread", "lead.claiming", "lead.claimed", "metrics.kept",
	}
	overridePoints = []string{"override.sending", "override.sent", "override.replied", "override.applied"}
	reloadPoints   = []string{"config.offered", "config.parsed", "config.in-force", "config.applied"}
	stopPoints     = []string{"lead.resigning", "lead.stopped"}
	silentPoints   = []string{"restart.sending", "restart.replied"}
	metricPoints   = map[string]func(l *lane){
		"metrics.one": (*lane).askOne, "metrics.one-read": (*lane).askOne,
		"metrics.many": (*lane).askMany, "metrics.many-read": (*lane).askMany,
		"metrics.external": (*lane).askExternal, "metrics.external-read": (*lane).askExternal,
	}
)

// killed is one case: the product dies at a point of some work, and its successor ends that work.
type killed struct {
	work  string
	point string
	do    func(l *lane)
}

func casesOf(work string, points []string, do func(*lane)) (cases []killed) {
	for _, p := range points {
		cases = append(cases, killed{work, p, do})
	}
	return cases
}

// lanes is how many products are worked at the same time.
const lanes = 3

// TestKilledAtEveryPoint kills the product with -9 at every point once. Each successor ends what
// its predecessor began, and is then the next case's victim.
func TestKilledAtEveryPoint(t *testing.T) {
	env := servers.Require(t, servers.AllParts...)
	z := env.NewZooKeeper(t, 3)
	ups, downs := casesOf("up", upPoints, (*lane).up), casesOf("down", downPoints, (*lane).down)
	others := casesOf("start", startPoints, (*lane).again)
	others = append(others, casesOf("reload", reloadPoints, (*lane).reload)...)
	others = append(others, casesOf("post", overridePoints, (*lane).post)...)
	others = append(others, killed{"undo", "drain.undone", nil})
	elected := casesOf("start", []string{"lead.elected"}, (*lane).again)
	for _, p := range slices.Sorted(maps.Keys(metricPoints)) {
		elected = append(elected, killed{"ask", p, metricPoints[p]})
	}
	elected = append(elected, casesOf("stop", stopPoints, (*lane).askToEnd)...)

	silent := casesOf("silence", silentPoints, (*lane).silence)

	var all sync.WaitGroup
	var mu sync.Mutex
	fired, moved, lowered, points := 0, 0, 0, map[string]bool{}
	quiet := []killed{{do: (*lane).up}, {do: (*lane).down}}
	run := func(name string, o laneOptions, cases []killed) {
		t.Run(name, func(t *testing.T) {
			l := startLane(t, env, z, o)
			n := 0
			for _, c := range cases {
				n += l.kill(c)
			}
			v := l.clean()
			require.Positive(t, v.rules.LeftFlight)
			mu.Lock()
			defer mu.Unlock()
			fired, moved, lowered = fired+n, moved+v.rules.LeftFlight, lowered+v.lowered
			for _, c := range cases {
				points[c.point] = true
			}
		})
	}
	for i := range lanes {
		all.Go(func() {
			run(fmt.Sprintf("lane %d", i), laneOptions{}, schedule(share(ups, i), share(downs, i), share(others, i)))
		})
	}
	all.Go(func() {
		run("elected", laneOptions{change: withElection}, slices.Concat(quiet, elected))
	})
	all.Go(func() { run("beating", beating(t, env), slices.Concat(quiet, silent)) })
	all.Wait()
	want := len(ups) + len(downs) + len(others) + len(elected) + len(silent)
	delete(points, "") // work without a fault
	counted.add("killed with -9 at each of %d points: %d cases, %d fired; %d resources moved, %d times scaled down", len(points), want, fired, moved, lowered)
	require.Equal(t, want, fired)
	require.Greater(t, lowered, len(downs)/2)
	for _, p := range fault.Points {
		require.True(t, points[p.Name], "the product was never killed at %s", p.Name)
	}
}

// withElection makes the product take part in the election, and serve its metrics API.
func withElection(o *product.Options) {
	ports, _ := servers.FreePorts(1)
	o.ServerFlags = append(o.ServerFlags, "--leader-elect=true", "--secure-port", fmt.Sprint(ports[0]))
}

// share is every lanes-th case, from the i-th.
func share(cases []killed, i int) (mine []killed) {
	for ; i < len(cases); i += lanes {
		mine = append(mine, cases[i])
	}
	return mine
}

// schedule alternates up and down, so that a lane stays small; where one has no case left, the work
// is done without a fault.
func schedule(ups, downs, others []killed) (all []killed) {
	for i := range max(len(ups), len(downs)) {
		up, down := killed{work: "up", do: (*lane).up}, killed{work: "down", do: (*lane).down}
		if i < len(ups) {
			up = ups[i]
		}
		if i < len(downs) {
			down = downs[i]
		}
		all = append(all, up, down)
	}
	return append(all, others...)
}

// kill carries out one case and returns how many faults fired.
func (l *lane) kill(c killed) int {
	l.t.Helper()
	if c.point == "" {
		c.do(l)
		l.settled()
		return 0
	}
	began := time.Now()
	before := l.told("fired", c.point)
	if c.do == nil {
		l.undo(c.point)
	} else {
		l.doWith(c, "kill")
	}
	l.dies(c.point)
	l.disarm()
	fired := l.told("fired", c.point) - before
	require.Equal(l.t, 1, fired, "%s at %s", c.work, c.point)
	require.NoError(l.t, l.server().Start())
	if c.do == nil {
		l.resume(2)
	}
	require.NoError(l.t, l.AwaitReady(l.t.Context(), l.server()))
	l.settled()
	l.t.Logf("%s killed at %s: settled after %s", c.work, c.point, time.Since(began).Round(10*time.Millisecond))
	return fired
}

// doWith does the work with the fault armed. Where the work is a start, what ran before must not
// meet it.
func (l *lane) doWith(c killed, action string) {
	l.t.Helper()
	if c.work == "start" {
		require.NoError(l.t, l.server().Kill())
	}
	l.arm(c.point + "=" + action)
	c.do(l)
}

// meet does the work until a fault has come at its point.
func (l *lane) meet(c killed, action string) {
	l.t.Helper()
	before := l.told("fired", c.point)
	l.doWith(c, action)
	l.until(c.point+" is passed", func(context.Context) error {
		if l.told("fired", c.point) == before {
			return errors.New("it is not")
		}
		return nil
	})
	l.disarm()
}

// TestErrorAtEachPoint returns an error once wherever one can be returned: nothing was done there,
// and the product tries again.
func TestErrorAtEachPoint(t *testing.T) {
	env := servers.Require(t, servers.AllParts...)
	failing := func(work string, points []string, do func(*lane)) []killed {
		return slices.DeleteFunc(casesOf(work, points, do), func(c killed) bool { return !infoOf(c.point).Fails })
	}
	others := slices.Concat(
		failing("start", []string{"lead.sending", "lead.claiming"}, (*lane).again),
		failing("reload", reloadPoints, (*lane).reload),
		failing("post", overridePoints, (*lane).post),
		failing("silence", silentPoints, (*lane).silence))
	l := startLane(t, env, env.NewZooKeeper(t, 3), beating(t, env))
	fired, points := 0, map[string]bool{}
	for _, c := range schedule(failing("up", upPoints, (*lane).up), failing("down", downPoints, (*lane).down), others) {
		if c.point == "" {
			c.do(l)
			l.settled()
			continue
		}
		l.meet(c, "error")
		l.settled()
		fired++
		points[c.point] = true
	}
	require.Positive(t, l.clean().lowered)
	counted.add("errors returned at each of %d points: %d fired", len(points), fired)
	for _, p := range fault.Points {
		require.Equal(t, p.Fails, points[p.Name], "an error at %s", p.Name)
	}
}

func infoOf(point string) fault.Info {
	return fault.Points[slices.IndexFunc(fault.Points, func(p fault.Info) bool { return p.Name == point })]
}

// dies waits for the end of the product. One that has settled without having passed the point never
// will.
func (l *lane) dies(point string) {
	l.t.Helper()
	var calm time.Time // since when
	l.until("the product dies at "+point, func(ctx context.Context) error {
		if !l.server().Running() {
			return nil
		}
		if l.silent != "" || l.missing(ctx) != nil {
			return errors.New("it works")
		}
		if calm.IsZero() {
			calm = time.Now()
		}
		if time.Since(calm) > time.Minute {
			l.t.Fatalf("the work is done and %s was not passed", point)
		}
		return errors.New("it runs")
	})
}

// again ends the product without a word and starts another one.
func (l *lane) again() {
	require.NoError(l.t, l.server().Kill())
	require.NoError(l.t, l.server().Start())
}

// reload changes the configuration in something that nothing depends on.
func (l *lane) reload() {
	require.NoError(l.t, l.Configure(l.t.Context(), func(c *config.Config) {
		l.reloads++
		c.Kinds[0].Rebalance.MaxInFlight = 1000 + l.reloads
	}))
}

// post sets a value by POST; whether that is answered does not matter.
func (l *lane) post() {
	l.t.Helper()
	l.leads(1)
	l.posted++
	value := map[string]int{"resourcePerInstance": 20 + l.posted}
	go func() {
		_ = l.server().REST(context.Background(), http.MethodPost, "/v1/api/orchestrations/"+thing+"/orchestrate", "", value, nil)
	}()
}

// beating makes the instances send heartbeats: one that is silent for some seconds is restarted.
func beating(t *testing.T, env *servers.Env) laneOptions {
	topic := env.Kafka.Topic(t, 1)
	seconds := func(n int) config.Duration { return config.Duration(time.Duration(n) * time.Second) }
	return laneOptions{
		change: func(o *product.Options) {
			o.BeatTopic, o.WorkloadFlags = topic, append(o.WorkloadFlags, "--beat", "500ms")
			o.ServerFlags = append(o.ServerFlags, "--kafka", env.Kafka.Addr)
		},
		config: func(k *config.Kind) {
			k.Heartbeat = &config.Heartbeat{Topic: topic, StaleAfter: seconds(3), RestartAfter: seconds(6), StartupGrace: seconds(10), MaxStaleShare: 0.5}
		},
	}
}

// silence makes instance 1 silent, without a session; its pod is to be deleted.
func (l *lane) silence() {
	l.t.Helper()
	pods, err := l.Pods(l.t.Context(), thingSet)
	require.NoError(l.t, err)
	l.silent = pods[thingSet+"-1"].UID
	l.hang(1)
}

// replaced waits until a pod that was made silent has a successor.
func (l *lane) replaced() {
	l.t.Helper()
	l.until("the silent pod is replaced", func(ctx context.Context) error {
		pods, err := l.Pods(ctx, thingSet)
		if p, ok := pods[thingSet+"-1"]; err == nil && (!ok || p.UID == l.silent || p.Status.Phase != corev1.PodRunning) {
			err = fmt.Errorf("it is %s, %s", p.UID, p.Status.Phase)
		}
		return err
	})
	l.silent = ""
}

// askToEnd asks the product to end, as Kubernetes does, when it leads: else it has nothing to give
// up.
func (l *lane) askToEnd() {
	l.leads(1)
	// it dies on the way, which Stop reports
	go func() { _ = l.server().Stop(context.Background()) }()
}

// askOne, askMany and askExternal ask the product's metrics API as the API server does for an HPA.
func (l *lane) askOne() {
	l.ask("/apis/custom.metrics.k8s.io/v1beta2/namespaces/" + l.Namespace + "/pods/" + thingSet + "-0/resources_per_instance")
}

func (l *lane) askMany() {
	l.ask("/apis/custom.metrics.k8s.io/v1beta2/namespaces/" + l.Namespace + "/pods/*/resources_per_instance")
}

func (l *lane) askExternal() {
	l.ask("/apis/external.metrics.k8s.io/v1beta1/namespaces/" + l.Namespace + "/resources?labelSelector=kind%3D" + thing)
}

// ask sends a request that the product may not live to answer, until it is answered or the product
// has ended.
func (l *lane) ask(path string) {
	l.t.Helper()
	cfg, err := l.Env.Kubernetes.Config()
	require.NoError(l.t, err)
	cfg.TLSClientConfig.Insecure, cfg.TLSClientConfig.CAData, cfg.TLSClientConfig.CAFile = true, nil, ""
	transport, err := rest.TransportFor(cfg)
	require.NoError(l.t, err)
	client := &http.Client{Transport: transport}
	l.until("an answer", func(ctx context.Context) error {
		if !l.server().Running() {
			return nil
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+l.Secure()+path, nil)
		if err != nil {
			return err
		}
		answer, err := client.Do(req)
		if err != nil {
			return err
		}
		_ = answer.Body.Close()
		return fmt.Errorf("status %s", answer.Status)
	})
}

// Secure is where the metrics API is served: the last --secure-port that the product was given.
func (l *lane) Secure() string { return "127.0.0.1:" + l.ServerFlags[len(l.ServerFlags)-1] }

// undo begins a drain that cannot end, since the instance does not answer, and undoes it: the fault
// is armed in between.
func (l *lane) undo(point string) {
	l.t.Helper()
	l.drainHeld()
	l.arm(point + "=kill")
	l.up()
}
