//go:build chaos

package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/go-zookeeper/zk"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/fault"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/internal/testbed/zkproxy"
)

// crossed is a fault that begins when the product passes a point: action is what the product does
// to itself there, beside what happens around it meanwhile, which has ended when beside returns.
type crossed struct {
	name   string
	action string
	beside func(l *lane, w *wires)
	// at says at which points it can happen; nil: at all.
	at func(p fault.Info) bool
}

// wires are what lies between a lane's product and the servers.
type wires struct {
	servers *servers.ZooKeeper
	proxy   *zkproxy.Proxy
	toxic   *toxiproxy.Proxy // before proxy
	conn    *zk.Conn         // of a person who edits by hand

	// What a scene has begun and is to end.
	orphans orphans
	mute    mute
	posts   posts
	rows    *rows
}

// away is longer than the product's session of 4 s.
const away = 6 * time.Second

// crosses are the faults that one lane meets beside others.
var crosses = []crossed{
	{name: "killed", action: "kill"},
	{name: "panics", action: "panic"},
	{name: "stopped for longer than its session", action: "stop"},
	{name: "an error is returned", action: "error", at: func(p fault.Info) bool { return p.Fails }},
	{name: "its session expires", action: "sleep:1s", beside: func(l *lane, w *wires) { w.proxy.Expire(l.t) }},
	{name: "its connections are cut", action: "sleep:500ms", beside: func(_ *lane, w *wires) { w.proxy.Cut() }},
	{name: "it is cut off for longer than its session", action: "sleep:200ms", beside: func(_ *lane, w *wires) {
		w.proxy.Partition()
		defer w.proxy.Heal()
		time.Sleep(away)
	}},
	{name: "the answer to its next transaction is lost", action: "sleep:200ms", beside: func(_ *lane, w *wires) { w.proxy.Set(zkproxy.DropAnswer) }},
	{name: "every byte is late", action: "sleep:10ms", beside: func(l *lane, w *wires) {
		defer w.poison(l, "latency", `{"latency":200,"jitter":150}`)()
		time.Sleep(away / 2)
	}},
	{name: "every connection is reset", action: "sleep:10ms", beside: func(l *lane, w *wires) {
		defer w.poison(l, "reset_peer", `{"timeout":50}`)()
		time.Sleep(away / 3)
	}},
	{name: "a list is garbage for a while", action: "sleep:200ms", beside: func(l *lane, w *wires) {
		w.edited(l, l.shared("0/resources"), func([]byte) []byte { return []byte(`{"ids":`) }, stopped)
	}},
	{name: "a list has a newer schema for a while", action: "sleep:200ms", beside: func(l *lane, w *wires) {
		w.edited(l, l.shared("0/resources"), newer, stopped)
	}},
	{name: "a list is deleted by hand for a while", action: "sleep:200ms", beside: func(l *lane, w *wires) {
		w.edited(l, l.shared("0/resources"), nil, stopped)
	}},
	{name: "the head has a newer schema for a while", action: "sleep:200ms", beside: func(l *lane, w *wires) {
		w.edited(l, l.own("head"), newer, leadsNot)
	}},
	{name: "a _reload is deleted by hand", action: "sleep:200ms", beside: func(l *lane, w *wires) {
		w.noted(l)
		if err := w.conn.Delete(l.shared("0/_reload"), -1); !errors.Is(err, zk.ErrNoNode) {
			require.NoError(l.t, err)
		}
		l.again()
	}},
}

// ensembleCrosses harm the servers that all lanes share, so one lane meets them alone.
var ensembleCrosses = []crossed{
	{name: "the ensemble's leader is killed", action: "sleep:200ms", beside: func(l *lane, w *wires) {
		leader, err := w.servers.Leader(l.t.Context())
		require.NoError(l.t, err)
		require.NoError(l.t, leader.Kill())
		require.NoError(l.t, leader.Start(l.t.Context()))
	}},
	{name: "a server is frozen", action: "sleep:200ms", beside: func(l *lane, w *wires) { w.freeze(l, follower(l.t, w.servers)) }},
	{name: "the ensemble's leader is frozen", action: "sleep:200ms", beside: func(l *lane, w *wires) {
		leader, err := w.servers.Leader(l.t.Context())
		require.NoError(l.t, err)
		w.freeze(l, leader)
	}},
}

