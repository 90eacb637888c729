package delta

import (
	"cmp"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/internal/api/packed"
)

// Frame is what all kinds were at one moment. Nothing changes it.
type Frame struct {
	At    time.Time
	Kinds []Shot // in the order of the configuration
}

// Shot is one kind of a Frame.
type Shot struct {
	*Version
	Dated Dated
	// Newest is the id of the newest entry of its history; "": none is known.
	Newest string
}

// NextFrame is the frame after prev, which may be nil. Kinds that did not change share their
// version with prev.
func NextFrame(prev *Frame, at time.Time, seen []Seen) (*Frame, error) {
	f := &Frame{At: at}
	for i := range seen {
		var before *Version
		if prev != nil {
			if shot := prev.Find(seen[i].Kind.Name); shot != nil {
				before = shot.Version
			}
		}
		v, err := Next(before, &seen[i])
		if err != nil {
			return nil, err
		}
		f.Kinds = append(f.Kinds, Shot{v, DatedOf(&seen[i].Kind), seen[i].Newest})
	}
	return f, nil
}

// Find is the frame's kind of that name, or nil.
func (f *Frame) Find(name string) *Shot {
	for i := range f.Kinds {
		if f.Kinds[i].name == name {
			return &f.Kinds[i]
		}
	}
	return nil
}

// Ring keeps the last versions of a kind, so that a client that comes back gets what changed since.
type Ring struct {
	versions []*Version // the newest last
	bytes    int
}

// Bounds of a Ring.
const (
	maxVersions = 120     // two minutes in which something changes each second
	maxBytes    = 4 << 20 // of texts that a version does not share with the one before
)

// Add keeps a version, and forgets the oldest where there are too many.
func (r *Ring) Add(v *Version) {
	if n := len(r.versions); n > 0 && r.versions[n-1] == v {
		return
	}
	r.versions, r.bytes = append(r.versions, v), r.bytes+v.added
	forget := 0
	for len(r.versions)-forget > maxVersions || r.bytes > maxBytes && len(r.versions)-forget > 1 {
		r.bytes -= r.versions[forget].added
		forget++
	}
	r.versions = slices.Delete(r.versions, 0, forget)
}

// Find is the version of that id, or nil.
func (r *Ring) Find(id string) *Version {
	for i := len(r.versions) - 1; i >= 0; i-- {
		if r.versions[i].id == id {
			return r.versions[i]
		}
	}
	return nil
}

// Position is how far a client is: what it has of each kind that it sees.
type Position []Place

// Place is a kind's version, and the id of the newest history entry that was sent.
type Place struct {
	*Version
	Entry string
}

// Find is the place of a kind; nil: the client has nothing of it.
func (p Position) Find(kind string) *Place {
	for i := range p {
		if p[i].Version.name == kind {
			return &p[i]
		}
	}
	return nil
}

// Advance is the position after a client got what changed up to shots, and the changes. History
// entries are not among them: their places stay. change is Change, or a store of what it returned;
// its text is nil where nothing changed.
func (p Position) Advance(shots []*Shot, change func(before *Version, shot *Shot) (packed.Part, error)) (next Position, changes []packed.Part, err error) {
	next = Position{}
	for _, shot := range shots {
		place, before := Place{Version: shot.Version, Entry: shot.Newest}, (*Version)(nil)
		if had := p.Find(shot.name); had != nil {
			before, place.Entry = had.Version, had.Entry
		}
		part, err := change(before, shot)
		if err != nil {
			return nil, nil, err
		}
		if part.Plain != nil {
			changes = append(changes, part)
		}
		next = append(next, place)
	}
	return next, changes, nil
}

// SameKinds says that two positions are of the same kinds, in the same order.
func (p Position) SameKinds(as Position) bool {
	return slices.EqualFunc(p, as, func(a, b Place) bool { return a.name == b.name })
}

// ID is the position as an event's id: for each kind its version and, after ~, the history entry
// in base64; joined by dots. Clients may compare it and send it back, and read nothing out of it.
func (p Position) ID() string {
	var b strings.Builder
	for i, place := range p {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(place.id)
		if place.Entry != "" {
			b.WriteByte('~')
			b.WriteString(base64.RawURLEncoding.EncodeToString([]byte(place.Entry)))
		}
	}
	return cmp.Or(b.String(), "-")
}

// maxID bounds the ids that are looked up: some hundred kinds.
const maxID = 16 << 10

// Located is the position that an id names among the versions that are kept of these kinds. It is
// false if one of them is not known: then the client has to get everything.
func Located(id string, kinds []string, kept func(kind, version string) *Version) (Position, bool) {
	parts := strings.Split(id, ".")
	if len(id) > maxID || len(parts) != len(kinds) {
		return nil, false
	}
	var p Position
	for i, kind := range kinds {
		version, entry, _ := strings.Cut(parts[i], "~")
		text, err := base64.RawURLEncoding.DecodeString(entry)
		v := kept(kind, version)
		if err != nil || v == nil {
			return nil, false
		}
		p = append(p, Place{v, string(text)})
	}
	return p, true
}

// Same says that two frames show the same, but for what changes by time alone.
func (f *Frame) Same(as *Frame) bool {
	return slices.EqualFunc(f.Kinds, as.Kinds, func(a, b Shot) bool { return a.Version == b.Version && a.Newest == b.Newest })
}
