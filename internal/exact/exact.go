// Package exact reads JSON, YAML and ordinals that come from outside, and writes JSON as others do.
//
// In: text, and the value it is read into. Out: an error that names the field, or nothing. Invariant:
// a text has one meaning. A name counts only as it is documented: in another case it is another name,
// and a name that comes twice is an error. encoding/json takes any case and the last of several: it
// reads {"id":"b","Id":"a"} as a.
//
// A json.RawMessage is read, and so checked, only when it is read itself.
package exact

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"strings"

	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// JSON reads what may have more fields than into has; those are passed over.
func JSON(text []byte, into any) error {
	return unmarshal(text, into, json.DisallowDuplicateFields)
}

// KnownJSON is JSON for a text whose every field must be one of into's.
func KnownJSON(text []byte, into any) error {
	return unmarshal(text, into, json.DisallowDuplicateFields, json.DisallowUnknownFields)
}

// KnownYAML is KnownJSON for YAML.
func KnownYAML(text []byte, into any) error {
	var asJSON stdjson.RawMessage
	// The library turns YAML into JSON that suits the types of into: a number becomes text where into has
	// text. Then it would give that JSON to encoding/json. take keeps the JSON and leaves null in its
	// place, which changes nothing.
	take := func(d *stdjson.Decoder) *stdjson.Decoder {
		_ = d.Decode(&asJSON)                                // the library has just encoded it
		return stdjson.NewDecoder(strings.NewReader("null")) //nolint:forbidigo // there is no name in it
	}
	if err := yaml.UnmarshalStrict(text, into, take); err != nil { //nolint:forbidigo // into gets nothing from it
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

func unmarshal(text []byte, into any, options ...json.StrictOption) error {
	faults, err := json.UnmarshalStrict(text, into, options...)
	if err != nil || len(faults) == 0 {
		return err
	}
	all := make([]string, len(faults))
	for i, fault := range faults {
		all[i] = fault.Error()
	}
	return errors.New(strings.Join(all, ", "))
}
