package protocol

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/shardscaler/shardscaler/internal/exact"
)

// Where things lie. The first tree is the instances' as much as ours, the second ours alone.
const (
	InstancesRoot = "/iota/orchestration"
	OwnRoot       = "/iota/shardscaler"
)

// KindPath is the parent of a kind's ordinals. Others list them: no other children.
func KindPath(kind string) string { return InstancesRoot + "/" + kind }

// InstancePath is the znode of one ordinal; below are tmp (with status), _reload and resources.
func InstancePath(kind string, n int) string { return KindPath(kind) + "/" + strconv.Itoa(n) }

// TmpPath is the parent of an instance's status.
func TmpPath(kind string, n int) string { return InstancePath(kind, n) + "/tmp" }

// StatusPath is the ephemeral that an instance writes.
func StatusPath(kind string, n int) string { return TmpPath(kind, n) + "/status" }

// ReloadPath is the counter that tells an instance to read its list again.
func ReloadPath(kind string, n int) string { return InstancePath(kind, n) + "/_reload" }

// ResourcesPath is the list of an instance.
func ResourcesPath(kind string, n int) string { return InstancePath(kind, n) + "/resources" }

// ownPath is the parent of our own znodes of a kind.
func ownPath(kind string) string { return OwnRoot + "/" + kind }

// HeadPath is the znode that fences writers.
func HeadPath(kind string) string { return ownPath(kind) + "/head" }

// PoolPath is the parent of the pool's pieces.
func PoolPath(kind string) string { return ownPath(kind) + "/pool" }

// PiecePath is one piece of the pool, PieceName what it is called.
func PiecePath(kind, name string) string { return PoolPath(kind) + "/" + name }

// PieceName is that of the k-th piece of an epoch.
func PieceName(epoch, k int64) string { return fmt.Sprintf("%d-%d", epoch, k) }

// FlightsPath is the parent of the flight's pieces.
func FlightsPath(kind string) string { return ownPath(kind) + "/flight" }

// FlightPath is one piece of the flight, FlightName what it is called.
func FlightPath(kind, name string) string { return FlightsPath(kind) + "/" + name }

// FlightName is that of what was revoked from an ordinal at that `_reload`.
func FlightName(from int, times int64) string { return fmt.Sprintf("%d-%d", from, times) }

// FlightSource is the ordinal that a flight piece of that name was revoked from; -1: it does not
// say.
func FlightSource(name string) int {
	if from, _, ok := parsePair(name); ok {
		return int(from)
	}
	return -1
}

// PlanPath is the header of the stored plan, and the parent of its parts.
func PlanPath(kind string) string { return ownPath(kind) + "/plan" }

// PlanPartPath is the k-th part of a stored plan.
func PlanPartPath(kind string, k int) string { return PlanPath(kind) + "/" + strconv.Itoa(k) }

// DocPath is a document that is stored beside the protocol's znodes.
func DocPath(kind, name string) string { return ownPath(kind) + "/" + name }

// DocPartPath is a part of such a document.
func DocPartPath(kind, doc, part string) string { return DocPath(kind, doc) + "/" + part }

// isProtocolName says that no document may be called so.
func isProtocolName(name string) bool {
	return name == "head" || name == "pool" || name == "flight" || name == "plan"
}

// IsStatus says whether a path is that of an instance's status.
func IsStatus(path string) bool { return strings.HasSuffix(path, "/tmp/status") }

// KindOf is the kind that a path belongs to, in either tree; "": it belongs to none.
func KindOf(path string) string {
	for _, root := range []string{InstancesRoot, OwnRoot} {
		if below, ok := strings.CutPrefix(path, root+"/"); ok {
			kind, _, _ := strings.Cut(below, "/")
			return kind
		}
	}
	return ""
}

// IsOwn says whether a path is in our own tree, which we alone write.
func IsOwn(path string) bool { return within(path, OwnRoot) }

func within(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }

// beatsRoot is no kind's tree: no kind's name begins so.
const beatsRoot = OwnRoot + "/.leaders"

// BeatPath is the znode by which the leader of an installation shows that it is alive.
func BeatPath(installation string) string { return beatsRoot + "/" + installation }

