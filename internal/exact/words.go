package exact

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"sigs.k8s.io/json"
)

// inWords says an error of the decoder without the words of Go: where in the text, what is there,
// and what is wanted.
func inWords(err error, text []byte) error {
	if syntax, at := json.SyntaxErrorOffset(err); syntax {
		return syntaxInWords(err.Error(), text, int(at))
	}
	var kind *stdjson.UnmarshalTypeError
	var moment *time.ParseError
	switch {
	case errors.As(err, &kind):
		value := valueBefore(text, int(kind.Offset), kind.Value)
		if kind.Field != "" {
			value = fmt.Sprintf("field %q: %s", kind.Field, value)
		}
		return fmt.Errorf("%s: want %s", value, wanted(kind.Type))
	case errors.As(err, &moment):
		return fmt.Errorf("%s is no time: want one such as 2026-03-01T12:00:00Z", strings.Trim(moment.Value, `"`))
	}
	return err
}

// valueBefore is the value that ends at an offset, as it is written; of a list or an object, that
// it is one.
func valueBefore(text []byte, end int, kind string) string {
	before := text[:max(0, min(end, len(text)))]
	switch kind {
	case "array":
		return "a list"
	case "object":
		return "an object"
	case "bool":
		for _, literal := range []string{"true", "false"} {
			if bytes.HasSuffix(before, []byte(literal)) {
				return literal
			}
		}
	case "string":
		if at := openingQuote(before); at >= 0 {
			return fmt.Sprintf("%.80s", before[at:])
		}
	case "number":
		return string(before[1+bytes.LastIndexFunc(before, func(r rune) bool { return !strings.ContainsRune("+-.0123456789eE", r) }):])
	}
	return fmt.Sprintf("%.80s", strings.TrimPrefix(kind, "number "))
}

// openingQuote is where the string begins that a text ends with; -1: it ends with none.
func openingQuote(text []byte) int {
	if !bytes.HasSuffix(text, []byte(`"`)) {
		return -1
	}
	for i := len(text) - 2; i >= 0; i-- {
		escapes := 0
		for escapes < i && text[i-1-escapes] == '\\' {
			escapes++
		}
		if text[i] == '"' && escapes%2 == 0 {
			return i
		}
	}
	return -1
}

// wanted says what a type takes.
func wanted(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		most := uint64(math.MaxInt64) >> (64 - t.Bits())
		if t.Bits() == 64 {
			return fmt.Sprintf("a whole number in digits alone, at most %d", most)
		}
		return fmt.Sprintf("a whole number from -%d to %d in digits alone", most+1, most)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return fmt.Sprintf("a whole number from 0 to %d in digits alone", uint64(math.MaxUint64)>>(64-t.Bits()))
	case reflect.Float32, reflect.Float64:
		return "a number that is not larger than 1e308"
	case reflect.String:
		return "text in quotes"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "an object"
	}
	return "another type of value"
}

// rules are what the decoder was about to read when it met a byte that cannot be there.
var rules = []struct{ decoder, want string }{
	{"looking for beginning of value", "a value: text in double quotes, a number such as 10 or -0.5, true, false, null, a list or an object"},
	{"looking for beginning of object key string", "the name of a field in double quotes"},
	{"after object key:value pair", "a comma or }"},
	{"after object key", "a colon after the name of a field"},
	{"after array element", "a comma or ]"},
	{"after top-level value", "nothing more: one value is the whole text"},
	{"in string literal", `control characters in text as \n, \t or \u001f`},
	{"in string escape code", `after \ one of " \ / b f n r t u`},
	{"in \\u hexadecimal", `after \u four hexadecimal digits`},
	{"numeric literal", "a digit"},
	{"in literal", "true, false or null"},
	{"exceeded max depth", "at most 10000 levels"},
}

func syntaxInWords(said string, text []byte, at int) error {
	if at < 1 || at > len(text) || strings.Contains(said, "unexpected end") {
		return errors.New("is no JSON: it ends too early")
	}
	want := "JSON"
	for _, rule := range rules {
		if strings.Contains(said, rule.decoder) {
			want = rule.want
			break
		}
	}
	before := text[:at-1]
	digit := text[at-1] >= '0' && text[at-1] <= '9'
	if digit && bytes.HasSuffix(before, []byte("0")) && strings.Contains(said, "after") {
		want = "numbers without leading zeros"
	}
	line, column := 1+bytes.Count(before, []byte("\n")), at-1-bytes.LastIndexByte(before, '\n')
	there, _ := utf8.DecodeRune(text[at-1:])
	return fmt.Errorf("is no JSON: line %d, byte %d: %q: want %s", line, column, there, want)
}
