package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/shardscaler/shardscaler/internal/exact"
)

// Written says, by kind, which fields a configuration's text has, by their paths below the kind:
// cpu.targetUtilization. The others are at their default.
type Written map[string]map[string]bool

// ReadWritten is that of a text that Parse takes.
func ReadWritten(text []byte) Written {
	var doc map[string]any
	all := Written{}
	if exact.KnownYAML(text, &doc) != nil {
		return all
	}
	kinds, _ := doc["kinds"].([]any)
	for _, k := range kinds {
		fields, _ := k.(map[string]any)
		paths := map[string]bool{}
		note("", fields, paths)
		all[fmt.Sprint(fields["name"])] = paths
	}
	return all
}

// note adds the paths of all fields that have a value, those of parts included.
func note(path string, fields map[string]any, paths map[string]bool) {
	for name, value := range fields {
		if value == nil {
			continue
		}
		at := join(path, name)
		paths[at] = true
		if part, ok := value.(map[string]any); ok {
			note(at, part, paths)
		}
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// Setting is one value of a kind's configuration.
type Setting struct {
	// Path is below the kind: cpu.targetUtilization.
	Path string
	// Value is as the configuration has it: text, a number, a truth value, a list; nil: it is off.
	Value any
}

// Settings are all values of a kind, in the order of its fields. A part that is off is one setting
// without a value.
func (k *Kind) Settings() (all []Setting) {
	walk("", reflect.ValueOf(k).Elem(), func(path string, value any) { all = append(all, Setting{path, value}) })
	return all
}

// whole are the types whose value is one setting.
var whole = []reflect.Type{reflect.TypeFor[resource.Quantity](), reflect.TypeFor[Duration]()}

func walk(path string, v reflect.Value, visit func(string, any)) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			visit(path, nil)
			return
		}
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct || slices.Contains(whole, v.Type()) {
		visit(path, plain(v))
		return
	}
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		walk(join(path, name), v.Field(i), visit)
	}
}

// plain is a value as a document shows it.
func plain(v reflect.Value) any {
	switch value := v.Interface().(type) {
	case Duration:
		return value.String()
	case resource.Quantity:
		return value.String()
	}
	switch v.Kind() {
	case reflect.String:
		return v.String()
	case reflect.Slice:
		if v.Len() == 0 {
			return []any{}
		}
	}
	return v.Interface()
}
