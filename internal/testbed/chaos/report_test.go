package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// programs are built once for all tests: shardscaler with -tags faults, and dacsim.
var programs product.Programs

func TestMain(m *testing.M) {
	if servers.RunRole() {
		return
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if os.Getenv(servers.FileVar) == "" {
		return m.Run() // every test says what it lacks
	}
	dir, err := os.MkdirTemp("", "shardscaler-chaos-")
	if err == nil {
		defer os.RemoveAll(dir)
		programs = product.Programs{Shardscaler: filepath.Join(dir, "shardscaler"), Dacsim: filepath.Join(dir, "dacsim")}
		err = errors.Join(
			product.BuildProgram(context.Background(), "shardscaler", programs.Shardscaler, "-tags", "faults"),
			product.BuildProgram(context.Background(), "dacsim", programs.Dacsim))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := counted.write(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// report counts what was tried, for people: each test asserts its own counts.
type report struct {
	transactions atomic.Int64
	mu           sync.Mutex
	lines        []string
}

var counted report

func (r *report) add(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}

// write leaves the report for `make test` to show.
func (r *report) write() error {
	folder := os.Getenv("SHARDSCALER_REPORTS")
	if folder == "" || len(r.lines) == 0 {
		return nil
	}
	text := "chaos: killed and harmed on three ZooKeeper servers; judged over " + fmt.Sprint(r.transactions.Load()) + " transactions\n  " + strings.Join(r.lines, "\n  ") + "\n"
	return os.WriteFile(filepath.Join(folder, "chaos.txt"), []byte(text), 0o644)
}
