package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/rebalancer/protocol/idlist"
)

// CheckID says why a string cannot be the id of a resource.
func CheckID(id string) error {
	switch {
	case id == "":
		return errors.New("id: is empty")
	case len(id) > MaxIDBytes:
		return fmt.Errorf("id %.40q…: %d bytes, at most %d", id, len(id), MaxIDBytes)
	case !utf8.ValidString(id):
		return fmt.Errorf("id %q: is not UTF-8", id)
	}
	return nil
}

// Cost is what an id adds to the znode that holds it: its quoted form and a comma.
func Cost(id string) int {
	if isPlain(id) {
		return len(id) + len(`"",`)
	}
	return len(appendQuoted(nil, id)) + len(`,`)
}

// CostAt is the Cost of the i-th, without its text where that is not needed.
func CostAt(ids IDs, i int) int {
	if ids.UUIDs() {
		return ids.Size(i) + len(`"",`)
	}
	return Cost(ids.At(i))
}

// CostOf is what the ids of a list add to a znode together.
func CostOf(ids IDs) (cost int) {
	if ids.UUIDs() {
		return ids.Bytes() + ids.Len()*len(`"",`)
	}
	for i := range ids.Len() {
		cost += Cost(ids.At(i))
	}
	return cost
}

// Costs is what ids add to a znode together.
func Costs(ids []string) (cost int) {
	for _, id := range ids {
		cost += Cost(id)
	}
	return cost
}

// Fit returns how many of the first ids fit into a pool piece of that many bytes.
func Fit(ids []string, bytes int) int {
	room := bytes - len(listOpen+listClose)
	for i, id := range ids {
		if room -= Cost(id); room < 0 {
			return i
		}
	}
	return len(ids)
}

// FitOf is Fit of the ids of a list.
func FitOf(ids IDs, bytes int) int {
	room := bytes - len(listOpen+listClose)
	if ids.UUIDs() && ids.Len() > 0 {
		return min(ids.Len(), max(0, room)/(ids.Size(0)+len(`"",`)))
	}
	for i := range ids.Len() {
		if room -= CostAt(ids, i); room < 0 {
			return i
		}
	}
	return ids.Len()
}

const (
	listOpen  = `{"ids":[`
	listClose = `]}`
)

