package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/tools/bars/rounds"
)

const (
	kindThings    = 1000 // resources of each kind
	kindInstances = 3
	kindsImported = 10 * time.Minute // what an import of all of them may take
	// createdKinds are those in which something is created, in turns, kindRate a second, for
	// kindCreates creates, while the others rest.
	createdKinds = 10
	kindRate     = 5
	kindCreates  = 300
)

// manyKinds measures what many kinds take at rest, beside some of them alone in the same process,
// and how long a create in a few of them takes while the others rest.
func manyKinds(some, all int, long idle) measure {
	m := &kinds{fleet: &fleet{down: map[*product.Server]bool{}}}
	return inWorldOf(1, 1, m.options, func(ctx context.Context, _ *world) (_ map[string]float64, err error) {
		// It would make the pods anew, which are objects that nobody runs.
		if err := m.b.env.Kubernetes.ControllerManager.Freeze(); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, m.b.env.Kubernetes.ControllerManager.Continue()) }()
		began := time.Now()
		if err := m.createObjects(ctx, all); err != nil {
			return nil, err
		}
		m.b.tell("%d StatefulSets with their pods are there after %s", all, time.Since(began).Round(time.Second))
		few, err := m.rest(ctx, some, long)
		if err != nil {
			return nil, err
		}
		many, err := m.rest(ctx, all, long)
		if err != nil {
			return nil, err
		}
		measured := map[string]float64{
			"leader_cores": many.cpu / 60, "leader_api_requests_per_min": many.calls,
			"some_leader_cores": few.cpu / 60, "some_leader_api_requests_per_min": few.calls,
			"cores_a_kind_over_some":     many.cpu / float64(all) / (few.cpu / float64(some)),
			"follower_cores":             many.followerCPU / 60,
			"zookeeper_requests_per_min": many.zookeeper, "some_zookeeper_requests_per_min": few.zookeeper,
		}
		listed, err := m.createInTurns(ctx)
		if err != nil {
			return measured, err
		}
		quantiles(measured, "create_listed", listed)
		return measured, nil
	})
}

// kinds is a fleet whose replicas have kinds of their own instead of the platform's.
type kinds struct {
	*fleet
	file string // their configuration
}

func kindName(k int) string { return fmt.Sprintf("Kind%04d", k) }

func kindSet(k int) string { return fmt.Sprintf("kind-%04d", k) }

func (m *kinds) options(w *world, o *product.Options) error {
	m.world = w
	if err := m.fleet.options(o, 2, wires{zookeeper: true, api: true}); err != nil {
		return err
	}
	m.file = filepath.Join(o.Dir, "kinds.yaml")
	o.ServerFlags = append(o.ServerFlags, "--config", m.file)
	before := o.Before
	o.Before = func(ctx context.Context, s *product.Stack) error {
		return errors.Join(before(ctx, s), m.configure(1))
	}
	return nil
}

// configure has the replicas run the first n kinds. Of each, the catalogue has as many resources as
// are to be there from the start, and those that are created later.
func (m *kinds) configure(n int) error {
	var text strings.Builder
	text.WriteString("kinds:\n")
	for k := range n {
		fmt.Fprintf(&text, "- {name: %[1]s, statefulSet: %[2]s, capacity: 5000, targetPerInstance: 1000, init: %[3]d, max: 10, behavior: {scaleDown: {stabilizationWindow: 30s}}, "+
			"catalogue: {query: \"SELECT '%[1]s-' || n AS id FROM generate_series(1, %[4]d) n UNION ALL SELECT id FROM \\\"Thing\\\" WHERE id LIKE '%[1]s-%%'\"}}\n",
			kindName(k), kindSet(k), kindInstances, kindThings)
	}
	next := m.file + ".next"
	if err := os.WriteFile(next, []byte(text.String()), 0o600); err != nil {
		return err
	}
	return os.Rename(next, m.file)
}

// kindUse is what the replicas took, a minute.
type kindUse struct {
	usage
	followerCPU, zookeeper float64
}

