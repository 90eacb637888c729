package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/shardscaler/shardscaler/internal/exact"
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
type IDs struct {
	list []string
	// plain is how all the ids stand in the znode, `"a","b"`, the text that they are parts of; ""
	// if one stands otherwise. spare is how many bytes that follow belong to ids that have gone.
	plain string
	spare int
}

// NewIDs are those of a slice, which nothing may change any more.
func NewIDs(ids []string) IDs { return IDs{list: ids} }

// Len is how many there are.
func (s IDs) Len() int { return len(s.list) }

// All yields each with its place.
func (s IDs) All() iter.Seq2[int, string] { return slices.All(s.list) }

// Slice are those from one place to before another.
func (s IDs) Slice(from, to int) IDs { return IDs{list: s.list[from:to:to]} }

// Strings are all of them. The caller must not change the slice.
func (s IDs) Strings() []string { return s.list }

// Cost is what they add to a znode.
func (s IDs) Cost() (cost int) {
	for _, id := range s.list {
		cost += Cost(id)
	}
	return cost
}

// Is says that both are the same in memory: then so are the ids. Others may be equal too.
func (s IDs) Is(o IDs) bool {
	return len(s.list) == len(o.list) && unsafe.SliceData(s.list) == unsafe.SliceData(o.list)
}

// Differ drops what both begin with and what both end with: lists mostly grow at their end.
func (s IDs) Differ(o IDs) (rest, other IDs) {
	a, b := s.list, o.list
	if unsafe.SliceData(a) == unsafe.SliceData(b) {
		n := min(len(a), len(b))
		return IDs{list: a[n:]}, IDs{list: b[n:]}
	}
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return IDs{list: a}, IDs{list: b}
}

// encodeIDs writes a list or a pool piece, and returns the ids anew as parts of one string: an id
// that came from elsewhere would keep the whole text alive that it came with.
func encodeIDs(ids []string) (data []byte, packed IDs) {
	data, list, plain := packIDs([]byte(listOpen), ids, listClose)
	packed = IDs{list: list}
	if plain {
		packed.plain = unsafe.String(unsafe.SliceData(data), len(data))[len(listOpen) : len(data)-len(listClose)]
	}
	return data, packed
}

// packIDs appends the ids and the end to what stands before them. The results share its bytes,
// from now on read only. plain says that every id stands there as it is.
func packIDs(start []byte, ids []string, end string) (data []byte, packed []string, plain bool) {
	size := len(start) + len(end)
	for _, id := range ids {
		size += len(id) + len(`"",`)
	}
	data = append(make([]byte, 0, size), start...)
	for i, id := range ids {
		if i > 0 {
			data = append(data, ',')
		}
		data = appendQuoted(data, id)
	}
	data = append(data, end...)

	text, at := unsafe.String(unsafe.SliceData(data), len(data)), len(start)
	packed, plain = make([]string, len(ids)), true
	for i, id := range ids {
		if last := at + 1 + len(id); text[at+1:last] == id && text[last] == '"' {
			packed[i], at = text[at+1:last], last+len(`",`)
			continue
		}
		packed[i], at, plain = strings.Clone(id), at+Cost(id), false
	}
	return data, packed, plain
}

// become writes what the list is to become. Where only its end goes, the rest is copied as it
// stands, and goes on sharing the text until too much of that is of no use any more.
func (s IDs) become(ids []string) (data []byte, packed IDs) {
	if s.plain == "" || len(ids) == 0 || len(ids) > len(s.list) || unsafe.SliceData(ids) != unsafe.SliceData(s.list) {
		return encodeIDs(ids)
	}
	gone := 0
	for _, id := range s.list[len(ids):] {
		gone += len(id) + len(`"",`)
	}
	plain, spare := s.plain[:len(s.plain)-gone], s.spare+gone
	const worthKeeping = 4 // parts of what is kept
	if spare > len(plain)/worthKeeping {
		return encodeIDs(ids)
	}
	data = make([]byte, 0, len(listOpen)+len(plain)+len(listClose))
	return append(append(append(data, listOpen...), plain...), listClose...), IDs{ids, plain, spare}
}

// DecodeIDs reads a list or a pool piece. What is not exact is an error, never a shorter list.
func DecodeIDs(data []byte) (ids IDs, err error) {
	var ok bool
	if ids.list, ids.plain, ok = scanIDs(data); !ok {
		if ids.list, err = parseIDs(data); err != nil {
			return IDs{}, err
		}
	}
	for _, id := range ids.list {
		if id == "" || len(id) > MaxIDBytes { // that it is UTF-8, both readers have made sure
			return IDs{}, fmt.Errorf("ids: %w", CheckID(id))
		}
	}
	return ids, nil
}

// scanIDs reads the usual shape, `{"ids":["…","…"]}` without escapes; of anything
// else it says nothing. text is what is between the brackets; the ids share it.
func scanIDs(data []byte) (ids []string, text string, ok bool) {
	list, opened := bytes.CutPrefix(data, []byte(listOpen))
	list, closed := bytes.CutSuffix(list, []byte(listClose))
	if !opened || !closed || !utf8.Valid(list) {
		return nil, "", false
	}
	if text = string(list); hasControl(text) || strings.IndexByte(text, '\\') >= 0 {
		return nil, "", false
	}
	ids = make([]string, 0, strings.Count(text, `","`)+1)
	for rest, more := text, text != ""; more; {
		if rest == "" || rest[0] != '"' {
			return nil, "", false
		}
		end := 1 + strings.IndexByte(rest[1:], '"')
		if end == 0 {
			return nil, "", false
		}
		ids = append(ids, rest[1:end])
		if rest, more = strings.CutPrefix(rest[end+1:], ","); !more && rest != "" {
			return nil, "", false
		}
	}
	return ids, text, true
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
