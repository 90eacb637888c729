package zkstore

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/shardscaler/shardscaler/internal/exact"
)

// Limits of the store, in bytes of JSON unless said otherwise.
const (
	MaxIDBytes    = 256     // an id, before quoting
	MaxPieceBytes = 1 << 17 // a pool piece that we create; the protocol allows twice that
	MaxFlight     = 1 << 18 // a flight piece
	MaxListBytes  = 500_000 // a list may not grow beyond
	MaxDocBytes   = 1 << 18 // a kept document
	MaxPool       = 500     // pool pieces
	MaxMultiBytes = 400_000 // a transaction with more than one list or source; one list and one piece may be larger
	MaxPlanBytes  = 4 << 20 // a stored plan, compressed

	// maxRequest is what the server surely takes: jute.maxbuffer is 1 MiB, and a request over it costs the session.
	maxRequest = 1_000_000
	// maxPlanText bounds what a stored plan may unpack to.
	maxPlanText = 64 << 20
	// maxTimes is the largest whole number that every reader of JSON keeps exact.
	maxTimes = 1<<53 - 1
	// schema is the newest `v` we understand.
	schema = 1
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

// isPlain says that an id stands in JSON as it is: without quotes, backslashes and bytes below 0x20. It looks at eight bytes at a time.
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

// control has a top bit set where a byte is below 0x20: a subtraction borrows into the top bit of a byte that is smaller and had none.
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

// encodeIDs writes a list or a pool piece, and returns the ids anew as parts of one string, so that an id that came
// from elsewhere does not keep the whole text alive that it came with.
func encodeIDs(ids []string) (data []byte, packed []string) {
	data, packed, _ = packIDs([]byte(listOpen), ids, listClose)
	return data, packed
}

// packIDs appends the ids and the end to what stands before them. What it returns shares its bytes, which nobody changes any more. plain
// says that every id stands there as it is.
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
	// plain is how all the ids stand in the znode, `"a","b"`; "" if one of them stands there in another way.
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

// encode writes what the list is to become. Where only its end goes, the rest is copied as it stands, and goes on sharing the text until
// too much of that is of no use any more.
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

// scanIDs reads the shape that everybody writes, `{"ids":["…","…"]}` without escapes; of anything else it says nothing. text is what
// stands between the brackets: the ids, and no byte besides quotes and commas.
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

// parseIDs reads any JSON of the right meaning: numbers as ids become strings, other fields are passed over.
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

// checkSchema refuses a `v` that we do not know: a newer program wrote it, and what it means is not ours to guess.
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
	data, _ := json.Marshal(h) // ints and strings always encode
	return data
}

