package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/shardscaler/shardscaler/internal/samesite"
	"github.com/shardscaler/shardscaler/internal/testbed/workload"
)

// options are the flags of run, as text where the configuration wants something else.
type options struct {
	cfg                    workload.Config
	kubeconfig, zookeeper  string
	kinds, beating         []string
	cpuBase, cpuEach       string
	memoryBase, memoryEach string
	control, runLog        string
	verbose                bool
}

func runCommand() *cobra.Command {
	o := options{cfg: workload.Default()}
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Play the pods of a namespace until interrupted",
		Example: `  dacsim run --kubeconfig kubeconfig --namespace iota --zookeeper 127.0.0.1:2181 --kafka 127.0.0.1:9092 \
    --kind Thing=iota-dac --kind Rule=iota-rules-engine --beating Thing --control 127.0.0.1:9310 --run-log runs.jsonl`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig file; empty: the pod's own service account")
	f.StringVar(&o.cfg.Namespace, "namespace", o.cfg.Namespace, "namespace of the StatefulSets")
	f.StringArrayVar(&o.kinds, "kind", []string{"Thing=iota-dac", "Rule=iota-rules-engine"}, "KIND=STATEFULSET to play; may be repeated")
	f.StringSliceVar(&o.beating, "beating", []string{"Thing"}, "kinds whose instances send heartbeats")
	f.StringVar(&o.zookeeper, "zookeeper", "127.0.0.1:2181", "host:port,…[/chroot]")
	f.DurationVar(&o.cfg.Session, "session-timeout", o.cfg.Session, "ZooKeeper session each instance asks for")
	f.StringVar((*string)(&o.cfg.Mode), "hand-off", string(o.cfg.Mode), "how instances answer a reload: acknowledged (status with times), immediate (empty status), legacy (no status)")
	f.BoolVar(&o.cfg.Fences, "fences", false, "instances declare and keep that they stop all work 2/3 of the session after ZooKeeper's last answer")
	f.StringSliceVar(&o.cfg.Kafka, "kafka", nil, "brokers host:port,…; empty: no instance beats")
	f.StringVar(&o.cfg.Topic, "topic", o.cfg.Topic, "Kafka topic of the heartbeats")
	f.DurationVar(&o.cfg.Beat, "beat", o.cfg.Beat, "time between two heartbeats of an instance")
	f.StringVar(&o.cpuBase, "cpu-base", "20m", "CPU of an instance that runs nothing")
	f.StringVar(&o.cpuEach, "cpu-per-resource", "50u", "CPU of one resource")
	f.StringVar(&o.memoryBase, "memory-base", "64Mi", "memory of an instance that runs nothing")
	f.StringVar(&o.memoryEach, "memory-per-resource", "100Ki", "memory of one resource")
	f.DurationVar(&o.cfg.Restart, "restart-delay", o.cfg.Restart, "how long a crashed container takes to come back")
	f.StringVar(&o.cfg.PreStop.Program, "prestop", "", "run the preStop hooks of the pods, with this program in place of their command's; empty: no hooks, as with kwok")
	f.StringVar(&o.cfg.PreStop.Server, "prestop-server", "", "what the hooks get as --server after their own arguments; empty: nothing")
	f.StringVar(&o.control, "control", "", "loopback host:port of the control address (see dacsim ctl); empty: none")
	f.StringVar(&o.runLog, "run-log", "", "file to append what ran where and when to, as JSON lines; - is standard output; empty: none")
	f.BoolVar(&o.verbose, "verbose", false, "log what each instance does")
	return cmd
}

// complete turns the flags into a configuration.
func (o *options) complete() error {
	var faults []error
	var err error
	if o.cfg.ZooKeeper, o.cfg.Chroot, err = workload.ParseZooKeeper(o.zookeeper); err != nil {
		faults = append(faults, err)
	}
	o.cfg.Kinds = nil
	for _, text := range o.kinds {
		k, err := workload.ParseKind(text)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		k.Beats = slices.Contains(o.beating, k.Name)
		o.cfg.Kinds = append(o.cfg.Kinds, k)
	}
	for _, q := range []struct {
		flag, text string
		into       *float64
	}{
		{"cpu-base", o.cpuBase, &o.cfg.CPU.Base},
		{"cpu-per-resource", o.cpuEach, &o.cfg.CPU.PerResource},
		{"memory-base", o.memoryBase, &o.cfg.Memory.Base},
		{"memory-per-resource", o.memoryEach, &o.cfg.Memory.PerResource},
	} {
		v, err := resource.ParseQuantity(q.text)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s %q: %w", q.flag, q.text, err))
		}
		*q.into = v.AsApproximateFloat64()
	}
	return errors.Join(append(faults, o.cfg.Validate())...)
}

func (o *options) run(ctx context.Context) error {
	if err := o.complete(); err != nil {
		return err
	}
	level := slog.LevelInfo
	if o.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	rest, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err != nil {
		return fmt.Errorf("read kubeconfig: %w", err)
	}
	rest.QPS, rest.Burst = 100, 200 // 100 pods are held, annotated and released one by one
	client, err := kubernetes.NewForConfig(rest)
	if err != nil {
		return fmt.Errorf("make Kubernetes client: %w", err)
	}
	out, err := openRunLog(o.runLog)
	if err != nil {
		return err
	}
	sim := workload.New(o.cfg, client, workload.NewRunLog(out), log)
	stop, err := serveControl(o.control, sim.Handler(), log)
	if err != nil {
		return err
	}
	defer stop()
	return sim.Run(ctx)
}

// openRunLog opens a file for the life of the process: every line is written at once.
func openRunLog(name string) (io.Writer, error) {
	switch name {
	case "":
		return nil, nil
	case "-":
		return os.Stdout, nil
	}
	file, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open run log: %w", err)
	}
	return file, nil
}

// serveControl refuses any address but loopback: every caller may break every instance.
func serveControl(addr string, handler http.Handler, log *slog.Logger) (stop func(), err error) {
	if addr == "" {
		return func() {}, nil
	}
	if _, _, err := net.SplitHostPort(addr); err != nil || !samesite.Loopback(addr) {
		return nil, fmt.Errorf("control %q: must be a loopback host:port", addr)
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on control: %w", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("serve control", "error", err)
		}
	}()
	return func() { _ = server.Close() }, nil
}
