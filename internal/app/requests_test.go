package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/api"
	"github.com/shardscaler/shardscaler/internal/api/access"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/observedtest"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/internal/testbed/stacks"
	"github.com/shardscaler/shardscaler/internal/testbed/zkproxy"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/scaler"
)

// replica is a leader of kind Thing over a real ZooKeeper, without Kubernetes: it is blind, but
// writes what callers ask for.
type replica struct {
	*testing.T
	app    *App
	runner *runner
	proxy  *zkproxy.Proxy
	url    string
	// running ends with the replica.
	running context.Context
}

const thing = "/v1/api/orchestrations/Thing"

// offline are options of a replica that reaches no server but ZooKeeper, if that is set.
func offline(t *testing.T) Options {
	t.Helper()
	o := Options{
		Mode: config.ModeAct, Namespace: "iota", PodName: "shardscaler-0", ConfigMap: "shardscaler", ZooKeeper: "127.0.0.1:1",
		ZooKeeperSession: 10 * time.Second, MQTT: "tcp://127.0.0.1:1", MQTTTopic: "cm/notify", MQTTClientID: "shardscaler", Listen: "127.0.0.1:0", OldReads: oldReadsOpen,
		LeaseName: "shardscaler", LeaderTimeout: 2500 * time.Millisecond,
		CatalogueDSNFile: filepath.Join(t.TempDir(), "dsn"), Kubeconfig: filepath.Join(t.TempDir(), "kubeconfig"),
	}
	require.NoError(t, os.WriteFile(o.CatalogueDSNFile, []byte("postgres://127.0.0.1:1/iota"), 0o600))
	require.NoError(t, os.WriteFile(o.Kubeconfig, []byte(`{"apiVersion":"v1","kind":"Config","clusters":[{"name":"c","cluster":{"server":"http://127.0.0.1:1"}}],`+
		`"contexts":[{"name":"c","context":{"cluster":"c","user":""}}],"current-context":"c"}`), 0o600))
	return o
}

// startReplica starts one whose scaler runs too.
func startReplica(t *testing.T, patience time.Duration) *replica {
	t.Helper()
	r := newReplica(t, patience)
	r.app.leadership.Follow("shardscaler-0")
	r.app.leadership.Lead(r.running)
	r.written()
	return r
}

// newReplica starts one that follows.
func newReplica(t *testing.T, patience time.Duration) *replica {
	t.Helper()
	env := servers.Require(t, servers.PartZooKeeper)
	r := &replica{T: t, proxy: zkproxy.New(t, env.ZooKeeper.Addrs()...)}
	o := offline(t)
	o.ZooKeeper = r.proxy.Addr() + env.ZooKeeper.Path(t)
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	a, err := newApp(t.Context(), o, log, prometheus.NewRegistry())
	require.NoError(t, err)
	a.live.offer(offered{text: []byte("kinds:\n- {name: Thing, statefulSet: iota-dac, capacity: 10, init: 3, max: 50, catalogue: {lag: 0s}, replicas: {owner: shardscaler}}\n")})
	cfg, _ := a.live.current()
	a.state.Configure(cfg.Kinds)
	ctx, cancel := context.WithCancel(context.Background())
	r.app, r.runner, r.running = a, startRunner(ctx, a, "Thing"), ctx
	a.runners.mu.Lock()
	a.runners.by["Thing"] = r.runner
	a.runners.mu.Unlock()
	mux := http.NewServeMux()
	guard := access.New(access.Config{Insecure: true, Kinds: a.Kinds}, nil, nil, log, prometheus.NewRegistry())
	api.New(api.Config{Version: "test", Guard: guard, Patience: patience}, mux, leader{a}, nil, log)
	server := httptest.NewServer(mux)
	r.url = server.URL
	t.Cleanup(func() {
		r.proxy.Heal()
		server.Close()
		cancel()
		<-r.runner.done
		a.store.Close()
		a.kube.close()
		a.listener.Close()
	})
	return r
}

// leader is an App that passes no write on.
type leader struct{ *App }

func (leader) Leader() (self bool, addr string) { return true, "" }