func (w *wires) freeze(l *lane, server *servers.Server) {
	require.NoError(l.t, server.Freeze())
	time.Sleep(away)
	require.NoError(l.t, server.Continue())
	require.NoError(l.t, server.AwaitReady(l.t.Context()))
}

// wire puts both proxies before the ensemble.
func wire(t *testing.T, z *servers.ZooKeeper) *wires {
	t.Helper()
	w := &wires{servers: z, proxy: zkproxy.New(t, z.Addrs()...), conn: z.Dial(t)}
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	w.toxic = toxiproxy.NewProxy(server, "zookeeper", "127.0.0.1:0", w.proxy.Addr())
	require.NoError(t, w.toxic.Start())
	t.Cleanup(w.toxic.Stop)
	return w
}

// through makes the product reach ZooKeeper through them.
func (w *wires) through(o *product.Options) {
	o.ServerFlags = append(o.ServerFlags, "--zookeeper", w.toxic.Listen+o.Chroot)
}

// poison does something to every byte in both directions until the end is called.
func (w *wires) poison(l *lane, kind, attributes string) (end func()) {
	for _, stream := range []string{"upstream", "downstream"} {
		text := fmt.Sprintf(`{"name":%q,"type":%q,"stream":%q,"attributes":%s}`, stream, kind, stream, attributes)
		_, err := w.toxic.Toxics.AddToxicJson(strings.NewReader(text))
		require.NoError(l.t, err)
	}
	return func() { w.toxic.Toxics.ResetToxics(context.Background()) }
}

// noted makes what follows a person's edit, to whom the rules do not apply.
func (w *wires) noted(l *lane) { l.foreign[w.conn.SessionID()] = true }

// edited makes a znode something else (nil: deletes it), waits until the product has noticed, and
// puts back what was there. The product is then started anew: it counts edits, and stops when there
// are many.
func (w *wires) edited(l *lane, file string, wrong func([]byte) []byte, noticed func(metrics string) bool) {
	l.t.Helper()
	var data []byte
	var stat *zk.Stat
	l.until("edit "+file, func(context.Context) (err error) {
		if data, stat, err = w.conn.Get(file); err != nil {
			return err
		}
		w.noted(l)
		if wrong == nil {
			return w.conn.Delete(file, stat.Version)
		}
		_, err = w.conn.Set(file, wrong(data), stat.Version)
		return err
	})
	l.until("the product has noticed", func(ctx context.Context) error {
		text, err := l.server().Text(ctx, "/metrics")
		if err == nil && !noticed(text) {
			err = errors.New("it has not")
		}
		return err
	})
	var err error
	if wrong == nil {
		_, err = w.conn.Create(file, data, 0, zk.WorldACL(zk.PermAll))
	} else {
		_, err = w.conn.Set(file, data, stat.Version+1)
	}
	require.NoError(l.t, err, "the unreadable content was written over")
	l.again()
}

// newer is the same content under a schema that no program knows yet.
func newer(data []byte) []byte {
	var content map[string]any
	if json.Unmarshal(data, &content) != nil {
		return data
	}
	content["v"] = 99
	next, _ := json.Marshal(content)
	return next
}

func stopped(metrics string) bool {
	return strings.Contains(metrics, `shardscaler_rebalancer_stopped{kind="`+thing+`"} 1`)
}

func leadsNot(metrics string) bool {
	return strings.Contains(metrics, `shardscaler_rebalancer_leading{kind="`+thing+`"} 0`)
}

// shared is a znode that instances read, own one of the product's alone.
func (l *lane) shared(leaf string) string {
	return path.Join(l.Chroot, "iota/orchestration", thing, leaf)
}

func (l *lane) own(leaf string) string { return path.Join(l.Chroot, "iota/shardscaler", thing, leaf) }
