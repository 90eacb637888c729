package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// TestBadInput feeds every door with what does not belong there; nothing is lost, nothing
// half-applied, and work goes on.
func TestBadInput(t *testing.T) {
	w := start(t, nil)
	things := product.IDs(1_500, 1)
	first, later := things[:1_000], things[1_000:]
	require.NoError(t, w.Platform.Import(t.Context(), thing, first, 1))
	w.settled(thing, thingSet, 2, len(first))
	pid := w.Servers[0].Pid()

	for _, door := range []struct {
		name string
		test func(*world)
	}{
		{"MQTT", (*world).badNotifications},
		{"Kafka", (*world).badBeats},
		{"ConfigMap", (*world).badConfigMap},
		{"REST", (*world).badCalls},
	} {
		t.Run(door.name, func(t *testing.T) {
			w.t = t
			door.test(w)
		})
	}
	w.t = t
	if t.Failed() {
		return
	}
	require.Equal(t, pid, w.Servers[0].Pid(), "the server was restarted")
	require.NoError(t, w.Platform.Import(t.Context(), thing, later, 2))
	w.holds(w.settled(thing, thingSet, 2, len(things)), things)
	w.lostNothing(thing, []string{"canary"})
	w.onlyRestarted()
}

func (w *world) badNotifications() {
	before := w.assignment(thing)
	long := strings.Repeat("x", 257)
	require.NoError(w.t, w.Platform.Publish(w.t.Context(),
		product.Notification("{"),
		product.Notification("null"),
		product.Notification(`[{"o":"c"}]`),
		product.Notification(`{"o":"c","t":"Thing"}`),
		product.Notification(`{"o":"c","t":"Thing","k":{"id":{"deep":1}}}`),
		product.Notification(`{"o":"zz","t":"Thing","k":{"id":"never"}}`),
		product.Created("DeviceMeta", "foreign-1"),
		product.BulkCreated("ProtocolMeta", []string{"foreign-2"}),
		product.Created(thing, long),
		product.Created(thing, ""),
		product.Notification(`{"o":"bd","t":"Thing","where":{"id":{"neq":null}}}`),
		product.Notification(bytes.Repeat([]byte("y"), 2<<20)),
	))
	// What comes after them is heard all the same, and it comes last: all of the above has been
	// dealt with then.
	require.NoError(w.t, w.Platform.Insert(w.t.Context(), thing, "canary"))
	require.NoError(w.t, w.Platform.Publish(w.t.Context(), product.Created(thing, "canary")))
	w.settled(thing, thingSet, 2, len(before.Owners())+1)
	owners := w.assignment(thing).Owners()
	require.Contains(w.t, owners, "canary")
	for _, id := range []string{"foreign-1", "foreign-2", "never", long, ""} {
		require.NotContains(w.t, owners, id)
	}
	require.NoError(w.t, w.Platform.Remove(w.t.Context(), thing, "canary"))
	require.NoError(w.t, w.Platform.Publish(w.t.Context(), product.Deleted(thing, "canary")))
	w.settled(thing, thingSet, 2, len(before.Owners()))
}

func (w *world) badBeats() {
	future := time.Now().Add(24 * time.Hour).Unix()
	for _, message := range [][]byte{
		[]byte("{"), []byte("null"), nil,
		[]byte(`{"resource":"Thing","instanceId":"zero","timestamp":"1"}`),
		[]byte(`{"resource":"Thing","instanceId":-1,"timestamp":"1"}`),
		[]byte(`{"resource":"Thing","instanceId":"0","timestamp":"soon"}`),
		[]byte(`{"resource":"Thing","instanceId":"99999999999999999999","timestamp":"1"}`),
		[]byte(`{"resource":"DeviceMeta","instanceId":"0","timestamp":"1"}`),
		fmt.Appendf(nil, `{"resource":"Thing","instanceId":"1","timestamp":"%d"}`, future),
		bytes.Repeat([]byte("z"), 900<<10),
	} {
		require.NoError(w.t, w.Kafka.Produce(w.t.Context(), w.BeatTopic, 0, message))
	}
	w.until("the lags are those of the true beats", func(ctx context.Context) error {
		lags, err := w.Metric(ctx, "pods/*", podsOf("heartbeat_lag_seconds", thingSet))
		if err != nil {
			return err
		}
		for n := range 2 {
			if lag, ok := lags[podName(thingSet, n)]; !ok || lag < 0 || lag > 4 {
				return fmt.Errorf("lags %v", lags)
			}
		}
		return nil
	})
}

