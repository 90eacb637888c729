package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
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
	quoted, _ := exact.Marshal(id) // a string always encodes; Cost is right for what JSON.stringify writes too
	return append(dst, quoted...)
}

// encodeIDs writes a list or a pool piece, and returns the ids anew as parts of one string, so that
// an id that came from elsewhere does not keep the whole text alive that it came with.
func encodeIDs(ids []string) (data []byte, packed []string) {
	data, packed, _ = packIDs([]byte(listOpen), ids, listClose)
	return data, packed
}

// packIDs appends the ids and the end to what stands before them. What it returns shares its bytes,
// which nobody changes any more. plain says that every id stands there as it is.
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

// shared is the text that the ids of a list are parts of.
type shared struct {
	// plain is how all the ids stand in the znode, `"a","b"`; "" if one of them stands there in
	// another way.
	plain string
	// spare is how many bytes that follow belong to ids that have gone.
	spare int
}

// encodeList writes a list, and returns its ids anew.
func encodeList(ids []string) (data []byte, packed []string, text shared) {
	data, packed, plain := packIDs([]byte(listOpen), ids, listClose)
	if plain {
		text.plain = unsafe.String(unsafe.SliceData(data), len(data))[len(listOpen) : len(data)-len(listClose)]
	}
	return data, packed, text
}

// encode writes what the list is to become. Where only its end goes, the rest is copied as it
// stands, and goes on sharing the text until too much of that is of no use any more.
func (t shared) encode(was, ids []string) (data []byte, packed []string, text shared) {
	if t.plain == "" || len(ids) == 0 || len(ids) > len(was) || unsafe.SliceData(ids) != unsafe.SliceData(was) {
		return encodeList(ids)
	}
	gone := 0
	for _, id := range was[len(ids):] {
		gone += len(id) + len(`"",`)
	}
	text = shared{t.plain[:len(t.plain)-gone], t.spare + gone}
	const worthKeeping = 4 // parts of what is kept
	if text.spare > len(text.plain)/worthKeeping {
		return encodeList(ids)
	}
	data = make([]byte, 0, len(listOpen)+len(text.plain)+len(listClose))
	return append(append(append(data, listOpen...), text.plain...), listClose...), ids, text
}

// decodeList reads a list. What cannot be read exactly is an error, never a shorter list.
func decodeList(data []byte) (ids []string, text shared, err error) {
	var ok bool
	if ids, text.plain, ok = scanIDs(data); !ok {
		if ids, err = parseIDs(data); err != nil {
			return nil, shared{}, err
		}
	}
	for _, id := range ids {
		if id == "" || len(id) > MaxIDBytes { // that it is UTF-8, both readers have made sure
			return nil, shared{}, fmt.Errorf("ids: %w", CheckID(id))
		}
	}
	return ids, text, nil
}

// decodeIDs is decodeList where the text does not matter: a pool piece.
func decodeIDs(data []byte) ([]string, error) {
	ids, _, err := decodeList(data)
	return ids, err
}

// scanIDs reads the shape that everybody writes, `{"ids":["…","…"]}` without escapes; of anything
// else it says nothing. text is what stands between the brackets: the ids, and no byte besides
// quotes and commas.
func scanIDs(data []byte) (ids []string, text string, ok bool) {
	if len(data) < len(listOpen)+len(listClose) || string(data[:len(listOpen)]) != listOpen ||
		string(data[len(data)-len(listClose):]) != listClose || !utf8.Valid(data) {
		return nil, "", false
	}
	text = string(data[len(listOpen) : len(data)-len(listClose)])
	if hasControl(text) || strings.IndexByte(text, '\\') >= 0 {
		return nil, "", false
	}
	if ids, ok = scanArray(text); !ok {
		return nil, "", false
	}
	return ids, text, true
}

// scanArray reads `"…","…"`, without escapes; the result shares the text.
func scanArray(text string) ([]string, bool) {
	if text == "" {
		return []string{}, true
	}
	ids := make([]string, 0, strings.Count(text, `","`)+1)
	for {
		if text == "" || text[0] != '"' {
			return nil, false
		}
		end := strings.IndexByte(text[1:], '"')
		if end < 0 {
			return nil, false
		}
		ids = append(ids, text[1:1+end])
		text = text[end+2:]
		if text == "" {
			return ids, true
		}
		if text[0] != ',' {
			return nil, false
		}
		text = text[1:]
	}
}

// parseIDs reads any JSON of the right meaning: numbers as ids become strings, other fields are
// passed over.
func parseIDs(data []byte) ([]string, error) {
	var list struct {
		V   json.RawMessage `json:"v"`
		IDs *[]textID       `json:"ids"`
	}
	if err := exact.JSON(data, &list); err != nil {
		return nil, fmt.Errorf("is no list of ids: %w", err)
	}
	if err := checkSchema(list.V); err != nil {
		return nil, err
	}
	if list.IDs == nil {
		return nil, errors.New("ids: is missing")
	}
	return texts(*list.IDs), nil
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

func texts(ids []textID) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = string(id)
	}
	return out
}
