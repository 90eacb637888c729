package exact

import (
	"bytes"
	"encoding/base64"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// asWritten says what the JSON that the library made of YAML does not show: a second document, two
// keys that become one, such as 1 and "1", a scalar that becomes another text, bytes that are none.
func asWritten(text []byte, asJSON stdjson.RawMessage) error {
	documents := yaml.NewDecoder(bytes.NewReader(text))
	var first, second yaml.Node
	if err := documents.Decode(&first); err != nil {
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
	switch err := documents.Decode(&second); {
	case err == nil:
		return fmt.Errorf("line %d: a second document begins (---): want one", max(second.Line, 1))
	case !errors.Is(err, io.EOF):
		return err
	}
	if len(asJSON) == 0 {
		return nil
	}
	var value any
	if err := JSON(asJSON, &value); err != nil {
		return err
	}
	return nodeAsWritten(&first, value)
}

// nodeAsWritten is asWritten for a part of the document, and what it has become.
func nodeAsWritten(n *yaml.Node, value any) error {
	switch n.Kind {
	case yaml.DocumentNode:
		return nodeAsWritten(n.Content[0], value)
	case yaml.AliasNode:
		return nodeAsWritten(n.Alias, value)
	case yaml.SequenceNode:
		list, _ := value.([]any)
		for i := range min(len(list), len(n.Content)) {
			if err := nodeAsWritten(n.Content[i], list[i]); err != nil {
				return err
			}
		}
	case yaml.MappingNode:
		object, _ := value.(map[string]any)
		return mappingAsWritten(n, object)
	case yaml.ScalarNode:
		return scalarAsWritten(n, value)
	}
	return nil
}

// octal is a number that YAML takes for one of base 8, though it does not look like one.
var octal = regexp.MustCompile(`^[-+]?0[0-9_]+$`)

func scalarAsWritten(n *yaml.Node, value any) error {
	if n.ShortTag() == "!!binary" {
		return binaryAsWritten(n)
	}
	if n.Style != 0 {
		return nil // in quotes, or of a type that is written beside it
	}
	switch read := value.(type) {
	case string:
		if read != n.Value {
			return fmt.Errorf("line %d: %s would be read as %q: put it in quotes", n.Line, n.Value, read)
		}
	case int64, float64:
		if octal.MatchString(n.Value) {
			return fmt.Errorf("line %d: %s would be read as %v: write it without the leading 0", n.Line, n.Value, read)
		}
	}
	return nil
}

// mappingAsWritten looks at all keys first: of those that become one, only the last has a value.
func mappingAsWritten(n *yaml.Node, object map[string]any) error {
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := keyOf(n.Content[i])
		if key.ShortTag() == "!!merge" {
			continue // what it brings is seen where it is written, and what is written here counts
		}
		if line, twice := lines[key.Value]; twice {
			return fmt.Errorf("line %d: the key %q comes twice, first in line %d", key.Line, key.Value, line)
		}
		lines[key.Value] = key.Line
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := keyOf(n.Content[i])
		if key.ShortTag() == "!!merge" {
			continue
		}
		value, read := object[key.Value]
		if !read {
			return fmt.Errorf("line %d: the key %s would be read as another text: put it in quotes", key.Line, key.Value)
		}
		if err := nodeAsWritten(n.Content[i+1], value); err != nil {
			return err
		}
	}
	return nil
}

// keyOf is the key itself where another one refers to it.
func keyOf(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// binaryAsWritten refuses bytes that would be replaced in a text.
func binaryAsWritten(n *yaml.Node) error {
	data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(n.Value), ""))
	if err != nil || !utf8.Valid(data) {
		return fmt.Errorf("line %d: !!binary %.40s: is not UTF-8", n.Line, n.Value)
	}
	return nil
}
