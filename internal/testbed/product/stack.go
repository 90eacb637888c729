// Package product runs the whole product on the servers of an Env: what `kubectl apply -k
// manifests` installs, one or more replicas of shardscaler as processes under their own service
// account, and dacsim as the workload.
//
// In: a servers.Env and Options. Out: a Stack, with which a test or a demonstration plays the
// platform (Platform), looks at what came of it (Assignment, Size, Metric: none of them by the
// product's own code), and breaks things.
//
// Invariant: everything a Stack made ends with Close, and its processes at the latest with the
// sandbox. Two Stacks in two namespaces share only the APIService objects, of which a cluster has
// one set.
package product

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/internal/testbed/servers/certs"
	"github.com/shardscaler/shardscaler/internal/testbed/workload"
)

// Options say what a Stack consists of.
type Options struct {
	// Dir takes logs, kubeconfigs and certificates; it must exist.
	Dir      string
	Programs Programs
	// Namespace must exist, and so must the Kafka topic BeatTopic. Chroot goes before ZooKeeper's
	// paths and may be empty.
	Namespace string
	Chroot    string
	BeatTopic string
	MQTTTopic string
	Catalogue servers.Database
	// ZooKeeper and Kafka are the sandbox's own unless set: a test that stops one brings its own.
	ZooKeeper *servers.ZooKeeper
	Kafka     *servers.Kafka

	Config *config.Config // what the ConfigMap holds at the start
	// SelfManagedCert lets the product make its serving certificate; otherwise it comes from files.
	SelfManagedCert bool
	Replicas        int // of shardscaler; default 1
	// DefaultTimers leaves the sessions with ZooKeeper at their default; otherwise they are
	// short, since a test waits for them.
	DefaultTimers bool
	// ServerFlags and WorkloadFlags are added to the usual ones, ServerEnv to the environment.
	ServerFlags, WorkloadFlags, ServerEnv []string
	// EachServer are the flags of one replica, after ServerFlags; it may be nil.
	EachServer func(i int) []string
	// Private leaves out the APIServices, of which a cluster has one set: Stacks then run beside
	// each other, and the API server serves no metrics of theirs.
	Private bool
	// Sizes are the replicas of StatefulSets at the start, Starts their first ordinals; those not
	// named start as the manifests have them.
	Sizes, Starts map[string]int
	// Bare leaves out the workload: nothing runs on the instances.
	Bare bool
	// Hooks lets the workload run the preStop hooks of its pods, with what stands for the Service
	// shardscaler as their server.
	Hooks bool
	// Before runs when Kubernetes has everything and none of our processes runs yet; it may be nil.
	Before func(context.Context, *Stack) error
	// Progress is told what is being done; it may be nil.
	Progress io.Writer
}

// Stack is the product at work.
type Stack struct {
	Options
	Cluster
	Tree
	Env *servers.Env

	Platform *Platform
	Servers  []*Server
	Workload *Process
	Control  workload.Control

	RunLog     string       // file in which the workload says what ran where and when
	Kubeconfig string       // file that the product is given, of its service account
	Certs      *certs.Files // of the metrics API

	front   *front                        // where the APIServices lead
	apis    []string                      // group and version of each APIService
	fronts  []*front                      // front, and where the Service shardscaler leads, if it is asked for
	closers []func(context.Context) error // in the order of starting
}

// Patience is how long anything may take before it counts as failed. It bounds failures only:
// nothing is asserted about time.
const Patience = 3 * time.Minute

// Start installs and starts everything and returns when every replica is ready and the metrics API
// answers. What was started is ended when it fails.
func Start(ctx context.Context, env *servers.Env, o Options) (*Stack, error) {
	s := &Stack{Options: o, Env: env}
	s.Replicas, s.ZooKeeper, s.Kafka = cmp.Or(o.Replicas, 1), cmp.Or(o.ZooKeeper, env.ZooKeeper), cmp.Or(o.Kafka, env.Kafka)
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"connect to Kubernetes", s.connect},
		{"install the manifests", s.install},
		{"connect the platform", s.startPlatform},
		{"prepare", func(ctx context.Context) error {
			if s.Before == nil {
				return nil
			}
			return s.Before(ctx, s)
		}},
		{"start the workload", s.startWorkload},
		{"start shardscaler", s.startServers},
		{"wait for shardscaler", s.awaitReady},
	} {
		if err := step.do(ctx); err != nil {
			err = fmt.Errorf("%s: %w", step.what, err)
			return nil, errors.Join(err, s.Close(context.WithoutCancel(ctx)))
		}
		if s.Progress != nil {
			fmt.Fprintln(s.Progress, step.what)
		}
	}
	return s, nil
}

