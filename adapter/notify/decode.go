package notify

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/shardscaler/shardscaler/internal/exact"
)

const (
	// maxBytes of a decoded message: a bulk create of 200,000 UUIDs. A reconcile is cheaper.
	maxBytes = 8 << 20
	// maxElements of a notification. In memory a list's element takes many times its two bytes.
	maxElements = 1 << 18
	// maxID is the longest id of a resource, in bytes (formats.md).
	maxID = 256
)

var errOversized = errors.New("oversized")

// Message is a notification: what it says exactly, and whether that is all.
type Message struct {
	Kind string
	// Create and Delete are the ids it names beyond doubt, Claim those that are deleted if no part
	// of its condition was lost on its way; at most one of the three has any.
	Create, Delete, Claim []string
	// Shown are the ids of rows that an update has shown and that exist, then.
	Shown []string
	// Reconcile: it also says something that cannot be read exactly, so only the catalogue knows.
	Reconcile bool
}

// Decode reads a notification. padded says whether the catalogue pads a kind's ids with blanks, as
// char(n) does; where it does not, only the catalogue knows what an id with blanks at its end is.
// An error means that not even the kind can be told.
func Decode(payload []byte, padded func(kind string) bool) (Message, error) {
	if size, stub := stubSize(payload); stub || len(payload) > maxBytes {
		return Message{}, fmt.Errorf("decode notification: %w: %d bytes, at most %d", errOversized, max(size, len(payload)), maxBytes)
	}
	if n := bytes.Count(payload, []byte{','}) + 1; n > maxElements {
		return Message{}, fmt.Errorf("decode notification: %w: %d elements, at most %d", errOversized, n, maxElements)
	}
	if !utf8.Valid(payload) { // encoding/json would replace what is not, and so change ids
		return Message{}, errors.New("decode notification: not UTF-8")
	}
	var raw struct {
		Op       json.RawMessage `json:"o"`
		Kind     json.RawMessage `json:"t"`
		Key      json.RawMessage `json:"k"`
		Keys     json.RawMessage `json:"keys"`
		Instance json.RawMessage `json:"instance"`
		Where    json.RawMessage `json:"where"`
		Fields   json.RawMessage `json:"fields"`
	}
	if err := exact.Parts(payload, &raw); err != nil {
		return ambiguous(payload, err)
	}
	kind, err := kindOf(raw.Kind)
	if err != nil {
		return Message{}, fmt.Errorf("decode notification: %w", err)
	}
	m, r := Message{Kind: kind}, reader{padded: padded(kind)}
	var op string
	_ = exact.JSON(raw.Op, &op) // what is no text is no known operation
	switch op {
	case "c": // create
		m.Create, m.Reconcile = r.existing(raw.Key, raw.Instance)
	case "u": // update
		m.Shown, m.Reconcile = r.existing(raw.Key, raw.Instance)
	case "d": // delete
		m.Delete, m.Reconcile = r.one(raw.Key, raw.Instance)
	case "bc": // bulk create
		m.Create, m.Reconcile = r.keys(raw.Keys)
	case "bu": // bulk update
		m.Shown, m.Reconcile = r.updatedRows(raw.Where, raw.Fields)
	case "bd": // bulk delete
		m.Claim, m.Reconcile = r.where(raw.Where)
	default:
		m.Reconcile = true
	}
	return m, nil
}

// outdated is what a message says that the broker hands out again at each subscription: which rows
// existed once. Only the catalogue knows whether that is still so.
func (m Message) outdated() Message {
	return Message{Kind: m.Kind, Reconcile: m.Reconcile || m.ids() > 0}
}

func (m *Message) ids() int { return len(m.Create) + len(m.Delete) + len(m.Claim) + len(m.Shown) }

// ambiguous is a message in which a field comes twice: only the catalogue can settle what is so. It
// must still name its kind once.
func ambiguous(payload []byte, why error) (Message, error) {
	var raw struct {
		Kind json.RawMessage `json:"t"`
	}
	if exact.Parts(payload, &raw) != nil {
		return Message{}, fmt.Errorf("decode notification: %w", why)
	}
	kind, err := kindOf(raw.Kind)
	if err != nil {
		return Message{}, fmt.Errorf("decode notification: %w; %w", why, err)
	}
	return Message{Kind: kind, Reconcile: true}, nil
}

func kindOf(raw json.RawMessage) (kind string, err error) {
	if raw != nil {
		err = exact.JSON(raw, &kind)
	}
	if err != nil {
		return "", fmt.Errorf("t: %w", err)
	}
	if kind == "" {
		return "", errors.New("t is missing")
	}
	return kind, nil
}

// reader reads the ids of one kind.
type reader struct{ padded bool }

// one is the id in k or in instance. If both have one they must agree.
func (r reader) one(key, instance json.RawMessage) (ids []string, inexact bool) {
	k, readable := r.idOf(key)
	i, readable2 := r.idOf(instance)
	id := cmp.Or(k, i)
	if !readable || !readable2 || id == "" || i != "" && i != id {
		return nil, true
	}
	return []string{id}, false
}