func (w *world) badConfigMap() {
	good, err := w.Config.Marshal()
	require.NoError(w.t, err)
	for text, want := range map[string]string{
		strings.Replace(string(good), "init: 2", "init: 31", 1):  "kinds[0].init: Invalid value: 31: must be between 1 and 30",
		strings.Replace(string(good), "kinds:", "kindes:", 1):    `unknown field "kindes"`,
		strings.Replace(string(good), "max: 30", "max: 30.5", 1): "max",
		"{": "yaml",
	} {
		require.NotEqual(w.t, string(good), text, "the fault is not in")
		require.NoError(w.t, w.ConfigureText(w.t.Context(), text))
		w.until("an event tells of "+want, func(ctx context.Context) error {
			events, err := w.Events(ctx)
			if err != nil {
				return err
			}
			for _, e := range events {
				if e.Reason == "InvalidConfiguration" && e.InvolvedObject.Kind == "ConfigMap" && strings.Contains(e.Message, want) {
					return nil
				}
			}
			return errors.New("no such event")
		})
		scrape, err := w.Servers[0].Text(w.t.Context(), "/metrics")
		require.NoError(w.t, err)
		require.Contains(w.t, scrape, "shardscaler_config_last_reload_successful 0")
		w.decides("the last good configuration stays", func(d decide.Decision) bool { return d.Max == 30 && d.Init == 2 })
	}
	require.NoError(w.t, w.ConfigureText(w.t.Context(), string(good)))
	w.until("a good one is accepted again", func(ctx context.Context) error {
		scrape, err := w.Servers[0].Text(ctx, "/metrics")
		if err == nil && !strings.Contains(scrape, "shardscaler_config_last_reload_successful 1") {
			err = errors.New("the gauge is 0")
		}
		return err
	})
}

// settings is what GET shows of the two values that POST sets.
type settings struct {
	MaxInstances, ResourcePerInstance struct {
		Value  int
		Source string
	}
}

func (w *world) badCalls() {
	ctx, server := w.t.Context(), w.Servers[0]
	const path = "/v1/api/orchestrations/Thing/orchestrate"
	token, err := w.OperatorToken(ctx)
	require.NoError(w.t, err)
	guest, err := w.Env.Kubernetes.Run(ctx, "--namespace", w.Namespace, "create", "token", "default", "--audience", product.Audience)
	require.NoError(w.t, err)

	for _, c := range []struct {
		token  string
		body   any
		status int
		want   string
	}{
		{"", map[string]any{"maxInstances": 20}, http.StatusForbidden, "this needs a token, which is not taken over plain HTTP"},
		{"forged", map[string]any{"maxInstances": 20}, http.StatusUnauthorized, "token"},
		{strings.TrimSpace(guest), map[string]any{"maxInstances": 20}, http.StatusForbidden, `may not update kinds/limits.ops.shardscaler.io`},
		{token, map[string]any{"maxInstances": 2}, http.StatusUnprocessableEntity, "maxInstances: Invalid value: 2: must be between 3 and 100"},
		{token, map[string]any{"maxInstances": 101}, http.StatusUnprocessableEntity, "maxInstances"},
		{token, map[string]any{"maxInstances": 10.5}, http.StatusUnprocessableEntity, "maxInstances"},
		{token, map[string]any{"resourcePerInstance": 5001}, http.StatusUnprocessableEntity, "resourcePerInstance: Invalid value: 5001: must be between 1 and 5000"},
		{token, map[string]any{"maxInstance": 20}, http.StatusUnprocessableEntity, "maxInstance"},
	} {
		err := server.REST(ctx, http.MethodPost, path, c.token, c.body, nil)
		require.Equal(w.t, c.status, statusOf(err), "%v: %v", c.body, err)
		require.ErrorContains(w.t, err, c.want)
	}
	var now settings
	require.NoError(w.t, server.REST(ctx, http.MethodGet, "/v1/api/orchestrations/Thing", "", nil, &now))
	require.Equal(w.t, 30, now.MaxInstances.Value)
	require.Equal(w.t, "ConfigMap", now.MaxInstances.Source, "nothing was half-applied")

	w.until("a good one is taken", func(ctx context.Context) error {
		return server.REST(ctx, http.MethodPost, path, token, map[string]any{"maxInstances": 20}, nil)
	})
	w.decides("the override is in force", func(d decide.Decision) bool { return d.Max == 20 })
	w.change(thing, func(k *config.Kind) { k.Max = 25 })
	w.decides("the ConfigMap's change of that key ends it", func(d decide.Decision) bool { return d.Max == 25 })
	w.change(thing, func(k *config.Kind) { k.Max = 30 })
}

// TestOverrideSurvivesARestart: what POST set is kept in ZooKeeper, not in the process.
func TestOverrideSurvivesARestart(t *testing.T) {
	w := startBeside(t, nil)
	token, err := w.OperatorToken(t.Context())
	require.NoError(t, err)
	server := w.Servers[0]
	w.leader()
	w.until("an override is taken", func(ctx context.Context) error {
		return server.REST(ctx, http.MethodPost, "/v1/api/orchestrations/Thing/orchestrate", token, map[string]any{"resourcePerInstance": 500}, nil)
	})
	require.NoError(t, server.Kill())
	require.NoError(t, server.Start())
	require.NoError(t, w.AwaitReady(t.Context(), server))
	var now settings
	require.NoError(t, server.REST(t.Context(), http.MethodGet, "/v1/api/orchestrations/Thing", "", nil, &now))
	require.Equal(t, 500, now.ResourcePerInstance.Value)
	require.Equal(t, "override", now.ResourcePerInstance.Source)
	m, err := w.Kube.CoreV1().ConfigMaps(w.Namespace).Get(t.Context(), "shardscaler", metav1.GetOptions{})
	require.NoError(t, err)
	require.Contains(t, m.Data["config.yaml"], "capacity: 1000", "the ConfigMap is never written")
}
