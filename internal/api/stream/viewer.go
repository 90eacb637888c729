package stream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/internal/api/packed"
	"github.com/shardscaler/shardscaler/internal/api/stream/delta"
	"github.com/shardscaler/shardscaler/internal/exact"
)

// viewer is one stream.
type viewer struct {
	hub  *Hub
	ctx  context.Context // of the request
	only string          // the one kind that is asked for; "": all
	may  map[string]bool // what hub.cfg.May has said since the last Recheck
	out  *output
	// has is what was sent; nil: nothing yet. ahead is the frame that it was of, shown the one whose
	// times were sent.
	has          delta.Position
	ahead, shown *frame
	begun        bool // at least an empty change was sent
}

// sees are the kinds of a frame that are sent.
func (v *viewer) sees(f *frame) (shots []*delta.Shot) {
	if v.may == nil {
		v.may = map[string]bool{}
	}
	for i := range f.Kinds {
		name := f.Kinds[i].Name()
		if v.only != "" && name != v.only {
			continue
		}
		may, asked := v.may[name]
		if !asked {
			may = v.hub.cfg.May(v.ctx, name)
			v.may[name] = may
		}
		if may {
			shots = append(shots, &f.Kinds[i])
		}
	}
	return shots
}

// refused is the status and the reason for which no stream begins; 0: one may.
func (v *viewer) refused(f *frame) (status int, why string) {
	if v.only != "" && f.Find(v.only) == nil {
		var names []string
		for _, shot := range f.Kinds {
			names = append(names, shot.Name())
		}
		return http.StatusNotFound, "kind " + strconv.Quote(v.only) + " is not configured; there are " + strings.Join(names, ", ")
	}
	if len(f.Kinds) > 0 && len(v.sees(f)) == 0 {
		return http.StatusForbidden, "you may see none of the kinds asked for"
	}
	return 0, ""
}

// located is what a client has that comes back with an event's id; nil: not known, or too much
// history has come since.
func (v *viewer) located(f *frame, id string) delta.Position {
	shots := v.sees(f)
	names := make([]string, len(shots))
	for i, shot := range shots {
		names[i] = shot.Name()
	}
	has, ok := delta.Located(id, names, v.hub.kept)
	if !ok {
		return nil
	}
	for i, place := range has {
		if place.Entry < shots[i].Newest {
			if _, err := f.entries(place.Name(), place.Entry); err != nil {
				return nil
			}
		}
	}
	return has
}

// begin sends the header.
func (v *viewer) begin(header http.Header) error {
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store, no-transform")
	header.Set("X-Accel-Buffering", "no") // else nginx keeps events back
	// A client that lost its connection waits as long: not all at once.
	return v.out.begin(fmt.Sprintf("retry: %d\n\n", 1000+rand.IntN(2000)))
}

// run sends until the client is gone or slow (an error), or the server ends the stream (nil).
func (v *viewer) run(has delta.Position) error {
	v.has = has
	silence := time.NewTimer(quiet)
	defer silence.Stop()
	again := time.NewTimer(nextRecheck())
	defer again.Stop()
	checked := make(chan error, 1)
	for {
		f, changed := v.hub.current()
		wrote, err := v.send(f)
		if err != nil {
			return err
		}
		if wrote {
			silence.Reset(quiet)
		}
		select {
		case <-changed:
		case <-silence.C:
			if err := v.beat(); err != nil {
				return err
			}
			silence.Reset(quiet)
		case <-again.C:
			go v.recheck(checked)
		case err := <-checked:
			if errors.Is(err, ErrUnsure) || errors.Is(err, context.DeadlineExceeded) {
				return v.bye(delta.ReasonShutdown, err.Error())
			}
			if err != nil {
				return v.bye(delta.ReasonRefused, err.Error())
			}
			v.may, v.ahead = nil, nil // what may be seen is looked at again, too
			again.Reset(nextRecheck())
		case <-v.hub.done:
			return v.bye(delta.ReasonShutdown, "this replica ends")
		case <-v.ctx.Done():
			return v.ctx.Err()
		}
	}
}

func nextRecheck() time.Duration { return recheckEvery - rand.N(recheckEvery/6) }

func (v *viewer) recheck(checked chan<- error) {
	ctx, cancel := context.WithTimeout(v.ctx, recheckTimeout)
	defer cancel()
	checked <- v.hub.cfg.Recheck(ctx)
}

// send brings the client from what it has to a frame. It writes nothing where that is the same.
func (v *viewer) send(f *frame) (wrote bool, err error) {
	if f == nil || f == v.ahead {
		return false, nil
	}
	shots := v.sees(f)
	next, parts, err := v.has.Advance(shots, f.change)
	if err != nil {
		return false, err
	}
	if !v.begun || len(parts) > 0 || !next.SameKinds(v.has) {
		wrote, err = true, v.update(f, v.has == nil, next, shots, parts)
	}
	v.has, v.ahead, v.begun = next, f, true
	for i := range next {
		if err == nil && next[i].Entry < shots[i].Newest {
			wrote, err = true, v.news(f, i, shots[i])
		}
	}
	return wrote, err
}

// update writes a state or change event.
func (v *viewer) update(f *frame, full bool, at delta.Position, shots []*delta.Shot, parts []packed.Part) error {
	v.shown = f
	data, err := delta.Envelope(full, f.At, shots, parts)
	if err != nil {
		return err
	}
	name := delta.EventChange
	if full {
		name = delta.EventState
	}
	return v.out.write(slices.Concat([]packed.Part{head(name, at.ID())}, data, []packed.Part{end})...)
}

// news writes a history event for the i-th kind that the client has.
func (v *viewer) news(f *frame, i int, shot *delta.Shot) error {
	data, err := f.entries(shot.Name(), v.has[i].Entry)
	v.has[i].Entry = shot.Newest
	if err != nil || data.Plain == nil {
		return err
	}
	return v.out.write(head(delta.EventHistory, v.has.ID()), data, end)
}

// beat breaks a silence, by a comment and by what changes by time alone.
func (v *viewer) beat() error {
	f, _ := v.hub.current()
	if wrote, err := v.send(f); wrote || err != nil {
		return err
	}
	if err := v.out.write(packed.Own([]byte(": nothing has changed\n\n"))); err != nil || f == v.shown {
		return err
	}
	return v.update(f, false, v.has, v.sees(f), nil)
}

// bye ends the stream.
func (v *viewer) bye(reason, text string) error {
	data, err := exact.Marshal(delta.Bye{Reason: reason, Text: text})
	if err != nil {
		return err
	}
	return v.out.end(packed.Own(fmt.Appendf(nil, "event: %s\ndata: %s\n\n", delta.EventBye, data)))
}

var end = packed.Own([]byte("\n\n"))

func head(event, id string) packed.Part {
	return packed.Own(fmt.Appendf(nil, "id: %s\nevent: %s\ndata: ", id, event))
}