// away takes ZooKeeper away.
func (r *replica) away() {
	r.Helper()
	r.proxy.Partition()
	r.proxy.Cut()
	r.until("the session is lost", func() bool {
		connected, _ := r.app.store.Connected()
		return !connected
	})
}

// until polls; it ends with the test's own deadline.
func (r *replica) until(what string, so func() bool) {
	r.Helper()
	require.Eventually(r, so, observedtest.Patience, 5*time.Millisecond, what)
}

// written waits until the writer has kept a document: what was asked of it before is done with.
func (r *replica) written() {
	r.Helper()
	r.until("a document is kept", func() bool {
		return r.runner.engine.Keep(r.running, "test", orders.Replace([]byte("{}"))) == nil
	})
}

// call returns the status and the body, or why there is none.
func (r *replica) call(ctx context.Context, method, path, body string) string {
	req, err := http.NewRequestWithContext(ctx, method, r.url+path, strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, text)
}

// post sends a write in the background and waits until the server waits for ZooKeeper with it;
// method is the App's.
func (r *replica) post(ctx context.Context, method, path, body string) <-chan string {
	r.Helper()
	answer := make(chan string, 1)
	go func() { answer <- r.call(ctx, http.MethodPost, thing+path, body) }()
	r.until(path+" waits", func() bool { return waits(method) })
	return answer
}

func waits(method string) bool {
	return slices.ContainsFunc(stacks.Inside("app.(*App)."+method), func(g stacks.Goroutine) bool { return g.State == "select" })
}

func TestTwoWritesAtOnceAreBothCarriedOut(t *testing.T) {
	r := startReplica(t, observedtest.Patience)
	r.proxy.Partition()
	paused := r.post(t.Context(), "Pause", "/pause", "")
	bounded := r.post(t.Context(), "Orchestrate", "/orchestrate", `{"maxInstances":40}`)
	r.proxy.Heal()
	require.Contains(t, <-paused, "200 ")
	require.Contains(t, <-bounded, "200 ")
	now := r.call(t.Context(), http.MethodGet, thing, "")
	require.Contains(t, now, `"maxInstances":{"value":40,"source":"override"}`)
	require.Contains(t, now, `"paused":{"value":true,"source":"override"}`, "the other one was answered and is gone")
}

// With ZooKeeper away callers give up. When it is back, nothing happens for them.
func TestNothingIsCarriedOutForWhoGaveUpBeforeItWasSent(t *testing.T) {
	r := startReplica(t, observedtest.Patience)
	e := r.runner.engine
	var rows []observed.ResourceKnown
	for i := range 20 {
		rows = append(rows, observed.ResourceKnown{ID: fmt.Sprint("thing-", i)})
	}
	require.NoError(t, e.Create(t.Context(), rows))
	for range 2 {
		e.BeginRead(time.Now())
		_, err := e.EndRead(t.Context(), nil)
		require.NoError(t, err)
	}
	require.Equal(t, 20, e.Waiting().Count)
	r.written()
	r.app.state.Apply(observed.Cluster{
		Kind: "Thing", At: time.Now(), Workload: &observed.Workload{UID: "w", Replicas: 3},
		Pods: map[int]observed.Pod{0: {Name: "iota-dac-0", UID: "u0", Created: time.Unix(1, 0)}},
	})

	r.away()
	ctx, giveUp := context.WithCancel(t.Context())
	var answers []<-chan string
	requests := []struct{ method, path, body string }{
		// the first, so that the writer waits for ZooKeeper when the others come
		{"Pause", "/pause", ""},
		{"Orchestrate", "/orchestrate", `{"maxInstances":40}`},
		{"Rollback", "/rollback", ""},
		{"Confirm", "/reconcile/confirm", `{"deletes":20}`},
		{"Reassign", "/instances/0/reassign", `{"assumeDead":true}`},
	}
	for _, q := range requests {
		answers = append(answers, r.post(ctx, q.method, q.path, q.body))
	}
	giveUp()
	for _, answer := range answers {
		require.Contains(t, <-answer, "context canceled")
	}
	for _, q := range requests {
		r.until(q.method+" has noticed", func() bool { return len(stacks.Inside("app.(*App)."+q.method)) == 0 })
	}
	r.proxy.Heal()
	r.written()
	for _, name := range []string{overrideName, scaler.AssumedDeadName} {
		kept, _ := e.Kept(name)
		require.Empty(t, string(kept), "document %s was kept for who had given up", name)
	}
	require.Len(t, e.State().PoolNames(), 1)
	require.Equal(t, 20, e.State().Unassigned(), "deletes were carried out for who had given up")
	require.Equal(t, 20, e.Waiting().Count, "they wait again")
}

