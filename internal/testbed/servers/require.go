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

	"github.com/shardscaler/shardscaler/internal/testbed/servers/fetch"
)

// RequireServersVar, set to 1, makes a test fail that would be skipped for want of the servers.
const RequireServersVar = "SHARDSCALER_REQUIRE_SERVERS"

// Require attaches to the sandbox that the test runs in and returns it if it has the parts. Without
// one the test is skipped, saying so, or fails where RequireServersVar is 1. Until the test ends it
// shares the servers with other tests, and no RequireAlone succeeds.
func Require(t testing.TB, parts ...Part) *Env {
	t.Helper()
	return acquire(t, syscall.LOCK_SH, parts)
}

// RequireAlone is Require for a test that stops, kills or freezes servers that others share: it
// waits until no other test uses them, in any package, and keeps others waiting until the test has
// ended.
func RequireAlone(t testing.TB, parts ...Part) *Env {
	t.Helper()
	return acquire(t, syscall.LOCK_EX, parts)
}

func acquire(t testing.TB, mode int, parts []Part) *Env {
	t.Helper()
	file := os.Getenv(FileVar)
	if file == "" {
		lacking(t, RequireServersVar, "needs real servers (%v): run it under `go run ./cmd/sandbox exec -- go test …`, or set %s to the sandbox.json of a running one", parts, FileVar)
	}
	env, err := Attach(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range parts {
		if len(env.part(part)) == 0 {
			lacking(t, RequireServersVar, "needs %s, which the sandbox %s was started without", part, env.Dir)
		}
	}
	env.lockFor(t, mode)
	return env
}

// lacking skips the test, or fails it where the variable is 1.
func lacking(t testing.TB, demanded, format string, args ...any) {
	t.Helper()
	if os.Getenv(demanded) == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// RequireDebianVar, set to 1, fails a test that would be skipped without Debian's packages.
const RequireDebianVar = "SHARDSCALER_REQUIRE_DEBIAN"

// Debian returns a folder into which a package of Debian is unpacked, with what it needs and this
// system lacks, and the environment in which its programs find their libraries. It lies in the
// user's cache folder; nothing is installed. Where it cannot be had, the test is skipped, saying
// why, or fails where RequireDebianVar is 1.
func Debian(t testing.TB, name string) (tree, libraryPath string) {
	t.Helper()
	tree, err := fetch.Debian(t.Context(), fetch.NewProgress(os.Stderr), name, true)
	if err != nil {
		lacking(t, RequireDebianVar, "needs Debian's package %s: %v", name, err)
	}
	dirs, _ := filepath.Glob(filepath.Join(tree, "usr", "lib", "*-linux-gnu*"))
	more, _ := filepath.Glob(filepath.Join(tree, "lib", "*-linux-gnu*"))
	return tree, "LD_LIBRARY_PATH=" + strings.Join(append(dirs, more...), ":")
}

// held notes which top-level tests of this process hold the lock, and how; it is their subtests'.
var held = struct {
	sync.Mutex
	modes map[string]int
}{modes: map[string]int{}}

// lockFor locks the servers for the rest of the test. The gate is held while waiting, so that a
// test that wants to be alone is not overtaken for ever by others that do not.
func (e *Env) lockFor(t testing.TB, mode int) {
	t.Helper()
	test, _, _ := strings.Cut(t.Name(), "/")
	held.Lock()
	now, already := held.modes[test]
	held.Unlock() // other tests of this process go on while this one waits
	if already {
		if now == syscall.LOCK_SH && mode == syscall.LOCK_EX {
			t.Fatalf("RequireAlone: %s has called Require already; call RequireAlone there", test)
		}
		return
	}
	openGate, err := fetch.Lock(filepath.Join(e.Dir, "gate.lock"), syscall.LOCK_EX, func() { t.Log("waiting for a test that uses the servers alone") })
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := fetch.Lock(filepath.Join(e.Dir, "tests.lock"), mode, func() {})
	openGate()
	if err != nil {
		t.Fatal(err)
	}
	held.Lock()
	defer held.Unlock()
	held.modes[test] = mode
	t.Cleanup(func() {
		held.Lock()
		defer held.Unlock()
		delete(held.modes, test)
		unlock()
	})
}

// NewZooKeeper starts n servers for this test alone; extra lines go into their configuration.
func (e *Env) NewZooKeeper(t testing.TB, n int, extra ...string) *ZooKeeper {
	t.Helper()
	return startFor(t, (*ZooKeeper).Kill, func(ctx context.Context, name string) (*ZooKeeper, error) {
		return e.startZooKeeper(ctx, name, n, extra...)
	})
}

// NewKafka starts a broker for this test alone; more listeners, each after a comma, and more lines
// go into its configuration.
func (e *Env) NewKafka(t testing.TB, listeners, config string) *Kafka {
	t.Helper()
	return startFor(t, (*Kafka).Kill, func(ctx context.Context, name string) (*Kafka, error) {
		return e.startKafka(ctx, name, listeners, config)
	})
}

// NewMQTT starts a broker for this test alone, for the user alone if one is given.
func (e *Env) NewMQTT(t testing.TB, user, password string) *MQTT {
	t.Helper()
	return startFor(t, (*MQTT).Kill, func(ctx context.Context, name string) (*MQTT, error) { return e.startMQTT(ctx, name, user, password) })
}

// NewServer starts a server of another kind for this test alone: prepare puts files into its
// WorkDir, and says how it is started and how it Answers.
func (e *Env) NewServer(t testing.TB, prepare func(*Server) error) *Server {
	t.Helper()
	return startFor(t, (*Server).Kill, func(ctx context.Context, name string) (*Server, error) {
		server, _, err := e.newServer(name, "", 1)
		if err == nil {
			err = prepare(server)
		}
		if err != nil {
			return nil, err
		}
		return server, server.startFirst(ctx)
	})
}

// NewPostgres starts a server for this test alone.
func (e *Env) NewPostgres(t testing.TB) *Postgres {
	t.Helper()
	return startFor(t, (*Postgres).Stop, e.startPostgres)
}

// startFor starts what one test uses, and ends it with the test.
func startFor[S any](t testing.TB, end func(S) error, start func(ctx context.Context, name string) (S, error)) S {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	var server S
	err := into(&server, func(ctx context.Context) (S, error) { return start(ctx, uniqueName(t)) })(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := end(server); err != nil {
			t.Error(err)
		}
	})
	return server
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// uniqueName is no longer than 40 characters, and valid as a namespace, a topic, a database and a
// path.
func uniqueName(t testing.TB) string {
	name := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(t.Name()), "-"), "-")
	return fmt.Sprintf("t-%.28s-%s", name, strings.ToLower(rand.Text()[:8]))
}
