package protocol

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
)

// docName is what a kept document may be called.
var docName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)

// Part is a znode below a document's. A State holds none of them: the document says which there are
// and at which versions, so that only those who want a part read it.
type Part struct {
	Name string
	// Data is what it becomes; nil: it is deleted.
	Data []byte
	// Version is the one that it has; -1: it is made.
	Version int32
}

// partName is what a part may be called.
var partName = regexp.MustCompile(`^[0-9a-z][0-9a-z-]{0,62}$`)

// StoreDoc creates or replaces the document of that name, and with it some of its parts. It works
// also while the kind has stopped.
func StoreDoc(s *State, name string, data []byte, parts ...Part) (Multi, error) {
	return fenced(s, "keep", func(b *builder) error {
		if !docName.MatchString(name) || isProtocolName(name) {
			return fmt.Errorf("document %q: want a name like %s that the protocol does not use", name, docName)
		}
		if len(data) > MaxDocBytes {
			return fmt.Errorf("document %s: %d bytes, at most %d: %w", name, len(data), MaxDocBytes, ErrTooLarge)
		}
		data = slices.Clone(data)
		version := int32(-1)
		if doc := s.Kept[name]; doc != nil {
			version = doc.Version
		}
		b.put(DocPath(s.Kind, name), data, version, func(s *State, r Result) {
			s.Kept[name] = &Doc{data, r.known(data)}
		})
		for _, part := range parts {
			if err := b.putPart(name, part); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *builder) putPart(doc string, part Part) error {
	path := DocPartPath(b.s.Kind, doc, part.Name)
	switch {
	case !partName.MatchString(part.Name):
		return fmt.Errorf("part %q of %s: want a name like %s", part.Name, doc, partName)
	case len(part.Data) > MaxDocBytes:
		return fmt.Errorf("part %s of %s: %d bytes, at most %d: %w", part.Name, doc, len(part.Data), MaxDocBytes, ErrTooLarge)
	case part.Data == nil:
		b.add(OpDelete, path, nil, part.Version, nil)
	default:
		b.put(path, slices.Clone(part.Data), part.Version, nil)
	}
	return nil
}

// StorePlan persists a plan: commit the parts (they do not overlap), then the last
// Multi, which makes it the stored one. It carries the last part itself, so that a small plan is
// one write. The parts of the plan stored before stay untouched until then.
func StorePlan(s *State, id string, data []byte) (parts []Multi, last Multi, err error) {
	packed, sum, err := packPlan(data)
	if err != nil {
		return nil, Multi{}, fmt.Errorf("store-plan: %w", err)
	}
	h := planHeader{ID: id, Parts: len(packed), Sum: sum}
	if s.plan.header.ID != "" && s.plan.header.First == 0 {
		h.First = maxPlanParts
	}
	end := len(packed) - 1 // what is packed is never empty
	for i, part := range packed[:end] {
		m, err := transact(s, "plan-part", func(b *builder) error {
			b.putPlanPart(h.First+i, part)
			return nil
		})
		if err != nil {
			return nil, Multi{}, err
		}
		parts = append(parts, m)
	}
	last, err = transact(s, "store-plan", func(b *builder) error {
		b.putPlanPart(h.First+end, packed[end])
		b.putPlan(h, &StoredPlan{ID: id, Data: slices.Clone(data)})
		return nil
	})
	return parts, last, err
}

// ClearPlan says that no plan runs, and keeps a short note, JSON, for the next one (PlanNote); nil:
// none. The parts are overwritten by later plans.
func ClearPlan(s *State, note []byte) (Multi, error) {
	return transact(s, "clear-plan", func(b *builder) error {
		if len(note) > maxPlanNote || note != nil && !json.Valid(note) {
			return fmt.Errorf("note of %d bytes: want JSON of at most %d: %w", len(note), maxPlanNote, ErrTooLarge)
		}
		b.putPlan(planHeader{Note: note}, nil)
		return nil
	})
}

// PlanNote is what ClearPlan kept, until the next plan is stored; nil: nothing.
func (s *State) PlanNote() []byte { return s.plan.header.Note }

func (b *builder) putPlanPart(k int, part []byte) {
	version, exists := b.s.plan.parts[k]
	if !exists {
		version = -1
	}
	b.put(PlanPartPath(b.s.Kind, k), part, version, func(s *State, r Result) {
		s.plan.parts = maps.Clone(s.plan.parts)
		s.plan.parts[k] = r.Version
	})
}

func (b *builder) putPlan(h planHeader, plan *StoredPlan) {
	h.V = schema
	data := encode(h)
	b.put(PlanPath(b.s.Kind), data, b.s.plan.Version, func(s *State, r Result) {
		s.Plan, s.plan.header, s.plan.known = plan, h, r.known(data)
	})
}

// planHeader is the content of `plan`: the parts of the stored plan. An empty ID: none is stored.
type planHeader struct {
	V     int    `json:"v"`
	ID    string `json:"id"`
	First int    `json:"first"` // number of the first part
	Parts int    `json:"parts"`
	Sum   string `json:"sum"` // SHA-256 of the parts, hexadecimal
	// Note is what ClearPlan keeps, with an empty ID.
	Note json.RawMessage `json:"note,omitempty"`
}

// decodePlanHeader reads `plan`; empty data is no plan.
func decodePlanHeader(data []byte) (planHeader, error) {
	if len(data) == 0 {
		return planHeader{}, nil
	}
	h, err := decode[planHeader](data, "plan")
	if err != nil {
		return planHeader{}, err
	}
	if h.First < 0 || h.Parts < 0 || h.Parts > maxPlanParts || h.First > maxPlanParts {
		return planHeader{}, fmt.Errorf("first, parts: %d, %d: want 0 to %d", h.First, h.Parts, maxPlanParts)
	}
	return h, nil
}

const (
	planPartBytes = 1 << 18 // a part of a plan
	maxPlanParts  = MaxPlanBytes / planPartBytes
	maxPlanNote   = 1 << 14 // what stays behind when a plan has ended
)

// packPlan puts a plan into the form of gzip and cuts it. It is not compressed: ids have little that
// repeats, and moves wait for it.
func packPlan(data []byte) (parts [][]byte, sum string, err error) {
	var buf bytes.Buffer
	zip, _ := gzip.NewWriterLevel(&buf, gzip.NoCompression)
	_, _ = zip.Write(data) // a Buffer takes everything
	_ = zip.Close()
	packed := buf.Bytes()
	if len(packed) > MaxPlanBytes {
		return nil, "", fmt.Errorf("plan: %d bytes in its parts, at most %d: %w", len(packed), MaxPlanBytes, ErrTooLarge)
	}
	if len(data) > maxPlanText {
		return nil, "", fmt.Errorf("plan: %d bytes, at most %d: %w", len(data), maxPlanText, ErrTooLarge)
	}
	return slices.Collect(slices.Chunk(packed, planPartBytes)), sumOf(packed), nil
}

func sumOf(packed []byte) string { return fmt.Sprintf("%x", sha256.Sum256(packed)) }

// unpackPlan is the reverse of packPlan, over the parts put together.
func unpackPlan(packed []byte, sum string) ([]byte, error) {
	if got := sumOf(packed); got != sum {
		return nil, fmt.Errorf("sum: parts have %s, want %s", got, sum)
	}
	zip, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("unpack plan: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(zip, maxPlanText+1))
	if err != nil {
		return nil, fmt.Errorf("unpack plan: %w", err)
	}
	if len(data) > maxPlanText {
		return nil, fmt.Errorf("unpack plan: more than %d bytes", maxPlanText)
	}
	return data, nil
}
