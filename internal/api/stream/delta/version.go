// Package delta is what changes of the kinds from one moment to the next: what a stream sends.
//
// In: documents of internal/ops, moment after moment. Out: updates, and on the other side the
// documents again (Mirror). Invariant: pure; a Mirror that has applied a full update and each one
// after it holds what the server saw, and equal documents have one id on every replica.
package delta

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/ops"
)

// Seen is a kind as a replica sees it at one moment.
type Seen struct {
	Kind ops.Kind
	// Instances ascend by ordinal.
	Instances []ops.Instance
	// Newest is the id of the newest entry of its history; "": none is known.
	Newest string
}

// Version is a kind's documents without what changes by time alone. Nothing changes it, and
// versions share the texts that they have in common.
type Version struct {
	name      string
	id        string
	kind      *text
	instances []item
	// added counts the bytes that the version before did not have.
	added int
}

// Name is the kind's name.
func (v *Version) Name() string { return v.name }

// ID is a hash of the documents, and the same wherever they are the same.
func (v *Version) ID() string { return v.id }

type item struct {
	ordinal int
	*text
}

type text struct {
	json []byte
	sum  [sha256.Size]byte
}

// Next is the version after prev, which may be nil. It is prev itself where nothing changed.
func Next(prev *Version, seen *Seen) (*Version, error) {
	next := &Version{name: seen.Kind.Name, instances: make([]item, 0, len(seen.Instances))}
	old := &Version{}
	if prev != nil {
		old = prev
	}
	var err error
	if next.kind, err = next.text(old.kind, timeless(seen.Kind)); err != nil {
		return nil, fmt.Errorf("encode kind %s: %w", next.name, err)
	}
	rest := old.instances
	for i := range seen.Instances {
		in := &seen.Instances[i]
		for len(rest) > 0 && rest[0].ordinal < in.Ordinal {
			rest = rest[1:]
		}
		var same *text
		if len(rest) > 0 && rest[0].ordinal == in.Ordinal {
			same = rest[0].text
		}
		t, err := next.text(same, in.Undated())
		if err != nil {
			return nil, fmt.Errorf("encode instance %d of %s: %w", in.Ordinal, next.name, err)
		}
		next.instances = append(next.instances, item{in.Ordinal, t})
	}
	if next.id = next.hash(); prev != nil && next.id == prev.id {
		return prev, nil
	}
	return next, nil
}

// text is the encoded document: before, if that is the same.
func (v *Version) text(before *text, document any) (*text, error) {
	b, err := encode(document)
	if err != nil {
		return nil, err
	}
	if before != nil && bytes.Equal(before.json, b) {
		return before, nil
	}
	v.added += len(b)
	return &text{json: b, sum: sha256.Sum256(b)}, nil
}

// encode writes a document without members that are null: a merge patch could not tell them from
// absent ones.
func encode(document any) ([]byte, error) {
	b, err := exact.Marshal(document)
	if err != nil || !bytes.Contains(b, []byte(":null")) {
		return b, err
	}
	var tree map[string]any
	if err := exact.JSON(b, &tree); err != nil {
		return nil, err
	}
	return exact.Marshal(withoutNulls(tree))
}

func withoutNulls(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for name, member := range value {
			if member == nil {
				delete(value, name)
			} else {
				value[name] = withoutNulls(member)
			}
		}
	case []any:
		for i := range value {
			value[i] = withoutNulls(value[i])
		}
	}
	return value
}

// hash sums up name, kind and instances. 128 bits of it are enough: no caller chooses documents.
func (v *Version) hash() string {
	sum := sha256.New()
	sum.Write(fmt.Appendf(nil, "%d %s", len(v.name), v.name))
	sum.Write(v.kind.sum[:])
	var ordinal [8]byte
	for i := range v.instances {
		binary.BigEndian.PutUint64(ordinal[:], uint64(v.instances[i].ordinal))
		sum.Write(ordinal[:])
		sum.Write(v.instances[i].sum[:])
	}
	return base64.RawURLEncoding.EncodeToString(sum.Sum(nil)[:16])
}

// Change leads from one version to another: an element of an Update's kinds, as JSON. From nil it
// is the whole of to; it is nil where both are the same.
func Change(from, to *Version) ([]byte, error) {
	if from == nil {
		return to.whole(), nil
	}
	if from.id == to.id {
		return nil, nil
	}
	part := Part{Name: to.name}
	var err error
	if from.kind != to.kind {
		if part.Kind, err = patch(from.kind.json, to.kind.json, nil); err != nil {
			return nil, err
		}
	}
	rest := from.instances
	for _, in := range to.instances {
		for len(rest) > 0 && rest[0].ordinal < in.ordinal {
			part.Removed, rest = append(part.Removed, rest[0].ordinal), rest[1:]
		}
		changed := in.json
		if len(rest) > 0 && rest[0].ordinal == in.ordinal {
			if changed, err = patch(rest[0].json, in.json, &in.ordinal); err != nil {
				return nil, err
			}
			rest = rest[1:]
		}
		if changed != nil {
			part.Instances = append(part.Instances, changed)
		}
	}
	for _, gone := range rest {
		part.Removed = append(part.Removed, gone.ordinal)
	}
	return exact.Marshal(part)
}

// whole is the version as a Part.
func (v *Version) whole() []byte {
	name, _ := exact.Marshal(v.name) // text
	size := len(name) + len(v.kind.json) + 64
	for _, in := range v.instances {
		size += len(in.json) + 1
	}
	b := append(make([]byte, 0, size), `{"name":`...)
	b = append(append(append(b, name...), `,"kind":`...), v.kind.json...)
	if len(v.instances) > 0 {
		b = append(b, `,"instances":[`...)
		for i, in := range v.instances {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, in.json...)
		}
		b = append(b, ']')
	}
	return append(b, '}')
}

// Part is what changes of one kind. Kind and Instances are merge patches (RFC 7396) of the
// documents: a member is replaced, null removes it, and what is not named stays.
type Part struct {
	Name string `json:"name" doc:"the kind"`
	// Kind patches its document; absent: it stays.
	Kind json.RawMessage `json:"kind,omitempty"`
	// Instances patch those of their ordinal; one that was not there begins empty.
	Instances []json.RawMessage `json:"instances,omitempty"`
	Removed   []int             `json:"removed,omitempty" doc:"ordinals of instances that are no more"`
}