func TestWhoStaysIsToldThatNothingWasSentAndNothingIs(t *testing.T) {
	r := startReplica(t, 100*time.Millisecond)
	r.away()
	for _, path := range []string{"/pause", "/rollback"} {
		answer := r.call(t.Context(), http.MethodPost, thing+path, "")
		require.Contains(t, answer, "503 ")
		require.Contains(t, answer, "not carried out")
	}
	require.Contains(t, r.call(t.Context(), http.MethodPost, thing+"/orchestrate", `{"maxInstances":2}`), "422 ", "what is refused is so at once")
	r.proxy.Heal()
	r.written()
	kept, _ := r.runner.engine.Kept(overrideName)
	require.Empty(t, string(kept))
}

func TestWhoStaysIsToldThatTheOutcomeIsUnknownOfWhatWasSent(t *testing.T) {
	r := newReplica(t, 100*time.Millisecond)
	var leading sync.WaitGroup
	ctx, resign := context.WithCancel(t.Context())
	leading.Go(func() { _ = r.runner.engine.Lead(ctx) })
	defer leading.Wait()
	defer resign()
	defer r.proxy.Heal()
	r.until("it leads", func() bool {
		return strings.HasPrefix(r.call(t.Context(), http.MethodPost, thing+"/resume", ""), "200 ")
	})
	r.proxy.Partition()
	answer := r.call(t.Context(), http.MethodPost, thing+"/pause", "")
	require.Contains(t, answer, "504 ")
	require.Contains(t, answer, api.OutcomeUnknown)
	require.Contains(t, answer, `"see":"`+thing+`"`)
	r.proxy.Heal()
	r.until("it is paused", func() bool {
		return strings.Contains(r.call(t.Context(), http.MethodGet, thing, ""), `"paused":{"value":true`)
	})
}

// A call waits for ZooKeeper, and the instance comes back first.
func TestAnInstanceThatCameBackMeanwhileIsNotDeclaredDead(t *testing.T) {
	r := startReplica(t, observedtest.Patience)
	pod := observed.Pod{Name: "iota-dac-0", UID: "u0", Created: time.Unix(1, 0)}
	pods := func() {
		r.app.state.Apply(observed.Cluster{
			Kind: "Thing", At: time.Now(), Workload: &observed.Workload{UID: "w", Replicas: 3}, Pods: map[int]observed.Pod{0: pod},
		})
	}
	conn := servers.Require(t, servers.PartZooKeeper).ZooKeeper.Dial(t)
	_, chroot, _ := strings.Cut(r.app.opts.ZooKeeper, "/")
	instance := "/" + chroot + "/iota/orchestration/Thing/0"
	for _, node := range [][2]string{{"", ""}, {"/data", ""}, {"/resources", `{"ids":[]}`}, {"/_reload", `{"times":0}`}, {"/tmp", ""}} {
		_, err := conn.Create(instance+node[0], []byte(node[1]), 0, zk.WorldACL(zk.PermAll))
		require.NoError(t, err)
	}
	r.away()
	pods()
	answer := r.post(t.Context(), "Reassign", "/instances/0/reassign", `{"assumeDead":true}`)
	_, err := conn.Create(instance+"/tmp/status", []byte(`{"times":0,"pod":"u0"}`), zk.FlagEphemeral, zk.WorldACL(zk.PermAll))
	require.NoError(t, err)
	pods()
	r.proxy.Heal()
	told := <-answer
	require.Contains(t, told, "409 ")
	require.Contains(t, told, "its ZooKeeper session is alive")
	kept, _ := r.runner.engine.Kept(scaler.AssumedDeadName)
	require.Empty(t, string(kept))
}
