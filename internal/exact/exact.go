// Package exact reads JSON, YAML and ordinals that come from outside, and writes JSON as others do.
//
// In: text, and the value it is read into. Out: an error that names the field, or nothing.
// Invariant: a text has one meaning. A name counts only as it is documented: in another case it is
// another name, and a name that comes twice is an error; encoding/json takes any case and the last
// of several. And two different texts never become one: bytes that are not UTF-8 and halves of a
// surrogate pair, for which encoding/json puts U+FFFD, are errors.
//
// A json.RawMessage is read only when it is read itself.
package exact

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// JSON reads what may have more fields than into has; those are passed over.
func JSON(text []byte, into any) error {
	if err := wellFormed(text); err != nil {
		return err
	}
	return Parts(text, into)
}

// Parts is JSON for a text that holds strings of others, which need not be well-formed: into has
// nothing but json.RawMessages, and those that matter are read one by one.
func Parts(text []byte, into any) error {
	return unmarshal(text, into, json.DisallowDuplicateFields)
}

// KnownJSON is JSON for a text whose every field must be one of into's.
func KnownJSON(text []byte, into any) error {
	if err := wellFormed(text); err != nil {
		return err
	}
	return unmarshal(text, into, json.DisallowDuplicateFields, json.DisallowUnknownFields)
}

// KnownYAML is KnownJSON for one document of YAML. A number or a truth value is taken for text
// where into has text, if it is written as it would be printed: 7, not 007, and true, not yes.
func KnownYAML(text []byte, into any) error {
	var asJSON stdjson.RawMessage
	// The library turns YAML into JSON that suits the types of into, for encoding/json. take keeps
	// the JSON and leaves null in its place, which changes nothing.
	take := func(d *stdjson.Decoder) *stdjson.Decoder {
		_ = d.Decode(&asJSON)                                // the library has just encoded it
		return stdjson.NewDecoder(strings.NewReader("null")) //nolint:forbidigo // there is no name in it
	}
	if err := yaml.UnmarshalStrict(text, into, take); err != nil { //nolint:forbidigo // into gets nothing from it
		return err
	}
	if err := asWritten(text, asJSON); err != nil {
		return err
	}
	return KnownJSON(asJSON, into)
}

// Marshal writes v as JSON.stringify does: nothing is escaped that JSON does not want escaped.
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	to := stdjson.NewEncoder(&b)
	to.SetEscapeHTML(false)
	if err := to.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// wellFormed says what of a JSON text would be replaced when it is read.
func wellFormed(text []byte) error {
	if !utf8.Valid(text) {
		return errors.New("is not UTF-8")
	}
	for {
		i := bytes.IndexByte(text, '\\')
		if i < 0 || i+1 == len(text) {
			return nil
		}
		text = text[i:]
		unit, escaped := utf16Unit(text)
		switch {
		case !escaped:
			text = text[len(`\n`):]
		case !utf16.IsSurrogate(unit):
			text = text[unitBytes:]
		default:
			low, _ := utf16Unit(text[unitBytes:])
			if utf16.DecodeRune(unit, low) == utf8.RuneError {
				return fmt.Errorf("%s is half a surrogate pair: no character", text[:unitBytes])
			}
			text = text[2*unitBytes:]
		}
	}
}

const unitBytes = len(`\ud83d`)

// utf16Unit is the code unit that a text begins with, if that is written as \uXXXX.
func utf16Unit(text []byte) (unit rune, ok bool) {
	if len(text) < unitBytes || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(text[2:unitBytes]), 16, 16)
	return rune(n), err == nil
}

func unmarshal(text []byte, into any, options ...json.StrictOption) error {
	faults, err := json.UnmarshalStrict(text, into, options...)
	if err != nil {
		return inWords(err, text)
	}
	if len(faults) == 0 {
		return nil
	}
	all := make([]string, len(faults))
	for i, fault := range faults {
		all[i] = fault.Error()
	}
	return errors.New(strings.Join(all, ", "))
}
