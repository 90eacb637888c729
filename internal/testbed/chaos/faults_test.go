package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/shardscaler/shardscaler/internal/api"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/internal/testbed/zkproxy"
)

// harmed is one named fault: what is done to a lane, and what it is started with.
type harmed struct {
	name string
	o    func(t *testing.T, z *servers.ZooKeeper) laneOptions
	do   func(l *lane, z *servers.ZooKeeper)
}

func plain(*testing.T, *servers.ZooKeeper) laneOptions { return laneOptions{} }

// atMost bounds the number of instances.
func atMost(instances int) func(*testing.T, *servers.ZooKeeper) laneOptions {
	return func(*testing.T, *servers.ZooKeeper) laneOptions {
		return laneOptions{config: func(k *config.Kind) { k.Max = instances }}
	}
}

// named are the faults, each of which a lane of its own must survive; several lanes run at the same
// time.
var named = []harmed{
	// the longest, so that others go on beside it
	{"Kubernetes is away for a minute", nil, kubernetesAway},
	{"an instance is frozen for three sessions in mid-move", plain, frozenInstance},
	{"a container restarts between revoke and release", plain, containerRestart},
	{"a pod is replaced between revoke and release", plain, podReplaced},
	{"a status is deleted by hand", plain, statusDeleted},
	{"a new session finds the old ephemeral", plain, oldEphemeral},
	{"a target is drained while resources are in flight to it", plain, targetDrained},
	{"creates fill a target with reservations", atMost(3), targetFilled},
	{"the product's session expires in the middle of a plan", nil, sessionExpires},
	{"a partition is healed later", nil, partitionHealed},
	{"two processes believe that they lead", twoLeaders, twoBelieve},
	{"a former leader's verified drain after the ordinal was reopened", twoElected, formerLeader},
	{"instances that do not acknowledge are replaced by such that do", legacyFirst, rollingUpdate},
}

// TestNamedFaults meets each fault that docs/protocol.md is made for.
func TestNamedFaults(t *testing.T) {
	env := servers.Require(t, servers.AllParts...)
	z := env.NewZooKeeper(t, 3)
	var all sync.WaitGroup
	slots := make(chan struct{}, lanes)
	var mu sync.Mutex
	survived := 0
	for _, h := range named {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			t.Run(h.name, func(t *testing.T) {
				var l *lane
				if h.o != nil {
					l = startLane(t, env, z, h.o(t, z))
				} else {
					l = &lane{t: t, Stack: &product.Stack{Env: env}}
				}
				h.do(l, z)
				mu.Lock()
				defer mu.Unlock()
				survived++
			})
		})
	}
	all.Wait()
	counted.add("named faults: %d, survived %d", len(named), survived)
	require.Equal(t, len(named), survived)
}

// TestEnsembleFaults harms the ensemble itself, in the middle of moves.
func TestEnsembleFaults(t *testing.T) {
	env := servers.Require(t, servers.AllParts...)
	z := env.NewZooKeeper(t, 3)
	l := startLane(t, env, z, laneOptions{})
	for _, server := range []func() *servers.Server{
		func() *servers.Server { leader, err := z.Leader(t.Context()); require.NoError(t, err); return leader },
		func() *servers.Server { return follower(t, z) },
	} {
		victim := server()
		l.up()
		require.NoError(t, victim.Kill())
		l.settled()
		require.NoError(t, victim.Start(t.Context()))
		frozen := server()
		l.down()
		require.NoError(t, frozen.Freeze())
		// longer than a session of 4 s, and than followers wait for a leader
		time.Sleep(6 * time.Second)
		require.NoError(t, frozen.Continue())
		require.NoError(t, frozen.AwaitReady(t.Context()))
		l.settled()
	}
	require.Positive(t, l.clean().lowered)
	counted.add("ensemble: leader and a follower killed and frozen in the middle of moves: 4 faults")
}

func follower(t *testing.T, z *servers.ZooKeeper) *servers.Server {
	t.Helper()
	leader, err := z.Leader(t.Context())
	require.NoError(t, err)
	for _, s := range z.Servers {
		if s != leader {
			return s
		}
	}
	t.Fatal("an ensemble of one has no follower")
	return nil
}

// drainHeld begins the drain of instance 2, which does not acknowledge yet. Its session lives, or
// nothing would be taken from it.
func (l *lane) drainHeld() {
	l.t.Helper()
	l.grown()
	l.stall(2)
	l.down()
	l.inFlight(2)
}

