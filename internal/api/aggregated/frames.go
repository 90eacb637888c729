package aggregated

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/watch"

	"github.com/shardscaler/shardscaler/internal/api/stream/delta"
	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/ops"
)

// frames turns a stream of Server-Sent Events into the frames of a Kubernetes watch: one for each
// kind that is selected, and then one for each change of its document. A change of instances or of
// the history alone is none.
type frames struct {
	namespace string
	selected  selection
	table     bool
	since     string // the version of the list that the client has; "": of none

	rest   []byte // the part of an event that has come
	mirror delta.Mirror
	shown  map[string]json.RawMessage // by kind, without what changes by time alone
	last   map[string]json.RawMessage // by kind, as it was sent
}

// take returns the frames of the events that are complete now.
func (f *frames) take(text []byte) ([]byte, error) {
	f.rest = append(f.rest, text...)
	var out []byte
	for {
		event, rest, complete := bytes.Cut(f.rest, []byte("\n\n"))
		if !complete {
			f.rest = slices.Clone(f.rest) // not the whole of what was there before it
			return out, nil
		}
		f.rest = rest
		more, err := f.event(event)
		if err != nil {
			return out, err
		}
		out = append(out, more...)
	}
}

// event is the frames of one event.
func (f *frames) event(text []byte) ([]byte, error) {
	name, data := "", []byte(nil)
	for _, line := range bytes.Split(text, []byte("\n")) {
		if value, ok := bytes.CutPrefix(line, []byte("event: ")); ok {
			name = string(value)
		} else if value, ok := bytes.CutPrefix(line, []byte("data: ")); ok {
			data = value
		}
	}
	switch name {
	case delta.EventState, delta.EventChange:
		if err := f.mirror.Apply(data); err != nil {
			return nil, err
		}
		return f.changed()
	case delta.EventBye:
		return farewell(data)
	}
	return nil, nil
}

// farewell is the frame by which a stream ends that the caller may see no longer. One that ends for
// another reason just ends: clients watch again.
func farewell(data []byte) ([]byte, error) {
	var bye delta.Bye
	if err := exact.JSON(data, &bye); err != nil || bye.Reason != delta.ReasonRefused {
		return nil, err
	}
	return frame(watch.Error, statusOf(http.StatusForbidden, bye.Text))
}

// changed are the frames of what differs from what was sent.
func (f *frames) changed() ([]byte, error) {
	seen, err := f.mirror.Seen(f.mirror.At())
	if err != nil {
		return nil, err
	}
	first := f.shown == nil
	if first {
		f.shown, f.last = map[string]json.RawMessage{}, map[string]json.RawMessage{}
	}
	var out []byte
	there, all := map[string]bool{}, newVersion()
	for _, s := range seen {
		if !f.selected.has(s.Kind.Name, f.namespace) {
			continue
		}
		there[s.Kind.Name] = true
		more, err := f.kind(s.Kind, all)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	if first && all.String() == f.since {
		return nil, nil // the client has it
	}
	for name, document := range f.last {
		if there[name] {
			continue
		}
		more, err := f.frame(watch.Deleted, document)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
		delete(f.last, name)
		delete(f.shown, name)
	}
	return out, nil
}

// kind is the frame of a kind, if it is not as it was.
func (f *frames) kind(k ops.Kind, all version) ([]byte, error) {
	text, err := all.add(k)
	if err != nil {
		return nil, err
	}
	before, known := f.shown[k.Name]
	if known && bytes.Equal(before, text) {
		return nil, nil
	}
	document, err := exact.Marshal(k)
	if err != nil {
		return nil, err
	}
	f.shown[k.Name], f.last[k.Name] = text, document
	if !known {
		return f.frame(watch.Added, document)
	}
	return f.frame(watch.Modified, document)
}

func (f *frames) frame(what watch.EventType, document json.RawMessage) ([]byte, error) {
	object, err := convert(document, f.namespace, selection{}, f.table)
	if err != nil {
		return nil, err
	}
	return frame(what, json.RawMessage(object))
}

func frame(what watch.EventType, object any) ([]byte, error) {
	text, err := json.Marshal(struct {
		Type   watch.EventType `json:"type"`
		Object any             `json:"object"`
	}{what, object})
	return append(text, '\n'), err
}

// watchFor is how long a client wants to watch; 0: it does not say.
func watchFor(query url.Values) (time.Duration, error) {
	text := query.Get("timeoutSeconds")
	if text == "" {
		return 0, nil
	}
	seconds, err := strconv.ParseInt(text, 10, 32)
	if err != nil || seconds < 0 {
		return 0, fmt.Errorf("timeoutSeconds: %.40q: want a whole number of seconds", text)
	}
	return time.Duration(seconds) * time.Second, nil
}

// wantsFrames says whether a request for a stream wants the frames of Kubernetes: it accepts JSON,
// and does not name the events that the stream has of itself.
func wantsFrames(r *http.Request) bool {
	named := func(wanted string) bool {
		return accepts(r, func(media string, _ map[string]string) bool { return media == wanted })
	}
	return named("application/json") && !named("text/event-stream")
}