func decodeHead(data []byte) (Head, error) {
	var v struct {
		V json.RawMessage `json:"v"`
	}
	if err := exact.JSON(data, &v); err != nil {
		return Head{}, fmt.Errorf("is no head: %w", err)
	}
	if err := checkSchema(v.V); err != nil {
		return Head{}, err
	}
	var h Head
	if err := exact.JSON(data, &h); err != nil {
		return Head{}, fmt.Errorf("is no head: %w", err)
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

// decodeData reads an instance's own data; -1 stands for what cannot be read, which Repair then writes anew.
func decodeData(data []byte) (used, capacity int) {
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

// decodeReload returns -1 for what cannot be read.
func decodeReload(data []byte) int64 {
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

// EncodeStatus writes what an acknowledging instance puts into its status.
func EncodeStatus(s Status) []byte {
	data, _ := json.Marshal(s) // ints and strings always encode
	return data
}

// decodeStatus reads what an instance wrote of itself. Legacy content is unknown and says nothing: nil.
func decodeStatus(data []byte) *Status {
	var raw struct {
		Times     *wholeNumber `json:"times"`
		Pod       string       `json:"pod"`
		Fences    bool         `json:"fences"`
		SessionMs int64        `json:"sessionMs"`
	}
	if exact.JSON(data, &raw) != nil || raw.Times == nil {
		return nil
	}
	return &Status{Times: int64(*raw.Times), Pod: raw.Pod, Fences: raw.Fences, SessionMs: raw.SessionMs}
}

// noStatus says what content is that decodeStatus takes for no status.
func noStatus(data []byte) string {
	var other struct {
		Times json.RawMessage `json:"times"`
	}
	switch {
	case len(data) == 0:
		return "is present and empty"
	case exact.JSON(data, &other) == nil && other.Times == nil:
		return "is present and carries no times"
	}
	return "is present and unreadable"
}

// encodeFlight writes a flight piece and returns its ids anew, like encodeIDs.
func encodeFlight(f *Flight) (data []byte, packed []string) {
	pod, _ := json.Marshal(f.Pod) // a string always encodes
	start := fmt.Appendf(nil, `{"from":%d,"times":%d,"pod":%s,"ids":[`, f.From, f.Times, pod)
	end := []byte(`]`)
	if len(f.To) > 0 {
		end = append(end, `,"to":[`...)
		for i, to := range f.To {
			if i > 0 {
				end = append(end, ',')
			}
			end = strconv.AppendInt(end, int64(to), 10)
		}
		end = append(end, ']')
	}
	data, packed, _ = packIDs(start, f.IDs, string(end)+`}`)
	return data, packed
}

// decodeFlight reads the piece of that name.
func decodeFlight(name string, data []byte) (*Flight, error) {
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
	if raw.From == nil || raw.Times == nil || flightName(int(*raw.From), int64(*raw.Times)) != name {
		return nil, fmt.Errorf("from, times: want those of the name %q", name)
	}
	ids, err := decodeIDs(append(append([]byte(listOpen[:len(listOpen)-1]), raw.IDs...), '}'))
	if err != nil {
		return nil, err
	}
	if len(raw.To) != 0 && len(raw.To) != len(ids) {
		return nil, fmt.Errorf("to: %d entries for %d ids", len(raw.To), len(ids))
	}
	for _, to := range raw.To {
		if to < ToDelete || to > exact.MaxOrdinal {
			return nil, fmt.Errorf("to: %d, at least %d", to, ToDelete)
		}
	}
	return &Flight{Name: name, From: int(*raw.From), Times: int64(*raw.Times), Pod: raw.Pod, IDs: ids, To: raw.To}, nil
}

// planHeader is the content of `plan`: which parts make up the stored plan. An empty ID: none is stored.
type planHeader struct {
	V     int    `json:"v"`
	ID    string `json:"id"`
	First int    `json:"first"` // number of the first part
	Parts int    `json:"parts"`
	Sum   string `json:"sum"` // SHA-256 of the parts, hexadecimal
	// Note is kept with an empty ID.
	Note json.RawMessage `json:"note,omitempty"`
}

func encodePlanHeader(h planHeader) []byte {
	h.V = schema
	data, _ := json.Marshal(h) // ints and strings always encode
	return data
}

// decodePlanHeader reads `plan`; empty data is no plan.
func decodePlanHeader(data []byte) (planHeader, error) {
	if len(data) == 0 {
		return planHeader{}, nil
	}
	var v struct {
		V json.RawMessage `json:"v"`
	}
	if err := exact.JSON(data, &v); err != nil {
		return planHeader{}, fmt.Errorf("is no plan: %w", err)
	}
	if err := checkSchema(v.V); err != nil {
		return planHeader{}, err
	}
	var h planHeader
	if err := exact.JSON(data, &h); err != nil {
		return planHeader{}, fmt.Errorf("is no plan: %w", err)
	}
	if h.First < 0 || h.Parts < 0 || h.Parts > maxPlanParts || h.First > maxPlanParts {
		return planHeader{}, fmt.Errorf("first, parts: %d, %d: want 0 to %d", h.First, h.Parts, maxPlanParts)
	}
	return h, nil
}

// planPartBytes is the size of a part; a plan has at most maxPlanParts.
const (
	planPartBytes = 1 << 18
	maxPlanParts  = MaxPlanBytes / planPartBytes
	// maxPlanNote bounds what stays behind when a plan has ended.
	maxPlanNote = 1 << 14
)

// packPlan compresses a plan and cuts it.
func packPlan(data []byte) (parts [][]byte, sum string, err error) {
	var buf bytes.Buffer
	zip, _ := gzip.NewWriterLevel(&buf, gzip.BestSpeed) // ids hardly shrink further, and moves wait for it
	_, _ = zip.Write(data)                              // a Buffer takes everything
	_ = zip.Close()
	packed := buf.Bytes()
	if len(packed) > MaxPlanBytes {
		return nil, "", fmt.Errorf("plan: %d bytes compressed, at most %d: %w", len(packed), MaxPlanBytes, ErrTooLarge)
	}
	if len(data) > maxPlanText {
		return nil, "", fmt.Errorf("plan: %d bytes, at most %d: %w", len(data), maxPlanText, ErrTooLarge)
	}
	hash := sha256.Sum256(packed)
	for len(packed) > 0 {
		n := min(len(packed), planPartBytes)
		parts = append(parts, packed[:n])
		packed = packed[n:]
	}
	return parts, hex.EncodeToString(hash[:]), nil
}

// unpackPlan is the reverse of packPlan, over the parts put together.
func unpackPlan(packed []byte, sum string) ([]byte, error) {
	hash := sha256.Sum256(packed)
	if got := hex.EncodeToString(hash[:]); got != sum {
		return nil, fmt.Errorf("sum: parts have %s, want %s", got, sum)
	}
	zip, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("unpack plan: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(zip, maxPlanText+1))
	if err != nil {
		return nil, fmt.Errorf("unpack plan: %w", err)
	}
	if len(data) > maxPlanText {
		return nil, fmt.Errorf("unpack plan: more than %d bytes", maxPlanText)
	}
	return data, nil
}
