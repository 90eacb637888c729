package scaler

import (
	"cmp"
	"encoding/json"
	"reflect"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// This file makes what is kept in ZooKeeper fit into its document, whatever it holds: a bound by
// construction, and not by the hope that no list and no text will ever be that long.

// caps are tried one after the other until all of it fits.
var caps = []struct{ entries, text int }{{1000, 2000}, {300, 1000}, {100, 500}, {30, 300}, {10, 200}, {3, 100}, {0, 50}}

// fit cuts the lists and texts of r until its JSON has no more than room bytes, and counts the
// entries that it leaves out. The last caps leave as many short texts and numbers as r has fields.
func fit(r outcome.Report, room int) (cut outcome.Report) {
	for _, c := range caps {
		s := shortener{entries: c.entries, text: c.text}
		cut = s.copied(reflect.ValueOf(r)).Interface().(outcome.Report)
		if cut.LeftOut = s.leftOut; size(cut) <= room {
			break
		}
	}
	return cut
}

// size is that of the JSON of what can be encoded.
func size(v any) int {
	data, _ := json.Marshal(v)
	return len(data)
}

// shortener copies values deeply, with so many entries of each list and bytes of each text at most.
type shortener struct{ entries, text, leftOut int }

func (s *shortener) copied(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	switch v.Kind() {
	case reflect.String:
		out.SetString(clip(v.String(), s.text))
	case reflect.Pointer:
		if !v.IsNil() {
			out.Set(reflect.New(v.Type().Elem()))
			out.Elem().Set(s.copied(v.Elem()))
		}
	case reflect.Slice:
		n := min(v.Len(), s.entries)
		s.leftOut += v.Len() - n
		for i := range n {
			out = reflect.Append(out, s.copied(v.Index(i)))
		}
	case reflect.Map:
		s.entriesOf(v, out)
	case reflect.Struct:
		out.Set(v)
		if v.Type() != reflect.TypeFor[time.Time]() {
			for i := range v.NumField() {
				if out.Field(i).CanSet() {
					out.Field(i).Set(s.copied(v.Field(i)))
				}
			}
		}
	default:
		out.Set(v)
	}
	return out
}

// entriesOf copies those entries of a map whose keys are the least.
func (s *shortener) entriesOf(v, out reflect.Value) {
	if v.IsNil() {
		return
	}
	out.Set(reflect.MakeMap(v.Type()))
	keys := slices.SortedFunc(slices.Values(v.MapKeys()), func(a, b reflect.Value) int {
		if a.CanInt() {
			return cmp.Compare(a.Int(), b.Int())
		}
		return cmp.Compare(a.String(), b.String())
	})
	n := min(len(keys), s.entries)
	s.leftOut += len(keys) - n
	for _, key := range keys[:n] {
		out.SetMapIndex(key, s.copied(v.MapIndex(key)))
	}
}

// clip cuts a text to at most n bytes.
func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	const more = "…"
	end := n - len(more)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + more
}

// tail are the last of the list, as many as fit into that many bytes of JSON.
func tail[T any](list []T, room int) []T {
	first := len(list)
	for ; first > 0; first-- {
		if room -= size(list[first-1]) + len(","); room < 0 {
			break
		}
	}
	return list[first:]
}
