package protocol

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
func TmpPath(kind string, n int) string { return InstancePath(kind, n) + "/tmp" }

func ReloadPath(kind string, n int) string { return InstancePath(kind, n) + "/_reload" }

func ResourcesPath(kind string, n int) string { return InstancePath(kind, n) + "/resources" }

// StatusPath is the ephemeral that an instance writes.
func StatusPath(kind string, n int) string { return TmpPath(kind, n) + "/status" }

func IsStatus(path string) bool { return strings.HasSuffix(path, "/tmp/status") }

// Our own znodes of a kind.
func ownPath(kind string) string { return OwnRoot + "/" + kind }

func HeadPath(kind string) string { return ownPath(kind) + "/head" }

func PoolPath(kind string) string { return ownPath(kind) + "/pool" }

func PiecePath(kind, name string) string { return PoolPath(kind) + "/" + name }

func FlightsPath(kind string) string { return ownPath(kind) + "/flight" }

func FlightPath(kind, name string) string { return FlightsPath(kind) + "/" + name }

func PlanPath(kind string) string { return ownPath(kind) + "/plan" }

func PlanPartPath(kind string, k int) string { return PlanPath(kind) + "/" + strconv.Itoa(k) }

func DocPath(kind, name string) string { return ownPath(kind) + "/" + name }

func PieceName(epoch, k int64) string { return fmt.Sprintf("%d-%d", epoch, k) }

func FlightName(from int, times int64) string { return fmt.Sprintf("%d-%d", from, times) }

func isProtocolName(name string) bool {
	return name == "head" || name == "pool" || name == "flight" || name == "plan"
}

func BelongsTo(kind, path string) bool {
	return Within(path, KindPath(kind)) || Within(path, ownPath(kind))
}

func Within(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }

// parentsOf are the znodes without content below which everything of a kind lies, parents first.
func Parents(kind string) []string {
	return []string{
		"/iota", InstancesRoot, KindPath(kind),
		OwnRoot, ownPath(kind), PoolPath(kind), FlightsPath(kind), PlanPath(kind),
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