// stays requires that what is in flight from an ordinal is there still, after the product has
// read again and again.
func (l *lane) stays(from int, while time.Duration) {
	l.t.Helper()
	for end := time.Now().Add(while); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		require.True(l.t, slices.ContainsFunc(l.assignment().Flight, func(f product.Flight) bool { return f.From == from }), "nothing is in flight from %d any more", from)
	}
}

func frozenInstance(l *lane, _ *servers.ZooKeeper) {
	l.drainHeld()
	l.hang(2)
	l.stays(2, 12*time.Second) // its session is of 4 s
	l.resume(2)
	l.settled()
	require.Positive(l.t, l.clean().rules.Released["i"])
}

func containerRestart(l *lane, _ *servers.ZooKeeper) {
	l.drainHeld()
	l.instance(2, "crash", time.Second)
	l.settled()
	require.Positive(l.t, l.clean().rules.LeftFlight)
}

func podReplaced(l *lane, _ *servers.ZooKeeper) {
	l.drainHeld()
	require.NoError(l.t, l.Kube.CoreV1().Pods(l.Namespace).Delete(l.t.Context(), thingSet+"-2", metav1.DeleteOptions{}))
	l.settled()
	require.Positive(l.t, l.clean().rules.Released["ii"])
}

func statusDeleted(l *lane, z *servers.ZooKeeper) {
	l.drainHeld()
	conn := z.Dial(l.t)
	if err := conn.Delete(l.Chroot+"/iota/orchestration/"+thing+"/2/tmp/status", -1); !errors.Is(err, zk.ErrNoNode) {
		require.NoError(l.t, err)
	}
	l.stays(2, 3*time.Second)
	l.resume(2)
	l.settled()
	require.Positive(l.t, l.clean().rules.Released["i"])
}

func oldEphemeral(l *lane, _ *servers.ZooKeeper) {
	l.drainHeld()
	l.instance(2, "crash", 100*time.Millisecond) // the session lives on in ZooKeeper
	l.settled()
	l.clean()
}

func targetDrained(l *lane, _ *servers.ZooKeeper) {
	l.stall(0)
	l.stall(1)
	l.up()
	l.flightTo(2)
	l.target *= 2
	require.NoError(l.t, l.Configure(l.t.Context(), func(c *config.Config) { c.Kinds[0].TargetPerInstance = l.target }))
	l.sees("2 is closed again", func(a *product.Assignment) bool {
		return !slices.Contains(a.Open, 2)
	})
	l.resume(0)
	l.resume(1)
	l.settled()
	l.clean()
}

// flightTo waits until something is in flight to an ordinal, and returns from where.
func (l *lane) flightTo(to int) (from int) {
	l.t.Helper()
	l.sees(fmt.Sprintf("something is in flight to %d", to), func(a *product.Assignment) bool {
		for _, f := range a.Flight {
			if slices.Contains(f.To, to) {
				from = f.From
				return true
			}
		}
		return false
	})
	return from
}

func targetFilled(l *lane, _ *servers.ZooKeeper) {
	l.stall(0)
	l.stall(1)
	l.up()
	l.flightTo(2)
	l.create(3*20 - least - batch) // all the room there is, reservations included
	l.sees("all but what is in flight is placed", func(a *product.Assignment) bool {
		return a.Assigned()+a.InFlight() == 60
	})
	l.resume(0)
	l.resume(1)
	l.sees("three instances are full", func(a *product.Assignment) bool {
		return a.Assigned() == 60
	})
	v := l.clean()
	require.LessOrEqual(l.t, v.rules.Longest, 20, "a list was longer than the capacity")
}

func sessionExpires(l *lane, z *servers.ZooKeeper) {
	proxy := zkproxy.New(l.t, z.Addrs()...)
	l = startLane(l.t, l.Env, z, laneOptions{change: through(proxy)})
	l.drainHeld()
	before := proxy.Session().ID
	proxy.Expire(l.t)
	l.until("another session", func(context.Context) error {
		if proxy.Session().ID == before {
			return errors.New("there is none")
		}
		return nil
	})
	l.resume(2)
	l.settled()
	l.clean()
}