// IsBeat says whether a path is that of an installation's beat.
func IsBeat(path string) bool { return within(path, beatsRoot) }

// BeatParents are the znodes above a beat, parents first.
func BeatParents() []string { return []string{"/iota", OwnRoot, beatsRoot} }

// parents are the znodes without data below which everything of a kind lies, parents first.
func parents(kind string) []string {
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

// Limits of the store, in bytes of JSON unless said otherwise.
const (
	MaxIDBytes    = 256     // an id, before quoting
	MaxPieceBytes = 1 << 17 // a pool piece that we create; the protocol allows twice that
	MaxFlight     = 1 << 18 // a flight piece
	MaxListBytes  = 500_000 // a list may not grow beyond
	MaxDocBytes   = 1 << 18 // a kept document
	MaxPool       = 500     // pool pieces
	MaxMultiBytes = 400_000 // a transaction with more than one list or source; one list and one piece may be larger
	MaxPlanBytes  = 4 << 20 // a stored plan, in its parts

	MaxRequestBytes = 1_000_000 // what the server takes: beyond jute.maxbuffer, 1 MiB, a session ends
	maxPlanText     = 64 << 20  // what a stored plan may unpack to
	maxTimes        = 1<<53 - 1 // the largest whole number that every reader of JSON keeps exact
	schema          = 1         // the newest `v` we understand
)

// checkSchema refuses a `v` that we do not know: a newer program wrote it, and we do not guess.
func checkSchema(raw json.RawMessage) error {
	if raw == nil {
		return nil
	}
	var v int64
	if err := exact.JSON(raw, &v); err != nil || v > schema {
		return fmt.Errorf("v: schema %.20s, at most %d is understood", raw, schema)
	}
	return nil
}

func encodeHead(h Head) []byte {
	if h.Open == nil {
		h.Open = []int{}
	}
	return encode(h)
}

// encode writes a document of numbers and strings, which always encode.
func encode(doc any) []byte {
	data, _ := json.Marshal(doc)
	return data
}

// decode reads a document that has a schema, which is looked at first.
func decode[T any](data []byte, what string) (doc T, err error) {
	var v struct {
		V json.RawMessage `json:"v"`
	}
	if err = exact.JSON(data, &v); err != nil {
		return doc, fmt.Errorf("is no %s: %w", what, err)
	}
	if err = checkSchema(v.V); err != nil {
		return doc, err
	}
	if err = exact.JSON(data, &doc); err != nil {
		return doc, fmt.Errorf("is no %s: %w", what, err)
	}
	return doc, nil
}

// EncodeStatus is what an instance that acknowledges writes.
func EncodeStatus(s Status) []byte { return encode(s) }

// DecodeHead reads the head.
func DecodeHead(data []byte) (Head, error) {
	h, err := decode[Head](data, "head")
	if err != nil {
		return Head{}, err
	}
	if h.Epoch < 0 || h.Epoch >= maxTimes {
		return Head{}, fmt.Errorf("epoch: %d, at least 0 and below %d", h.Epoch, int64(maxTimes))
	}
	if err := checkOrdinals(h.Open); err != nil {
		return Head{}, fmt.Errorf("open: %w", err)
	}
	return h, nil
}

// checkOrdinals wants them ascending, each once.
func checkOrdinals(ordinals []int) error {
	last := -1
	for _, n := range ordinals {
		if n <= last || n > exact.MaxOrdinal {
			return fmt.Errorf("ordinal %d after %d: want 0 to %d, ascending", n, last, exact.MaxOrdinal)
		}
		last = n
	}
	return nil
}

func encodeData(used, capacity int) []byte {
	return fmt.Appendf(nil, `{"used":%d,"count":%d}`, used, capacity)
}

// DecodeData reads an instance's own data; -1: it cannot be read, and Repair writes it anew.
func DecodeData(data []byte) (used, capacity int) {
	var d struct {
		Used  *wholeNumber `json:"used"`
		Count *wholeNumber `json:"count"`
	}
	if exact.JSON(data, &d) != nil || d.Used == nil || d.Count == nil {
		return -1, -1
	}
	return int(*d.Used), int(*d.Count)
}

func encodeReload(times int64) []byte { return fmt.Appendf(nil, `{"times":%d}`, times) }

// DecodeReload reads `_reload.times`; -1 stands for what cannot be read.
func DecodeReload(data []byte) int64 {
	var r struct {
		Times *wholeNumber `json:"times"`
	}
	if exact.JSON(data, &r) != nil || r.Times == nil {
		return -1
	}
	return int64(*r.Times)
}

// wholeNumber is a number from 0 to maxTimes, also written as text.
type wholeNumber int64

func (w *wholeNumber) UnmarshalJSON(raw []byte) error {
	n, ok := parseNumber(strings.Trim(string(raw), `"`), maxTimes)
	if !ok {
		return fmt.Errorf("%.30s: want a whole number from 0 to %d", raw, int64(maxTimes))
	}
	*w = wholeNumber(n)
	return nil
}

// decodeStatus reads what an instance wrote of itself. Legacy content is unknown: nil.
func decodeStatus(data []byte) *Status {
	var raw struct {
		Status
		Times *wholeNumber `json:"times"` // in place of the Status's
	}
	if exact.JSON(data, &raw) != nil || raw.Times == nil {
		return nil
	}
	raw.Status.Times = int64(*raw.Times)
	return &raw.Status
}

// encodeFlight writes a flight piece.
func encodeFlight(f *Flight) []byte {
	pod, _ := json.Marshal(f.Pod) // a string always encodes
	start := fmt.Appendf(nil, `{"from":%d,"times":%d,"pod":%s,"ids":[`, f.From, f.Times, pod)
	end := []byte(`]`)
	if len(f.To) > 0 {
		end = append(end, `,"to":[`...)
		for _, to := range f.To {
			end = append(strconv.AppendInt(end, int64(to), 10), ',')
		}
		end[len(end)-1] = ']'
	}
	return writeIDs(start, f.IDs, string(end)+`}`)
}

// DecodeFlight reads the piece of that name.
func DecodeFlight(name string, data []byte) (*Flight, error) {
	var raw struct {
		V     json.RawMessage `json:"v"`
		From  *wholeNumber    `json:"from"`
		Times *wholeNumber    `json:"times"`
		Pod   string          `json:"pod"`
		IDs   json.RawMessage `json:"ids"`
		To    []int           `json:"to"`
	}
	if err := exact.JSON(data, &raw); err != nil {
		return nil, fmt.Errorf("is no flight: %w", err)
	}
	if err := checkSchema(raw.V); err != nil {
		return nil, err
	}
	if raw.From == nil || raw.Times == nil || FlightName(int(*raw.From), int64(*raw.Times)) != name {
		return nil, fmt.Errorf("from, times: want those of the name %q", name)
	}
	ids, err := DecodeIDs(append(append([]byte(listOpen[:len(listOpen)-1]), raw.IDs...), '}'))
	if err != nil {
		return nil, err
	}
	if len(raw.To) != 0 && len(raw.To) != ids.Len() {
		return nil, fmt.Errorf("to: %d entries for %d ids", len(raw.To), ids.Len())
	}
	for _, to := range raw.To {
		if to < ToDelete || to > exact.MaxOrdinal {
			return nil, fmt.Errorf("to: %d, at least %d", to, ToDelete)
		}
	}
	return &Flight{Name: name, From: int(*raw.From), Times: int64(*raw.Times), Pod: raw.Pod, IDs: ids, To: raw.To}, nil
}

// Beat is what a leader writes again and again: each time the version of its znode moves, and that
// is how the others see it. It elects, and it fences nothing: the heads do.
type Beat struct {
	V int `json:"v"`
	// Holder is the leader, `<pod>/<nonce>`; empty: the last one has given leading up.
	Holder string `json:"holder"`
	// Address is how the other replicas reach it.
	Address string `json:"address"`
}

// Encode writes the beat as its znode holds it.
func (b Beat) Encode() []byte {
	b.V = schema
	return encode(b)
}

// DecodeBeat reads a beat.
func DecodeBeat(data []byte) (Beat, error) { return decode[Beat](data, "beat") }
