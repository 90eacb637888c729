// Package workload acts as the instances of a workload would: one process plays every pod of the
// configured StatefulSets.
//
// In: the pods of a namespace (Running ones are played), each instance's `_reload` and `resources`
// in ZooKeeper, and faults asked for over a control address. Out: `tmp/status` in ZooKeeper,
// heartbeats in Kafka, pod annotations from which kwok reports CPU and memory, and a log of what
// ran where and when, which tests hold against ZooKeeper.
//
// Invariant: what the log calls running is what an instance would run: it is stopped in the log
// before it is acknowledged or its pod may go, and started in the log only after the
// acknowledgement. While ZooKeeper is away an instance goes on running what it holds, unless it
// fences itself.
//
// The package is a foreign client on purpose: it knows the formats that instances and orchestrators
// share (docs/formats.md) and nothing of shardscaler's code that reads and writes them, so that
// both can be wrong only independently. What an ordinal is, and which web pages may ask, it has in
// common with the server.
package workload

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Mode is how an instance answers a reload.
type Mode string

const (
	// ModeAcknowledged writes what it applied into its ephemeral status.
	ModeAcknowledged Mode = "acknowledged"
	// ModeImmediate watches `_reload` and keeps an empty ephemeral status.
	ModeImmediate Mode = "immediate"
	// ModeLegacy watches `_reload` and keeps no status at all.
	ModeLegacy Mode = "legacy"
)

// Kind is one class of resources and the StatefulSet whose pods run it.
type Kind struct {
	Name        string
	StatefulSet string
	// Beats says whether its instances send heartbeats.
	Beats bool
}

// Load is what an instance uses: Base plus PerResource for each resource it runs. Cores or bytes.
type Load struct {
	Base, PerResource float64
}

// Config is what a simulation is told at its start.
type Config struct {
	Namespace string
	Kinds     []Kind

	// ZooKeeper lists the servers; Chroot goes before every path and may be empty.
	ZooKeeper []string
	Chroot    string
	// Session is the session timeout that each instance asks for.
	Session time.Duration
	Mode    Mode
	// Fences makes every instance stop all work 2/3 of the session after ZooKeeper last answered
	// it.
	Fences bool

	// Kafka lists the brokers; empty: no instance beats.
	Kafka []string
	Topic string
	// Beat is the time between two heartbeats of an instance.
	Beat time.Duration

	CPU, Memory Load
	// PreStop lets the pods' hooks run.
	PreStop PreStop
	// Restart is how long a crashed container takes to come back.
	Restart time.Duration
}

// Default is a workload like the platform's, without addresses.
func Default() Config {
	return Config{
		Namespace: "default",
		Kinds:     []Kind{{Name: "Thing", StatefulSet: "iota-dac", Beats: true}, {Name: "Rule", StatefulSet: "iota-rules-engine"}},
		Session:   10 * time.Second,
		Mode:      ModeAcknowledged,
		Topic:     "HeartBeat",
		Beat:      time.Minute,
		CPU:       Load{Base: 0.02, PerResource: 0.00005},
		Memory:    Load{Base: 64 << 20, PerResource: 100 << 10},
		Restart:   2 * time.Second,
	}
}

// Validate reports every fault of the configuration at once.
func (c Config) Validate() error {
	var faults []error
	refuse := func(is bool, field string, value any, bound string) {
		if is {
			faults = append(faults, fmt.Errorf("%s %v: %s", field, value, bound))
		}
	}
	refuse(c.Namespace == "", "namespace", `""`, "must not be empty")
	refuse(len(c.Kinds) == 0, "kind", "(none)", "at least one is needed")
	sets := map[string]bool{}
	for _, k := range c.Kinds {
		refuse(sets[k.StatefulSet], "kind", k.Name+"="+k.StatefulSet, "this StatefulSet is named twice")
		sets[k.StatefulSet] = true
	}
	refuse(len(c.ZooKeeper) == 0, "zookeeper", "(none)", "at least one host:port is needed")
	refuse(c.Chroot != "" && (!strings.HasPrefix(c.Chroot, "/") || strings.HasSuffix(c.Chroot, "/")),
		"zookeeper chroot", c.Chroot, "must begin with / and not end with it")
	refuse(!slices.Contains([]Mode{ModeAcknowledged, ModeImmediate, ModeLegacy}, c.Mode),
		"hand-off", c.Mode, "must be acknowledged, immediate or legacy")
	refuse(c.Fences && c.Mode != ModeAcknowledged,
		"fences", c.Mode, "only an instance that acknowledges can declare that it fences")
	refuse(c.Session < time.Second, "session-timeout", c.Session, "must be at least 1s")
	refuse(c.Beat <= 0, "beat", c.Beat, "must be greater than 0")
	refuse(min(c.CPU.Base, c.CPU.PerResource) < 0, "cpu", c.CPU, "must not be negative")
	refuse(min(c.Memory.Base, c.Memory.PerResource) < 0, "memory", c.Memory, "must not be negative")
	return errors.Join(faults...)
}

// ParseZooKeeper reads host:port,…[/chroot].
func ParseZooKeeper(s string) (servers []string, chroot string, err error) {
	hosts, rest, found := strings.Cut(s, "/")
	if found {
		chroot = strings.TrimSuffix("/"+rest, "/")
	}
	for _, h := range strings.Split(hosts, ",") {
		if h == "" {
			return nil, "", fmt.Errorf("zookeeper %q: want host:port,…[/chroot]", s)
		}
		servers = append(servers, h)
	}
	return servers, chroot, nil
}

// ParseKind reads NAME=STATEFULSET.
func ParseKind(s string) (Kind, error) {
	name, set, ok := strings.Cut(s, "=")
	if !ok || name == "" || set == "" || strings.Contains(name, "/") {
		return Kind{}, fmt.Errorf("kind %q: want NAME=STATEFULSET", s)
	}
	return Kind{Name: name, StatefulSet: set}, nil
}
