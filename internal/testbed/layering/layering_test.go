// Package layering holds the tree to docs/architecture.md: the pure packages stay pure, and
// dependencies follow the data.
package layering

import (
	"go/ast"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/shardscaler/shardscaler/"

// pure packages import no I/O, take the time as an argument and start no goroutine.
var pure = []string{
	"adapter/observed", "scaler/decide", "scaler/groupstatus", "scaler/outcome",
	"rebalancer/inventory", "rebalancer/inventory/resync", "rebalancer/orders", "rebalancer/pack", "rebalancer/plan",
	"rebalancer/protocol", "rebalancer/release", "rebalancer/seen", "rebalancer/steps", "rebalancer/wave",
	"internal/api/packed", "internal/api/stream/delta", "internal/config", "internal/exact", "internal/ops", "internal/ops/explain", "internal/ops/history", "internal/pins", "internal/previews", "internal/spans",
}

// turned packages reach the outside through what they are given, and are as pure otherwise: who
// calls them moves their clock.
var turned = []string{"rebalancer/loop", "internal/virtual"}

// reaching are pure packages whose values are of types that reach the outside themselves: those of
// Kubernetes do.
var reaching = map[string]string{"scaler/groupstatus": "adapter/v1alpha1"}

// io are packages whose import, direct or not, means that a package can reach the outside.
var io = []string{"net", "net/http", "os/exec", "os/signal", "database/sql", "k8s.io/client-go/", "github.com/go-zookeeper/", "github.com/segmentio/", "github.com/eclipse/"}

// system are packages that reach the outside too. The standard library needs them everywhere, so
// only a direct import counts.
var system = []string{"os", "syscall"}

// never lists what a package may not import: the data's way is adapter → scaler, rebalancer →
// internal, never back. Two sources know nothing of each other.
var never = map[string][]string{
	"adapter/...":      {"scaler", "rebalancer", "internal/app", "internal/api"},
	"adapter/workload": {"adapter/owners"},
	"adapter/owners":   {"adapter/workload"},
	"scaler/decide":    {"rebalancer", "scaler/actuate", "scaler/outcome", "internal/app", "internal/api"},
	"scaler/outcome":   {"rebalancer", "scaler/actuate", "scaler/groupstatus"},
	"rebalancer/...":   {"scaler", "internal/app", "internal/api"},
	"rebalancer/loop":  {"rebalancer/zk"},
	"internal/virtual": {"rebalancer/zk", "internal/app", "internal/api", "internal/testbed"},
	"scaler/...":       {"internal/app", "internal/api"},
}

// The scaler speaks with the rebalancer through orders alone: it knows neither the engine nor the
// store.
func TestTheScalerKnowsOnlyTheOrders(t *testing.T) {
	found := false
	for _, s := range sources(t, "scaler") {
		for _, spec := range s.file.Imports {
			room, ok := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), module+"rebalancer")
			if found = found || ok; ok && room != "/orders" {
				t.Errorf("%s imports rebalancer%s", s.position(spec), room)
			}
		}
	}
	require.True(t, found, "the test finds the imports")
}

// bed is what the tests run on, and the commands that are its doors.
var bed = []string{"internal/testbed/", "cmd/sandbox/", "cmd/dacsim/"}

func TestTheProductKnowsNothingOfItsTestBed(t *testing.T) {
	found := false
	for _, s := range sources(t, "adapter", "cmd", "dashboards", "internal", "manifests", "rebalancer", "scaler") {
		ours := slices.ContainsFunc(bed, func(folder string) bool { return strings.HasPrefix(s.path, folder) })
		for _, spec := range s.file.Imports {
			if !strings.HasPrefix(strings.Trim(spec.Path.Value, `"`)+"/", module+bed[0]) {
				continue
			}
			if found = true; !ours {
				t.Errorf("%s imports %s", s.position(spec), spec.Path.Value)
			}
		}
	}
	require.True(t, found, "the test finds the imports")
}

func TestPurePackagesReachNothingOutside(t *testing.T) {
	for _, p := range pure {
		all := deps(t, p)
		if types, ok := reaching[p]; ok {
			known := deps(t, types)
			all = slices.DeleteFunc(all, func(d string) bool { return slices.Contains(known, d) })
			for _, s := range sources(t, p) {
				for _, spec := range s.file.Imports {
					all = append(all, strings.Trim(spec.Path.Value, `"`))
				}
			}
		}
		for _, d := range all {
			for _, forbidden := range io {
				if d == strings.TrimSuffix(forbidden, "/") || strings.HasSuffix(forbidden, "/") && strings.HasPrefix(d, forbidden) {
					t.Errorf("%s is to be pure and imports %s", p, d)
				}
			}
		}
	}
}

func TestPurePackagesDoNotSpeakWithTheSystem(t *testing.T) {
	for _, s := range sources(t, slices.Concat(pure, turned)...) {
		if strings.Contains(s.path, "test/") { // what tests use of it
			continue
		}
		for _, spec := range s.file.Imports {
			if p := strings.Trim(spec.Path.Value, `"`); slices.Contains(system, p) {
				t.Errorf("%s is to be pure and imports %s", s.position(spec), p)
			}
		}
	}
}

func TestDependenciesFollowTheData(t *testing.T) {
	for pattern, forbidden := range never {
		for _, d := range deps(t, pattern) {
			for _, f := range forbidden {
				require.False(t, d == module+f || strings.HasPrefix(d, module+f+"/"), "%s must not import %s", pattern, d)
			}
		}
	}
}

// What is pure takes the time as an argument, and starts no goroutine.
func TestPurePackagesReadNoClock(t *testing.T) {
	clocks := []string{"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Sleep"}
	for _, s := range sources(t, slices.Concat(pure, turned)...) {
		if strings.Contains(s.path, "test/") { // what tests use of it
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s starts a goroutine", s.position(n))
			case *ast.SelectorExpr:
				if pkg, ok := n.X.(*ast.Ident); ok && pkg.Name == "time" && slices.Contains(clocks, n.Sel.Name) {
					t.Errorf("%s: time.%s", s.position(n), n.Sel.Name)
				}
			}
			return true
		})
	}
}
