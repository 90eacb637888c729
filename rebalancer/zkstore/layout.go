package zkstore

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Where things lie. The first tree belongs to the instances as much as to us, the second to us alone.
const (
	InstancesRoot = "/iota/orchestration"
	OwnRoot       = "/iota/shardscaler"
)

// KindPath is the parent of a kind's ordinals. Its children are ordinals and nothing else: other programs list them.
func KindPath(kind string) string { return InstancesRoot + "/" + kind }

// InstancePath is the znode of one ordinal; its children are tmp (with status), _reload and resources.
func InstancePath(kind string, n int) string { return KindPath(kind) + "/" + strconv.Itoa(n) }

// The children of an instance.
func tmpPath(kind string, n int) string { return InstancePath(kind, n) + "/tmp" }

func reloadPath(kind string, n int) string { return InstancePath(kind, n) + "/_reload" }

func resourcesPath(kind string, n int) string { return InstancePath(kind, n) + "/resources" }

// StatusPath is the ephemeral that an instance writes.
func StatusPath(kind string, n int) string { return tmpPath(kind, n) + "/status" }

func isStatus(path string) bool { return strings.HasSuffix(path, "/tmp/status") }

// Our own znodes of a kind.
func ownPath(kind string) string { return OwnRoot + "/" + kind }

func headPath(kind string) string { return ownPath(kind) + "/head" }

func poolPath(kind string) string { return ownPath(kind) + "/pool" }

func piecePath(kind, name string) string { return poolPath(kind) + "/" + name }

func flightsPath(kind string) string { return ownPath(kind) + "/flight" }

func flightPath(kind, name string) string { return flightsPath(kind) + "/" + name }

func planPath(kind string) string { return ownPath(kind) + "/plan" }

func planPartPath(kind string, k int) string { return planPath(kind) + "/" + strconv.Itoa(k) }

func docPath(kind, name string) string { return ownPath(kind) + "/" + name }

func pieceName(epoch, k int64) string { return fmt.Sprintf("%d-%d", epoch, k) }

func flightName(from int, times int64) string { return fmt.Sprintf("%d-%d", from, times) }

func isProtocolName(name string) bool {
	return name == "head" || name == "pool" || name == "flight" || name == "plan"
}

func belongsTo(kind, path string) bool {
	return within(path, KindPath(kind)) || within(path, ownPath(kind))
}

func within(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }

// parentsOf are the znodes without content below which everything of a kind lies, parents first.
func parentsOf(kind string) []string {
	return []string{
		"/iota", InstancesRoot, KindPath(kind),
		OwnRoot, ownPath(kind), poolPath(kind), flightsPath(kind), planPath(kind),
	}
}

// parsePair reads `<a>-<b>`, the name of a piece or a flight.
func parsePair(name string) (a, b int64, ok bool) {
	left, right, found := strings.Cut(name, "-")
	a, okA := parseNumber(left, maxTimes)
	b, okB := parseNumber(right, maxTimes)
	return a, b, found && okA && okB
}

func parseNumber(text string, limit int64) (int64, bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil && n >= 0 && n <= limit && strconv.FormatInt(n, 10) == text
}

// comparePairs orders names `<a>-<b>` by their numbers.
func comparePairs(x, y string) int {
	xa, xb, _ := parsePair(x)
	ya, yb, _ := parsePair(y)
	return cmp.Or(cmp.Compare(xa, ya), cmp.Compare(xb, yb), cmp.Compare(x, y))
}
