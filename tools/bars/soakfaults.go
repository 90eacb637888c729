package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/internal/testbed/workload"
	"github.com/shardscaler/shardscaler/internal/wake"
)

const (
	// faultPeriod is the time from one fault to the next, away how long what it takes away is away.
	faultPeriod = 10 * time.Second
	away        = 6 * time.Second
)

// misfortune is one kind of fault; do returns when it is over.
type misfortune struct {
	name string
	do   func(s *soak, ctx context.Context) error
}

// misfortunes come in any order, each as often as it stands here.
var misfortunes = []misfortune{
	{"a leader is killed", (*soak).killLeader},
	{"a leader is killed", (*soak).killLeader},
	{"a leader is frozen", struckLeader(freeze)},
	{"a leader is cut off from ZooKeeper", struckLeader(cut)},
	{"a follower is killed", (*soak).killFollower},
	{"connections to ZooKeeper break", (*soak).breakConnections},
	{"an instance crashes", instanceFault("crash")},
	{"an instance hangs", instanceFault("hang")},
	{"an instance stalls", instanceFault("stall")},
	{"a pod is deleted", (*soak).deletePod},
	{"ZooKeeper is frozen", frozen(func(e *servers.Env) []*servers.Server { return e.ZooKeeper.Servers })},
	{"ZooKeeper is killed", (*soak).killZooKeeper},
	{"Kafka is killed", killed(func(e *servers.Env) *servers.Server { return e.Kafka.Server })},
	{"the MQTT broker is frozen", frozen(func(e *servers.Env) []*servers.Server { return []*servers.Server{e.MQTT.Server} })},
	{"the MQTT broker is killed", killed(func(e *servers.Env) *servers.Server { return e.MQTT.Server })},
	{"the catalogue is frozen", frozen(func(e *servers.Env) []*servers.Server { return []*servers.Server{e.Postgres.Server} })},
	{"the API server is frozen", frozen(func(e *servers.Env) []*servers.Server { return []*servers.Server{e.Kubernetes.APIServer} })},
}

// strikeOn brings one fault after the other until ctx ends; each is healed.
func (s *soak) strikeOn(ctx context.Context) error {
	whole := context.WithoutCancel(ctx)
	for round := 0; ; round++ {
		order := s.random.Perm(len(misfortunes))
		for _, i := range order {
			next := time.Now().Add(faultPeriod)
			m := misfortunes[i]
			if err := m.do(s, whole); err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
			s.report.strikes[m.name]++
			if wake.Sleep(ctx, time.Until(next)); ctx.Err() != nil {
				return nil
			}
		}
		s.b.tell("%d faults, %d Things replaced", (round+1)*len(misfortunes), s.report.replaced.Load())
	}
}

// leader is the replica that leads now; nil: none is known to, since the last fault is not over.
func (s *soak) leader(ctx context.Context) *product.Server {
	ctx, cancel := context.WithTimeout(ctx, away)
	defer cancel()
	leader, err := s.settled(ctx)
	if err != nil {
		return nil
	}
	return leader
}

// killLeader freezes replica 0 instead: that is never killed.
func (s *soak) killLeader(ctx context.Context) error {
	switch leader := s.leader(ctx); leader {
	case nil:
		return nil
	case s.Servers[0]:
		return struckLeader(freeze)(s, ctx)
	default:
		return s.kill(leader)
	}
}

func (s *soak) killFollower(ctx context.Context) error {
	leader := s.leader(ctx)
	for _, v := range s.Servers[1:] {
		if v != leader && v.Running() {
			return s.kill(v)
		}
	}
	return nil
}

// struckLeader strikes whichever replica leads, and gives it back.
func struckLeader(how strike) func(*soak, context.Context) error {
	return func(s *soak, ctx context.Context) error {
		leader := s.leader(ctx)
		if leader == nil {
			return nil
		}
		if err := how.begin(s.fleet, leader); err != nil {
			return err
		}
		wake.Sleep(ctx, away)
		return how.end(s.fleet, leader)
	}
}

// breakConnections ends those of all replicas at once; the answers on their way are lost.
func (s *soak) breakConnections(context.Context) error {
	for _, p := range s.zookeeper {
		p.Cut()
	}
	return nil
}

// instanceFault is one of what dacsim knows, of an instance that it plays now.
func instanceFault(what string) func(*soak, context.Context) error {
	return func(s *soak, ctx context.Context) error {
		all, err := s.Control.Instances(ctx, false)
		all = slices.DeleteFunc(all, func(in workload.Instance) bool { return in.Kind != thing })
		if err != nil || len(all) == 0 {
			return err
		}
		in := all[s.random.IntN(len(all))]
		return s.tolerate(s.Control.Fault(ctx, thing, in.Ordinal, what, 2*away))
	}
}

// deletePod deletes the pod of an instance, as a person or a drained node does.
func (s *soak) deletePod(ctx context.Context) error {
	name := fmt.Sprintf("%s-%d", thingSet, s.random.IntN(leastResized))
	return s.tolerate(s.Kube.CoreV1().Pods(s.namespace).Delete(ctx, name, metav1.DeleteOptions{}))
}

// tolerate passes over what could not be asked for, as when the instance has just gone.
func (s *soak) tolerate(err error) error {
	if err != nil {
		s.b.tell("a fault did not come: %v", err)
	}
	return nil
}

func frozen(of func(*servers.Env) []*servers.Server) func(*soak, context.Context) error {
	return func(s *soak, ctx context.Context) (err error) {
		for _, v := range of(s.b.env) {
			err = errors.Join(err, v.Freeze())
		}
		wake.Sleep(ctx, away)
		for _, v := range of(s.b.env) {
			err = errors.Join(err, v.Continue())
		}
		return err
	}
}

func killed(of func(*servers.Env) *servers.Server) func(*soak, context.Context) error {
	return func(s *soak, ctx context.Context) error {
		if err := of(s.b.env).Kill(); err != nil {
			return err
		}
		return of(s.b.env).Start(ctx)
	}
}

func (s *soak) killZooKeeper(ctx context.Context) error {
	if err := s.b.env.ZooKeeper.Kill(); err != nil {
		return err
	}
	return s.b.env.ZooKeeper.Start(ctx)
}
