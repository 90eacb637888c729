package delta

import (
	"bytes"
	"reflect"

	"github.com/shardscaler/shardscaler/internal/exact"
)

// patch is the merge patch (RFC 7396) that makes from into to; nil where they are the same. With an
// ordinal it says whose it is. Neither has members that are null.
func patch(from, to []byte, ordinal *int) ([]byte, error) {
	if bytes.Equal(from, to) {
		return nil, nil
	}
	var before, after map[string]any
	if err := exact.JSON(from, &before); err != nil {
		return nil, err
	}
	if err := exact.JSON(to, &after); err != nil {
		return nil, err
	}
	changed := difference(before, after)
	if ordinal != nil {
		changed["ordinal"] = *ordinal
	}
	return exact.Marshal(changed)
}

func difference(before, after map[string]any) map[string]any {
	changed := map[string]any{}
	for name := range before {
		if _, stays := after[name]; !stays {
			changed[name] = nil
		}
	}
	for name, value := range after {
		was, old := before[name].(map[string]any)
		is, object := value.(map[string]any)
		switch {
		case old && object:
			if inner := difference(was, is); len(inner) > 0 {
				changed[name] = inner
			}
		case !reflect.DeepEqual(before[name], value):
			changed[name] = value
		}
	}
	return changed
}

// merge applies a merge patch to an object, which it changes.
func merge(object, patch map[string]any) map[string]any {
	if object == nil {
		object = map[string]any{}
	}
	for name, value := range patch {
		switch value := value.(type) {
		case nil:
			delete(object, name)
		case map[string]any:
			old, _ := object[name].(map[string]any)
			object[name] = merge(old, value)
		default:
			object[name] = value
		}
	}
	return object
}