// isPlain says that an id stands in JSON as it is: without quotes, backslashes and bytes below
// 0x20. It looks at eight bytes at a time.
func isPlain(id string) bool {
	rest := id
	for ; len(rest) >= 8; rest = rest[8:] {
		if !plainWord(wordOf(rest)) {
			return false
		}
	}
	if len(rest) > 0 && len(id) >= 8 {
		return plainWord(wordOf(id[len(id)-8:]))
	}
	for i := range len(rest) {
		if c := rest[i]; c < 0x20 || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

const ones, tops = 0x0101010101010101, 0x8080808080808080

func wordOf(text string) uint64 {
	return uint64(text[0]) | uint64(text[1])<<8 | uint64(text[2])<<16 | uint64(text[3])<<24 |
		uint64(text[4])<<32 | uint64(text[5])<<40 | uint64(text[6])<<48 | uint64(text[7])<<56
}

func plainWord(word uint64) bool {
	quote, backslash := word^'"'*ones, word^'\\'*ones // zero where one stands
	return (control(word)|(quote-ones)&^quote|(backslash-ones)&^backslash)&tops == 0
}

// control has a top bit set where a byte is below 0x20: a subtraction borrows into the top bit of a
// byte that is smaller and had none.
func control(word uint64) uint64 { return (word - 0x20*ones) &^ word & tops }

// hasControl says whether a byte below 0x20 is in the text.
func hasControl(text string) bool {
	for ; len(text) >= 8; text = text[8:] {
		if control(wordOf(text)) != 0 {
			return true
		}
	}
	for i := range len(text) {
		if text[i] < 0x20 {
			return true
		}
	}
	return false
}

func appendQuoted(dst []byte, id string) []byte {
	if isPlain(id) {
		return append(append(append(dst, '"'), id...), '"')
	}
	// a string always encodes; Cost is right for what JSON.stringify writes too
	quoted, _ := exact.Marshal(id)
	return append(dst, quoted...)
}

// IDs are the ids of a list, or of a piece of the pool or flight, in order. They do not change.
type IDs = idlist.List

// NewIDs are those of a slice.
func NewIDs(ids []string) IDs { return idlist.Of(ids) }

// appendID appends the i-th as it stands in JSON.
func appendID(dst []byte, ids IDs, i int) []byte {
	start := len(dst)
	dst = ids.Append(append(dst, '"'), i)
	if id := dst[start+1:]; !isPlain(view(id)) {
		return appendQuoted(dst[:start], string(id))
	}
	return append(dst, '"')
}

func view(data []byte) string { return unsafe.String(unsafe.SliceData(data), len(data)) }

// encodeIDs writes a list or a pool piece.
func encodeIDs(ids IDs) []byte { return writeIDs([]byte(listOpen), ids, listClose) }

// writeIDs appends the ids and the end to what stands before them.
func writeIDs(start []byte, ids IDs, end string) []byte {
	size := len(start) + ids.Bytes() + ids.Len()*len(`"",`) + len(end)
	data := append(make([]byte, 0, size), start...)
	return append(AppendIDs(data, ids), end...)
}

// AppendIDs appends ids as strings of JSON with commas between them, in the bytes that CostOf says.
func AppendIDs(dst []byte, ids IDs) []byte {
	if ids.UUIDs() {
		return ids.AppendUUIDs(dst)
	}
	for i := range ids.Len() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendID(dst, ids, i)
	}
	return dst
}

// DecodeIDs reads a list or a pool piece. What is not exact is an error, never a shorter list.
func DecodeIDs(data []byte) (ids IDs, err error) {
	ids, ok, err := scanIDs(data)
	if ok || err != nil {
		return ids, err
	}
	list, err := parseIDs(data)
	if err != nil {
		return IDs{}, err
	}
	for _, id := range list {
		if err := checkLength(id); err != nil {
			return IDs{}, err
		}
	}
	return NewIDs(list), nil
}

// checkLength says why a text that is UTF-8 cannot be an id.
func checkLength(id string) error {
	if id == "" || len(id) > MaxIDBytes {
		return fmt.Errorf("ids: %w", CheckID(id))
	}
	return nil
}

// scanIDs reads the usual shape, `{"ids":["…","…"]}` without escapes; of anything else it says
// nothing.
func scanIDs(data []byte) (ids IDs, ok bool, err error) {
	list, opened := bytes.CutPrefix(data, []byte(listOpen))
	list, closed := bytes.CutSuffix(list, []byte(listClose))
	if !opened || !closed || !utf8.Valid(list) {
		return IDs{}, false, nil
	}
	text := view(list)
	if hasControl(text) || strings.IndexByte(text, '\\') >= 0 {
		return IDs{}, false, nil
	}
	count := strings.Count(text, `","`) + 1
	b := idlist.NewBuilder(count, max(0, len(text)-count*len(`"",`)+len(`,`)))
	for rest, more := text, text != ""; more; {
		if rest == "" || rest[0] != '"' {
			return IDs{}, false, nil
		}
		end := 1 + strings.IndexByte(rest[1:], '"')
		if end == 0 {
			return IDs{}, false, nil
		}
		if id := rest[1:end]; err == nil {
			err = checkLength(id)
			b.Add(id)
		}
		if rest, more = strings.CutPrefix(rest[end+1:], ","); !more && rest != "" {
			return IDs{}, false, nil
		}
	}
	if err != nil {
		return IDs{}, false, err
	}
	return b.List(), true, nil
}

// parseIDs reads any JSON of the right meaning: ids may be numbers, other fields pass.
func parseIDs(data []byte) ([]string, error) {
	list, err := decode[struct {
		IDs *[]textID `json:"ids"`
	}](data, "list of ids")
	if err != nil {
		return nil, err
	}
	if list.IDs == nil {
		return nil, errors.New("ids: is missing")
	}
	ids := make([]string, len(*list.IDs))
	for i, id := range *list.IDs {
		ids[i] = string(id)
	}
	return ids, nil
}

// textID is a string, or a number taken by its digits.
type textID string

func (t *textID) UnmarshalJSON(raw []byte) error {
	if len(raw) > 0 && raw[0] == '"' {
		return exact.JSON(raw, (*string)(t))
	}
	var number json.Number
	if err := exact.JSON(raw, &number); err != nil || number == "" {
		return fmt.Errorf("id %.40s: want a string or a number", raw)
	}
	*t = textID(number)
	return nil
}
