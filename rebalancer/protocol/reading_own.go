package protocol

import (
	"errors"
	"math"
	"strings"
)

// own is a part of a State that is one znode of our own tree.
type own[T any] interface {
	*T
	// known is what the State holds of the znode, number its transaction's number.
	known() known
	number() *int64
}

// readOwn reads one znode of our own tree. Of one that cannot be read any more, what was last known
// stays: its ids are not free.
func readOwn[T any, P own[T]](r *reading, znodes Znodes, path string, was P,
	parse func(*Znode) (P, error), put func(*State, P),
) error {
	held := unknown
	if was != nil {
		held = was.known()
	}
	stat, got, err := look(znodes, path, false, held)
	switch {
	case err != nil:
		return err
	case stat == nil:
		return errVanished
	case got == nil:
		if held.zxid != stat.Zxid {
			numbered := *was
			was = &numbered
			*was.number() = stat.Zxid
		}
		r.store(false, func(s *State) { put(s, was) })
		return nil
	}
	next, err := parse(got)
	if err != nil {
		r.fault(path, err)
		next = was
	}
	if next != nil {
		r.store(next != was, func(s *State) { put(s, next) })
	}
	return nil
}

func (r *reading) readPiece(znodes Znodes, name string) error {
	return readOwn(r, znodes, PiecePath(r.kind, name), r.prev.Pool[name],
		func(got *Znode) (*Piece, error) { return parsePiece(name, got) },
		func(s *State, p *Piece) { s.Pool[name] = p })
}

func (r *reading) readFlight(znodes Znodes, name string) error {
	return readOwn(r, znodes, FlightPath(r.kind, name), r.prev.Flight[name],
		func(got *Znode) (*Flight, error) { return parseFlight(name, got) },
		func(s *State, f *Flight) { s.Flight[name] = f })
}

func (r *reading) readDoc(znodes Znodes, name string) error {
	return readOwn(r, znodes, DocPath(r.kind, name), r.prev.Kept[name], parseDoc,
		func(s *State, d *Doc) { s.Kept[name] = d })
}

func (p *Piece) known() known   { return known{p.zxid, p.Version, p.bytes} }
func (p *Piece) number() *int64 { return &p.zxid }

func parsePiece(name string, got *Znode) (*Piece, error) {
	if _, _, ok := parsePair(name); !ok {
		return nil, errors.New("name: want <epoch>-<number>")
	}
	if err := got.tooLong(); err != nil {
		return nil, err
	}
	ids, err := DecodeIDs(got.Data)
	if err != nil {
		return nil, err
	}
	return &Piece{Name: name, IDs: ids, Version: got.Version, bytes: len(got.Data), zxid: got.Zxid}, nil
}

func (f *Flight) known() known   { return known{f.zxid, f.Version, f.bytes} }
func (f *Flight) number() *int64 { return &f.zxid }

func parseFlight(name string, got *Znode) (*Flight, error) {
	if err := got.tooLong(); err != nil {
		return nil, err
	}
	f, err := DecodeFlight(name, got.Data)
	if err != nil {
		return nil, err
	}
	f.Version, f.bytes, f.zxid, f.Created = got.Version, len(got.Data), got.Zxid, got.Created
	return f, nil
}

func (d *Doc) known() known   { return known{d.zxid, d.Version, len(d.Data)} }
func (d *Doc) number() *int64 { return &d.zxid }

func parseDoc(got *Znode) (*Doc, error) {
	return &Doc{Data: got.Data, Version: got.Version, zxid: got.Zxid}, nil
}

func (r *reading) readPlan(znodes Znodes) error {
	path, prev := PlanPath(r.kind), r.prev
	stat, got, err := look(znodes, path, false, known{prev.plan.zxid, prev.plan.version, -1})
	if err != nil || stat == nil {
		return err
	}
	if got == nil {
		r.store(false, func(s *State) {
			s.Plan, s.plan = prev.Plan, prev.plan
			s.plan.zxid = stat.Zxid
			for _, fault := range prev.Faults { // an unreadable plan stays so until it is written anew
				if strings.HasPrefix(fault, path+":") {
					s.Faults = append(s.Faults, fault)
				}
			}
		})
		return nil
	}
	parts, versions, err := r.readParts(znodes)
	if err != nil {
		return err
	}
	header, plan, err := parsePlan(got, parts)
	if err != nil {
		r.fault(path, err)
	}
	r.store(true, func(s *State) {
		s.Plan, s.plan = plan, planZnode{header, got.Version, versions, got.Zxid}
	})
	return nil
}

// readParts reads every `plan/<k>`, also of plans no longer stored, to overwrite them by version.
func (r *reading) readParts(znodes Znodes) (parts map[int][]byte, versions map[int]int32, err error) {
	names, _, err := znodes.Children(PlanPath(r.kind), true)
	if err != nil {
		return nil, nil, err
	}
	parts, versions = map[int][]byte{}, map[int]int32{}
	for _, name := range names {
		k, ok := parseNumber(name, math.MaxInt32)
		if !ok {
			continue
		}
		stat, got, err := look(znodes, PlanPartPath(r.kind, int(k)), false, unknown)
		if err != nil {
			return nil, nil, err
		}
		if stat != nil {
			parts[int(k)], versions[int(k)] = got.Data, got.Version
		}
	}
	return parts, versions, nil
}

func parsePlan(got *Znode, parts map[int][]byte) (planHeader, *StoredPlan, error) {
	h, err := decodePlanHeader(got.Data)
	if err != nil || h.ID == "" {
		return h, nil, err
	}
	var packed []byte
	for k := range h.Parts {
		packed = append(packed, parts[h.First+k]...)
	}
	data, err := unpackPlan(packed, h.Sum)
	if err != nil {
		return h, nil, err
	}
	return h, &StoredPlan{ID: h.ID, Data: data}, nil
}
