package servers

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// RequireServersVar, set to 1, makes a test fail that would be skipped for want of the servers.
const RequireServersVar = "SHARDSCALER_REQUIRE_SERVERS"

// Require attaches to the sandbox that the test runs in and returns it if it has the parts. Without one
// the test is skipped, saying so, or fails where RequireServersVar is 1. Until the test ends it shares
// the servers with other tests, and no RequireAlone succeeds.
func Require(t testing.TB, parts ...Part) *Env {
	t.Helper()
	return acquire(t, syscall.LOCK_SH, parts)
}

// RequireAlone is Require for a test that stops, kills or freezes servers that others share: it waits
// until no other test uses them, in any package, and keeps others waiting until the test has ended.
func RequireAlone(t testing.TB, parts ...Part) *Env {
	t.Helper()
	return acquire(t, syscall.LOCK_EX, parts)
}

func acquire(t testing.TB, mode int, parts []Part) *Env {
	t.Helper()
	file := os.Getenv(FileVar)
	if file == "" {
		lacking(t, "needs real servers (%v): run it under `go run ./cmd/sandbox exec -- go test …`, or set %s to the sandbox.json of a running one", parts, FileVar)
	}
	env, err := Attach(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range parts {
		if !env.has(part) {
			lacking(t, "needs %s, which the sandbox %s was started without", part, env.Dir)
		}
	}
	env.lockFor(t, mode)
	return env
}

func lacking(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv(RequireServersVar) == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

func (e *Env) has(part Part) bool {
	switch part {
	case PartKubernetes:
		return e.Kubernetes != nil
	case PartZooKeeper:
		return e.ZooKeeper != nil
	case PartKafka:
		return e.Kafka != nil
	case PartMQTT:
		return e.MQTT != nil
	case PartPostgres:
		return e.Postgres != nil
	}
	return false
}

// held notes which top-level tests of this process hold the lock, and how: a subtest uses its parent's.
var held = struct {
	sync.Mutex
	modes map[string]int
}{modes: map[string]int{}}

// lockFor locks the servers for the rest of the test. The gate is held while waiting, so that a test that
// wants to be alone is not overtaken for ever by others that do not.
func (e *Env) lockFor(t testing.TB, mode int) {
	t.Helper()
	test, _, _ := strings.Cut(t.Name(), "/")
	held.Lock()
	defer held.Unlock()
	if now, already := held.modes[test]; already {
		if now == syscall.LOCK_SH && mode == syscall.LOCK_EX {
			t.Fatalf("RequireAlone: %s has called Require already; call RequireAlone there", test)
		}
		return
	}
	held.Unlock() // other tests of this process go on while this one waits
	openGate, err := lock(filepath.Join(e.Dir, "gate.lock"), func() { t.Log("waiting for a test that uses the servers alone") })
	var handle *os.File
	if err == nil {
		handle, err = os.OpenFile(filepath.Join(e.Dir, "tests.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	}
	if err == nil {
		err = syscall.Flock(int(handle.Fd()), mode)
		openGate()
	}
	held.Lock()
	if err != nil {
		t.Fatalf("lock servers: %v", err)
	}
	held.modes[test] = mode
	t.Cleanup(func() {
		held.Lock()
		defer held.Unlock()
		delete(held.modes, test)
		handle.Close()
	})
}

// NewZooKeeper starts an ensemble of n servers for this test alone; extra lines go into their configuration.
func (e *Env) NewZooKeeper(t testing.TB, n int, extra ...string) *ZooKeeper {
	t.Helper()
	z := startFor(t, func(ctx context.Context) (*ZooKeeper, error) {
		return e.startZooKeeper(ctx, uniqueName(t), n, extra...)
	})
	t.Cleanup(func() { stopAfter(t, z.Kill) })
	return z
}

// NewKafka starts a broker for this test alone.
func (e *Env) NewKafka(t testing.TB) *Kafka {
	t.Helper()
	k := startFor(t, func(ctx context.Context) (*Kafka, error) { return e.startKafka(ctx, uniqueName(t), kafkaMore{}) })
	t.Cleanup(func() { stopAfter(t, k.Kill) })
	return k
}

// NewMQTT starts a broker for this test alone, which refuses anybody but the user if one is given.
func (e *Env) NewMQTT(t testing.TB, user, password string) *MQTT {
	t.Helper()
	m := startFor(t, func(ctx context.Context) (*MQTT, error) { return e.startMQTT(ctx, uniqueName(t), user, password) })
	t.Cleanup(func() { stopAfter(t, m.Kill) })
	return m
}

// NewMosquitto starts a mosquitto with its default limits for this test alone; see debianTree for where
// it comes from.
func (e *Env) NewMosquitto(t testing.TB) *MQTT {
	t.Helper()
	tree := debianTree(t, "mosquitto")
	m := startFor(t, func(ctx context.Context) (*MQTT, error) { return e.startMosquitto(ctx, uniqueName(t), tree) })
	t.Cleanup(func() { stopAfter(t, m.Kill) })
	return m
}

// NewMariaDB starts a server for this test alone; see debianTree for where it comes from.
func (e *Env) NewMariaDB(t testing.TB) *MariaDB {
	t.Helper()
	tree := debianTree(t, "mariadb-server-core")
	m := startFor(t, func(ctx context.Context) (*MariaDB, error) { return e.startMariaDB(ctx, uniqueName(t), tree) })
	t.Cleanup(func() { stopAfter(t, m.Kill) })
	return m
}

// NewPostgres starts a server for this test alone.
func (e *Env) NewPostgres(t testing.TB) *Postgres {
	t.Helper()
	p := startFor(t, func(ctx context.Context) (*Postgres, error) { return e.startPostgres(ctx, uniqueName(t)) })
	t.Cleanup(func() { stopAfter(t, p.Stop) })
	return p
}

func startFor[S any](t testing.TB, start func(context.Context) (S, error)) S {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	var server S
	err := again(ctx, func(ctx context.Context) (err error) {
		server, err = start(ctx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return server
}

func stopAfter(t testing.TB, stop func() error) {
	t.Helper()
	if err := stop(); err != nil {
		t.Error(err)
	}
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// uniqueName is no longer than 40 characters, and valid as a namespace, a topic, a database and a path.
func uniqueName(t testing.TB) string {
	name := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(t.Name()), "-"), "-")
	return fmt.Sprintf("t-%.28s-%s", name, strings.ToLower(rand.Text()[:8]))
}
