package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
)

// programs are built once for all tests: shardscaler with -tags faults, and dacsim.
var programs product.Programs

func TestMain(m *testing.M) {
	code := product.RunTests(m, &programs, "-tags", "faults")
	if err := counted.write(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
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