// Close ends the processes and removes from the cluster what is not in the namespace, newest first.
func (s *Stack) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	var faults []error
	for _, c := range slices.Backward(s.closers) {
		faults = append(faults, c(ctx))
	}
	s.closers = nil
	return errors.Join(faults...)
}

// onClose notes what Close has to do.
func (s *Stack) onClose(c func(context.Context) error) { s.closers = append(s.closers, c) }

// connect also makes certificates, for the name of the Service, which the API server asks for.
func (s *Stack) connect(context.Context) (err error) {
	s.Cluster = Cluster{control: s.Env.Kubernetes, space: s.Namespace}
	conn, _, err := s.ZooKeeper.Open(10 * time.Second)
	if err != nil {
		return fmt.Errorf("connect to ZooKeeper: %w", err)
	}
	s.onClose(func(context.Context) error { conn.Close(); return nil })
	s.Tree = Tree{ensemble: s.ZooKeeper, chroot: s.Chroot, conn: conn}
	rest, err := s.control.Config()
	if err != nil {
		return err
	}
	if s.Kube, err = kubernetes.NewForConfig(rest); err != nil {
		return err
	}
	s.Certs, err = certs.Write(s.Dir, "shardscaler", s.serverName())
	return err
}

// startWorkload starts dacsim for every configured kind.
func (s *Stack) startWorkload(context.Context) error {
	if s.Bare {
		return nil
	}
	s.RunLog = filepath.Join(s.Dir, "runs.jsonl")
	ports, err := servers.FreePorts(1)
	if err != nil {
		return err
	}
	s.Control = workload.Control{Addr: fmt.Sprintf("127.0.0.1:%d", ports[0])}
	args := []string{
		"run", "--kubeconfig", s.Env.Kubernetes.Kubeconfig, "--namespace", s.Namespace,
		"--zookeeper", s.ZooKeeper.Connect + s.Chroot, "--kafka", s.Kafka.Addr, "--topic", s.BeatTopic,
		"--control", s.Control.Addr, "--run-log", s.RunLog,
	}
	var beating []string
	for _, k := range s.Config.Kinds {
		args = append(args, "--kind", k.Name+"="+k.StatefulSet)
		if k.Heartbeat != nil {
			beating = append(beating, k.Name)
		}
	}
	args = append(args, "--beating", strings.Join(beating, ","))
	if s.Hooks {
		rest, err := s.newFront(func(v *Server) string { return v.Addr })
		if err != nil {
			return err
		}
		args = append(args, "--prestop", s.Programs.Prestop, "--prestop-server", fmt.Sprintf("http://127.0.0.1:%d", rest.port()))
	}
	s.Workload = newProcess(s.Env, s.Dir, "dacsim", s.Programs.Dacsim, append(args, s.WorkloadFlags...)...)
	s.onClose(s.Workload.Stop)
	return s.Workload.Start()
}

// write puts a file into the Stack's folder.
func (s *Stack) write(name string, content []byte) (string, error) {
	file := filepath.Join(s.Dir, name)
	return file, os.WriteFile(file, content, 0o600)
}

// serverName is what the certificate of the metrics API must name.
func (s *Stack) serverName() string { return fmt.Sprintf("%s.%s.svc", serviceName, s.Namespace) }

// Until calls try until it returns nil, and says what it returned last when the time is over. The
// times between two tries are short, since a test waits for each.
func Until(ctx context.Context, limit time.Duration, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	began := time.Now()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("after %s: %w", time.Since(began).Round(time.Second), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