// rest imports what the first n kinds have, and says what they take at rest.
func (m *kinds) rest(ctx context.Context, n int, long idle) (u kindUse, err error) {
	began := time.Now()
	if err := m.configure(n); err != nil {
		return u, err
	}
	if err := m.awaitImported(ctx, n); err != nil {
		return u, err
	}
	if err := m.speak(ctx, n); err != nil {
		return u, err
	}
	m.b.tell("%d kinds have their resources after %s; now at rest", n, time.Since(began).Round(time.Second))
	leader, err := m.leader(ctx)
	if err == nil {
		err = pause(ctx, long.settle)
	}
	if err != nil {
		return u, err
	}
	before, began := m.taken(leader), time.Now()
	if err := pause(ctx, long.look); err != nil {
		return u, err
	}
	after, minutes := m.taken(leader), time.Since(began).Minutes()
	if now, err := m.leader(ctx); err != nil || now != leader {
		return u, errors.Join(err, errors.New("another replica leads: it was no rest"))
	}
	per := func(of func(kindUse) float64) float64 { return (of(after) - of(before)) / minutes }
	u.cpu, u.calls = per(func(u kindUse) float64 { return u.cpu }), per(func(u kindUse) float64 { return u.calls })
	u.followerCPU, u.zookeeper = per(func(u kindUse) float64 { return u.followerCPU }), per(func(u kindUse) float64 { return u.zookeeper })
	m.b.tell("%d kinds at rest, a minute: leader's CPU %s s, its calls %s; follower's CPU %s s; requests to ZooKeeper %s, of them reads %s, syncs %s", n,
		number(u.cpu), number(u.calls), number(u.followerCPU), number(u.zookeeper),
		number(per(func(u kindUse) float64 { return u.reads + u.followerReads })), number(per(func(u kindUse) float64 { return u.syncs })))
	return u, nil
}

// taken is what was taken since the start.
func (m *kinds) taken(leader *product.Server) (u kindUse) {
	u.usage = m.used(leader)
	for i, v := range m.Servers {
		if v != leader {
			u.followerCPU += cpuOf(v.Server)
		}
		for _, n := range m.zookeeper[i].Requests() {
			u.zookeeper += float64(n)
		}
	}
	return u
}

// leader is the replica that says that it leads.
func (m *kinds) leader(ctx context.Context) (leader *product.Server, err error) {
	err = product.Until(ctx, product.Patience, func(ctx context.Context) error {
		leader = nil
		for _, v := range m.Servers {
			text, err := v.Text(ctx, "/metrics")
			if err != nil {
				return fmt.Errorf("ask %s who leads: %w", v.Name, err)
			}
			if strings.Contains(text, "\nshardscaler_leading 1\n") {
				leader = v
			}
		}
		if leader == nil {
			return errors.New("no replica leads")
		}
		return nil
	})
	return leader, err
}

// awaitImported returns when each of the first n kinds has all its resources in lists.
func (m *kinds) awaitImported(ctx context.Context, n int) error {
	done := 0 // so many of the first have
	return product.Until(ctx, kindsImported, func(ctx context.Context) error {
		for ; done < n; done++ {
			sum := 0
			for i := range kindInstances {
				used, err := m.usedBy(kindName(done), i)
				if err != nil {
					return fmt.Errorf("instance %d of %s: %w", i, kindName(done), err)
				}
				sum += used
			}
			if sum != kindThings {
				return fmt.Errorf("%d of %d resources of %s are in a list", sum, kindThings, kindName(done))
			}
		}
		return nil
	})
}

// createInTurns creates one by one in a few of the kinds, and returns how long each took until it was in
// a list, in ms.
func (m *kinds) createInTurns(ctx context.Context) (listed []float64, err error) {
	watch := m.newWatch(ctx)
	defer watch.stop()
	for k := range createdKinds {
		for i := range kindInstances {
			watch.follow(func() (<-chan zk.Event, error) { return watch.list(kindName(k), i) })
		}
	}
	published, ids := map[string]time.Time{}, []string{}
	began := time.Now()
	for c := range kindCreates {
		id := fmt.Sprintf("%s-new-%d", kindName(c%createdKinds), c)
		if err := m.Platform.Insert(ctx, thing, id); err != nil {
			return nil, err
		}
		time.Sleep(time.Until(began.Add(time.Duration(c) * time.Second / kindRate)))
		ids, published[id] = append(ids, id), time.Now()
		if err := m.Platform.Publish(ctx, product.Created(kindName(c%createdKinds), id)); err != nil {
			return nil, err
		}
	}
	err = product.Until(watch.ctx, time.Minute, func(context.Context) error { return watch.haveSeen(ids) })
	watch.stop()
	if err := errors.Join(err, watch.group.Wait()); err != nil {
		return nil, err
	}
	for id, at := range published {
		listed = append(listed, watch.listed[id].Sub(at).Seconds()*1e3)
	}
	m.b.tell("created %d one by one in %d kinds; listed p50 %s ms, p99 %s", kindCreates, createdKinds,
		number(rounds.Median(listed)), number(rounds.Quantile(listed, 0.99)))
	return listed, nil
}
