package api

import (
	"fmt"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shardscaler/shardscaler/internal/exact"
)

func init() { huma.ValidateStrictCasing = true } // huma has it as a variable of the package

// readBody decodes a request. A field in two cases is a request with two meanings, and not a known
// field beside an unknown one. What it refuses is 400, what the schema refuses 422.
func readBody(body []byte, into any) error {
	if err := exact.JSON(body, into); err != nil {
		return err
	}
	fields, ok := into.(*any)
	if !ok {
		return nil
	}
	object, _ := (*fields).(map[string]any)
	for name := range object {
		for other := range object {
			if name > other && strings.EqualFold(name, other) {
				return fmt.Errorf("field %q comes twice, also as %q", name, other)
			}
		}
	}
	return nil
}
