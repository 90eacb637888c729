package protocol

import (
	"errors"
	"math"
	"strings"
)

// readOwn reads one znode of our own tree, which is in the map that of gives. Of one that cannot be
// read any more, what was last known stays: its ids are not free. A piece's name is used once: it is
// watched from when its ids are fetched. Those of our own making, which are not, are asked for.
func readOwn[T any, P interface {
	*T
	own() *known
}](r *reading, znodes Znodes, pathOf func(kind, name string) string, name string, await bool,
	of func(*State) map[string]P, parse func(name string, got *Znode) (P, error),
) error {
	path, was, have := pathOf(r.kind, name), of(r.prev)[name], unknown
	if was != nil {
		have = *was.own()
	}
	stat, got, err := readZnode(znodes, path, await, have)
	switch {
	case err != nil:
		return err
	case stat == nil:
		return errDeleted
	case got == nil:
		if have.zxid != stat.Zxid {
			numbered := *was
			was = &numbered
			was.own().zxid = stat.Zxid
		}
		r.store(false, func(s *State) { of(s)[name] = was })
		return nil
	}
	next, err := parse(name, got)
	if err != nil {
		r.fault(path, err)
		next = was
	}
	if next != nil {
		r.store(next != was, func(s *State) { of(s)[name] = next })
	}
	return nil
}

func (r *reading) readPiece(znodes Znodes, name string) error {
	return readOwn(r, znodes, PiecePath, name, false, func(s *State) map[string]*Piece { return s.Pool }, parsePiece)
}

func (r *reading) readFlight(znodes Znodes, name string) error {
	return readOwn(r, znodes, FlightPath, name, false, func(s *State) map[string]*Flight { return s.Flight }, parseFlight)
}

func (r *reading) readDoc(znodes Znodes, name string) error {
	return readOwn(r, znodes, DocPath, name, true, func(s *State) map[string]*Doc { return s.Kept },
		func(_ string, got *Znode) (*Doc, error) { return &Doc{got.Data, got.known()}, nil })
}

func parsePiece(name string, got *Znode) (*Piece, error) {
	if _, _, ok := parsePair(name); !ok {
		return nil, errors.New("name: want <epoch>-<number>")
	}
	if err := got.tooLong(); err != nil {
		return nil, err
	}
	ids, err := DecodeIDs(got.Data)
	return &Piece{name, ids, got.known()}, err
}

func parseFlight(name string, got *Znode) (*Flight, error) {
	if err := got.tooLong(); err != nil {
		return nil, err
	}
	f, err := DecodeFlight(name, got.Data)
	if err == nil {
		f.known, f.Created = got.known(), got.Created
	}
	return f, err
}

func (r *reading) readPlan(znodes Znodes) error {
	path, prev := PlanPath(r.kind), r.prev
	stat, got, err := readZnode(znodes, path, true, prev.plan.known)
	if err != nil || stat == nil {
		return err
	}
	if got == nil {
		r.store(false, func(s *State) {
			s.Plan, s.plan = prev.Plan, prev.plan
			s.plan.zxid = stat.Zxid
			for _, fault := range prev.Faults {
				// an unreadable plan stays so until it is written anew
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
		s.Plan, s.plan = plan, planZnode{header, versions, got.known()}
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
		stat, got, err := readZnode(znodes, PlanPartPath(r.kind, int(k)), false, unknown)
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