// partitionHealed cuts the product off in the middle of a plan; what it had sent passes when
// another epoch has begun.
func partitionHealed(l *lane, z *servers.ZooKeeper) {
	proxy := zkproxy.New(l.t, z.Addrs()...)
	l = startLane(l.t, l.Env, z, laneOptions{change: func(o *product.Options) {
		o.Replicas = 2
		o.EachServer = func(i int) []string {
			if i == 0 {
				return []string{"--zookeeper", proxy.Addr() + o.Chroot}
			}
			return nil
		}
		electing(o)
	}})
	require.NoError(l.t, l.Servers[1].Stop(l.t.Context())) // it gives leading up, if it leads
	l.until("the replica behind the proxy leads", func(ctx context.Context) error {
		_, err := l.Leader(ctx)
		return err
	})
	require.NoError(l.t, l.Servers[1].Start())
	l.drainHeld()
	proxy.Partition()
	l.resume(2)
	// so that it believes that it leads, though another takes over
	require.NoError(l.t, l.Servers[0].Freeze())
	l.until("the other replica leads", func(ctx context.Context) error {
		leader, err := l.Leader(ctx)
		if err == nil && leader != l.Servers[1] {
			err = errors.New("it does not")
		}
		return err
	})
	l.settled()
	proxy.Heal()
	require.NoError(l.t, l.Servers[0].Continue())
	l.up()
	l.settled()
	l.clean()
}

// electing makes the replicas elect their leader.
func electing(o *product.Options) { o.ServerFlags = append(o.ServerFlags, "--leader-elect=true") }

func twoElected(*testing.T, *servers.ZooKeeper) laneOptions {
	return laneOptions{change: func(o *product.Options) { o.Replicas = 2; electing(o) }}
}

func twoLeaders(*testing.T, *servers.ZooKeeper) laneOptions {
	return laneOptions{change: func(o *product.Options) { o.Replicas = 2 }}
}

// twoBelieve lets two that were never elected write against each other.
func twoBelieve(l *lane, _ *servers.ZooKeeper) {
	for range 2 {
		l.up()
		l.settled()
		l.down()
		l.settled()
	}
	require.NoError(l.t, l.Servers[1].Kill())
	l.up()
	l.settled()
	v := l.clean()
	require.Greater(l.t, v.rules.Epochs, 2, "they did not fight")
}

// formerLeader stops the leader when it has verified that instance 2 is empty, lets its successor
// open 2 again, and continues it.
func formerLeader(l *lane, _ *servers.ZooKeeper) {
	l.grown()
	var former, successor *product.Server
	l.until("one of the two leads", func(ctx context.Context) (err error) {
		former, err = l.Leader(ctx)
		return err
	})
	for _, s := range l.Servers {
		if s != former {
			successor = s
		}
	}
	// until its work is there: it must neither meet the fault nor scale down itself
	require.NoError(l.t, successor.Freeze())
	l.arm("scale.verified=stop")
	l.down()
	l.until("the leader is stopped", func(context.Context) error {
		if l.told("fired", "scale.verified") == 0 {
			return errors.New("it is not")
		}
		return nil
	})
	l.disarm()
	l.up()
	// what was created may reach its successor only after a tick: it must not scale down for that
	require.NoError(l.t, l.Configure(l.t.Context(), func(c *config.Config) { c.Kinds[0].Init = 3 }))
	require.NoError(l.t, successor.Continue())
	l.sees("its successor has opened 2 again, which owns something", func(a *product.Assignment) bool {
		return slices.Contains(a.Open, 2) && a.Instances[2] != nil && len(a.Instances[2].IDs) > 0
	})
	require.NoError(l.t, former.Continue())
	shrinks := func(accepted bool) bool {
		writes, err := l.ScaleWrites()
		require.NoError(l.t, err)
		return slices.ContainsFunc(writes, func(w product.ScaleWrite) bool { return w.Replicas == 2 && w.Accepted == accepted })
	}
	l.until("the former leader's write is refused, or it notices that it leads no more before it writes", func(context.Context) error {
		if !shrinks(false) && l.told("passed", "lead.stopped") == 0 {
			return errors.New("neither")
		}
		return nil
	})
	require.False(l.t, shrinks(true), "the former leader's write was accepted")
	l.settled()
	l.clean()
}