// keys are the ids of a bulk create. What can be read is created even where the rest cannot: a
// create by explicit id is no guess.
func (r reader) keys(raw json.RawMessage) (ids []string, inexact bool) {
	return list(raw, func(key json.RawMessage) (string, bool) {
		if id, ok := r.scalar(key); ok {
			return id, true
		}
		id, ok := r.idOf(key)
		return id, ok && id != ""
	})
}

// list reads the ids of a list one by one. inexact: it has some that cannot be read, or none at
// all.
func list(raw json.RawMessage, read func(json.RawMessage) (id string, ok bool)) (ids []string, inexact bool) {
	if ids, ok := plainTexts(raw); ok {
		return ids, false
	}
	var elements []json.RawMessage
	if exact.Parts(raw, &elements) != nil || len(elements) == 0 {
		return nil, true
	}
	for _, element := range elements {
		if id, ok := read(element); ok {
			ids = append(ids, id)
		} else {
			inexact = true
		}
	}
	return ids, inexact
}

// updatedRows are the rows that a bulk update names, as far as they can be read. changed: others
// may exist than before. It names no values, so this is so unless its hook lists the columns.
func (r reader) updatedRows(condition, fields json.RawMessage) (ids []string, changed bool) {
	var names []string
	if exact.JSON(fields, &names) != nil || len(names) == 0 ||
		slices.Contains(names, "id") || slices.Contains(names, "deletedAt") {
		// the key, and the mark of a soft delete
		return nil, true
	}
	ids, _ = r.where(condition)
	return ids, false
}

// existing is the row that a create or an update shows. inexact: it cannot be read, it shows
// another key than before, or it is deleted softly, so that other rows may exist than it says.
func (r reader) existing(key, instance json.RawMessage) (ids []string, inexact bool) {
	var row struct {
		DeletedAt json.RawMessage `json:"deletedAt"`
	}
	ids, inexact = r.one(key, instance)
	unread := instance != nil && exact.Parts(instance, &row) != nil
	if inexact || unread || row.DeletedAt != nil && string(row.DeletedAt) != "null" {
		return nil, true
	}
	return ids, false
}

// where are the ids of a bulk delete: exactly {"id":"…"} or {"id":["…",…]}. Anything beside narrows
// the choice in a way we cannot evaluate, and an operator has vanished on its way here: then no id
// is named. What looks exact may have been narrowed too, by an operator that left no trace: the ids
// are those that may be deleted, and no others are.
func (r reader) where(raw json.RawMessage) (ids []string, inexact bool) {
	var condition map[string]json.RawMessage
	if exact.Parts(raw, &condition) != nil || len(condition) != 1 {
		return nil, true
	}
	if id, ok := r.scalar(condition["id"]); ok {
		return []string{id}, false
	}
	if ids, inexact = list(condition["id"], r.scalar); inexact {
		return nil, true
	}
	return ids, false
}

// plainTexts are the elements of a list that has nothing but ids without escapes and without a
// blank at the end, which is what an import of any size consists of; false where it has anything
// else. raw is valid JSON. All ids share one copy of the list, as one object.
func plainTexts(raw json.RawMessage) (ids []string, ok bool) {
	if len(raw) == 0 || raw[0] != '[' || bytes.IndexByte(raw, '\\') >= 0 || !utf8.Valid(raw) {
		return nil, false
	}
	const quotes = 2
	ids = make([]string, 0, bytes.Count(raw, []byte{'"'})/quotes)
	for rest := string(raw[1 : len(raw)-1]); ; {
		rest = strings.TrimLeft(rest, " \t\r\n")
		if rest == "" || rest[0] != '"' {
			return nil, false
		}
		end := strings.IndexByte(rest[1:], '"')
		if end < 1 || end > maxID || rest[end] == ' ' {
			return nil, false
		}
		ids = append(ids, rest[1:1+end])
		rest = strings.TrimLeft(rest[1+end+1:], " \t\r\n")
		if rest == "" {
			return ids, true
		}
		rest = rest[1:] // a comma, since it is valid
	}
}

// idOf is the field id of a JSON object; "" where there is no object, or no id in it. ok: what is
// there can be read.
func (r reader) idOf(raw json.RawMessage) (id string, ok bool) {
	var object struct {
		ID json.RawMessage `json:"id"`
	}
	if raw != nil && exact.Parts(raw, &object) != nil {
		return "", false
	}
	if object.ID == nil {
		return "", true
	}
	return r.scalar(object.ID)
}

// scalar is an id: text of 1 to maxID bytes without its padding, or a whole number as text.
func (r reader) scalar(raw json.RawMessage) (string, bool) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return "", false
	}
	id := string(raw)
	if raw[0] == '"' {
		if exact.JSON(raw, &id) != nil {
			return "", false
		}
	} else if len(bytes.Trim(bytes.TrimPrefix(raw, []byte("-")), "0123456789")) > 0 {
		return "", false // null, true, 1.5, 1e3, an object, a list
	}
	if strings.HasSuffix(id, " ") {
		if !r.padded {
			return "", false
		}
		id = strings.TrimRight(id, " ")
	}
	return id, id != "" && len(id) <= maxID
}