// kubernetesAway takes the API server away for a minute: the leader goes on leading, creates are
// durable all the same, and nothing is sized.
func kubernetesAway(l *lane, z *servers.ZooKeeper) {
	var relay *relay
	l = startLane(l.t, l.Env, z, laneOptions{change: func(o *product.Options) {
		electing(o)
		o.Before = func(_ context.Context, s *product.Stack) (err error) {
			var file string
			if relay, file, err = relayTo(l.t, filepath.Join(o.Dir, "kubeconfig")); err == nil {
				s.ServerFlags = append(s.ServerFlags, "--kubeconfig", file)
			}
			return err
		}
	}})
	l.leads(1)
	relay.away(true)
	before, err := l.ScaleWrites()
	require.NoError(l.t, err)
	l.create(batch)
	l.sees("the creates are durable", func(a *product.Assignment) bool {
		return a.Assigned()+len(a.Pool)+a.InFlight() == len(l.ids)
	})
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Second) {
		l.leads(1)
	}
	after, err := l.ScaleWrites()
	require.NoError(l.t, err)
	require.Equal(l.t, before, after, "a size was written without the API server")
	relay.away(false)
	l.settled()
	l.clean()
}

// relay passes bytes on to one address, or nothing at all.
type relay struct {
	listener net.Listener
	target   string
	mu       sync.Mutex
	gone     bool
	conns    []net.Conn
}

// relayTo puts a relay before the API server of a kubeconfig, and returns a copy of it that leads
// there.
func relayTo(t *testing.T, kubeconfig string) (*relay, string, error) {
	raw, err := os.ReadFile(kubeconfig)
	if err != nil {
		return nil, "", err
	}
	_, rest, found := strings.Cut(string(raw), "https://")
	if !found {
		return nil, "", errors.New("the kubeconfig names no server")
	}
	target := rest[:strings.IndexAny(rest, "\n\"/ ")]
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	r := &relay{listener: listener, target: target}
	go r.serve()
	t.Cleanup(func() { _ = listener.Close(); r.away(true) })
	file := kubeconfig + ".relayed"
	return r, file, os.WriteFile(file, []byte(strings.ReplaceAll(string(raw), target, listener.Addr().String())), 0o600)
}

func (r *relay) serve() {
	for {
		in, err := r.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", r.target)
		r.mu.Lock()
		if err != nil || r.gone {
			_ = in.Close()
			if out != nil {
				_ = out.Close()
			}
			r.mu.Unlock()
			continue
		}
		r.conns = append(r.conns, in, out)
		r.mu.Unlock()
		go func() { _, _ = io.Copy(in, out); _ = in.Close() }()
		go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
	}
}

// away cuts what there is and refuses what comes, until it is told otherwise.
func (r *relay) away(gone bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone = gone; gone {
		for _, c := range r.conns {
			_ = c.Close()
		}
		r.conns = nil
	}
}

func legacyFirst(*testing.T, *servers.ZooKeeper) laneOptions {
	return laneOptions{change: func(o *product.Options) { o.WorkloadFlags = append(o.WorkloadFlags, "--hand-off", "legacy") }}
}

// rollingUpdate replaces instances that know nothing of statuses by such that acknowledge. From the
// former nothing is taken.
func rollingUpdate(l *lane, _ *servers.ZooKeeper) {
	before := l.assignment().Owners()
	l.up()
	l.sees("2 is open", func(a *product.Assignment) bool {
		return slices.Contains(a.Open, 2)
	})
	var o api.Orchestration
	require.NoError(l.t, l.server().REST(l.t.Context(), http.MethodGet, "/v1/api/orchestrations/"+thing, "", nil, &o))
	require.Equal(l.t, "its status is absent", o.NotAcknowledging["0"])
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		a := l.assignment()
		require.Zero(l.t, a.InFlight())
		for id, n := range before {
			require.Equal(l.t, n, a.Owners()[id], id)
		}
	}
	patch := []byte(`{"spec":{"template":{"metadata":{"annotations":{"dacsim.shardscaler.io/hand-off":"acknowledged"}}}}}`)
	_, err := l.Kube.AppsV1().StatefulSets(l.Namespace).Patch(l.t.Context(), thingSet, types.MergePatchType, patch, metav1.PatchOptions{})
	require.NoError(l.t, err)
	l.settled()
	l.down()
	l.settled()
	require.Positive(l.t, l.clean().rules.Released["i"], "the new ones acknowledge")
}
