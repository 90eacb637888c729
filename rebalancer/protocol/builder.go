package protocol

import (
	"fmt"
	"slices"
)

// builder collects a step's operations, each with its effect on the State.
type builder struct {
	s       *State
	m       Multi
	effects []func(*State, []Result)
	// lists and sources count the instances and pieces touched.
	lists, sources int
}

// transact makes a step: the check of the head, and what build adds. A stopped kind takes none.
func transact(s *State, name string, build func(*builder) error) (Multi, error) {
	if fault := s.Fault(); fault != "" {
		return Multi{}, fmt.Errorf("%s: %w: %s", name, ErrStopped, fault)
	}
	return fenced(s, name, build)
}

// fenced is transact for what a fault does not stop.
func fenced(s *State, name string, build func(*builder) error) (Multi, error) {
	if s.HeadVersion < 0 {
		return Multi{}, fmt.Errorf("%s: there is no head: lead first", name)
	}
	b := &builder{s: s, m: Multi{Step: name}}
	b.add(OpCheck, HeadPath(s.Kind), nil, s.HeadVersion, nil)
	if err := build(b); err != nil {
		return Multi{}, fmt.Errorf("%s: %w", name, err)
	}
	return b.done()
}

// add appends an operation; effect gets its result.
func (b *builder) add(kind OpKind, path string, data []byte, version int32, effect func(*State, Result)) {
	i := len(b.m.Ops)
	b.m.Ops = append(b.m.Ops, Op{Kind: kind, Path: path, Data: data, Version: version})
	if effect != nil {
		b.effects = append(b.effects, func(s *State, r []Result) { effect(s, r[i]) })
	}
}

// put creates the znode when its version is -1 and sets it otherwise.
func (b *builder) put(path string, data []byte, version int32, effect func(*State, Result)) {
	if version < 0 {
		b.add(OpCreate, path, data, 0, effect)
		return
	}
	b.add(OpSet, path, data, version, effect)
}

func (b *builder) remove(path string, version int32, effect func(*State)) {
	b.add(OpDelete, path, nil, version, func(s *State, _ Result) {
		if effect != nil {
			effect(s)
		}
	})
}

// done returns the transaction if it is small enough.
func (b *builder) done() (Multi, error) {
	size := b.m.Bytes()
	if size > MaxRequestBytes {
		return Multi{}, fmt.Errorf("%s: transaction of %d bytes, at most %d: %w", b.m.Step, size, MaxRequestBytes, ErrTooLarge)
	}
	if size > MaxMultiBytes && (b.lists > 1 || b.sources > 1) {
		return Multi{}, fmt.Errorf("%s: transaction of %d bytes over %d lists and %d pieces, at most %d: %w",
			b.m.Step, size, b.lists, b.sources, MaxMultiBytes, ErrTooLarge)
	}
	effects := b.effects
	b.m.apply = func(s *State, r []Result) {
		for _, effect := range effects {
			effect(s, r)
		}
	}
	return b.m, nil
}

// update replaces one instance by a changed copy.
func (s *State) update(n int, change func(*Instance)) {
	in := *s.Instances[n]
	change(&in)
	s.Instances[n] = &in
}

// changeable returns an instance whose list can be changed.
func (s *State) changeable(n int) (*Instance, error) {
	in := s.Instances[n]
	switch {
	case in == nil:
		return nil, fmt.Errorf("ordinal %d: has no znodes", n)
	case in.Times < 0 || in.Capacity < 0:
		return nil, fmt.Errorf("ordinal %d: its data or _reload cannot be read: repair it first", n)
	case s.NextTimes(n) > maxTimes:
		return nil, fmt.Errorf("ordinal %d: _reload.times is %d, at most %d", n, s.NextTimes(n)-1, int64(maxTimes))
	}
	return in, nil
}

// setList writes a list with `used` and a higher `_reload`. It returns the list's bytes.
func (b *builder) setList(in *Instance, ids []string) (bytes int) {
	b.lists++
	n, times := in.Ordinal, b.s.NextTimes(in.Ordinal)
	data, packed := in.IDs.become(ids)
	kind := b.s.Kind
	b.add(OpSet, InstancePath(kind, n), encodeData(len(ids), in.Capacity), in.DataVersion, func(s *State, r Result) {
		s.update(n, func(in *Instance) { in.Used, in.DataVersion, in.dataZxid = len(ids), r.Version, r.Zxid })
	})
	b.add(OpSet, ResourcesPath(kind, n), data, in.ListVersion, func(s *State, r Result) {
		s.update(n, func(in *Instance) {
			in.IDs, in.Bytes, in.Changed, in.ListVersion, in.listZxid = packed, len(data), r.Mtime, r.Version, r.Zxid
		})
	})
	b.add(OpSet, ReloadPath(kind, n), encodeReload(times), in.ReloadVersion, func(s *State, r Result) {
		s.update(n, func(in *Instance) {
			in.Times, in.highest, in.ReloadVersion, in.reloadZxid = times, times, r.Version, r.Zxid
		})
	})
	return len(data)
}

// grow adds ids to the list of an ordinal that may receive them.
func (b *builder) grow(n int, ids []string) error {
	in, err := b.s.changeable(n)
	if err != nil {
		return err
	}
	if !b.s.IsOpen(n) {
		return fmt.Errorf("ordinal %d: is closed", n)
	}
	if in.IDs.Len()+len(ids) > in.Capacity {
		return fmt.Errorf("ordinal %d: %d resources and %d more, capacity %d", n, in.IDs.Len(), len(ids), in.Capacity)
	}
	if size := b.setList(in, slices.Concat(in.IDs.Strings(), ids)); size > MaxListBytes {
		return fmt.Errorf("ordinal %d: list of %d bytes, at most %d: %w", n, size, MaxListBytes, ErrTooLarge)
	}
	return nil
}

func (b *builder) newPiece(k int64, ids []string) error {
	name := PieceName(b.s.Head.Epoch, k)
	data, packed := encodeIDs(ids)
	switch {
	case k < 0 || k > maxTimes:
		return fmt.Errorf("piece number %d: want 0 to %d", k, int64(maxTimes))
	case b.s.Pool[name] != nil:
		return fmt.Errorf("piece %s: exists", name)
	case len(ids) == 0:
		return fmt.Errorf("piece %s: no ids", name)
	case len(data) > MaxFlight:
		return fmt.Errorf("piece %s: %d bytes, at most %d: %w", name, len(data), MaxFlight, ErrTooLarge)
	}
	b.sources++
	b.add(OpCreate, PiecePath(b.s.Kind, name), data, 0, func(s *State, r Result) {
		s.Pool[name] = &Piece{Name: name, IDs: packed, Version: r.Version, bytes: len(data), zxid: r.Zxid}
	})
	return nil
}

// setPiece leaves a pool piece with the rest of its ids, or deletes it.
func (b *builder) setPiece(p *Piece, rest []string) {
	b.sources++
	name, path := p.Name, PiecePath(b.s.Kind, p.Name)
	if len(rest) == 0 {
		b.remove(path, p.Version, func(s *State) { delete(s.Pool, name) })
		return
	}
	data, packed := encodeIDs(rest)
	b.add(OpSet, path, data, p.Version, func(s *State, r Result) {
		s.Pool[name] = &Piece{Name: name, IDs: packed, Version: r.Version, bytes: len(data), zxid: r.Zxid}
	})
}

// setFlight writes a flight piece: what is left of one, a changed one, or (version -1) a new one.
// Without ids it is deleted.
func (b *builder) setFlight(f Flight) {
	b.sources++
	path := FlightPath(b.s.Kind, f.Name)
	if f.IDs.Len() == 0 {
		b.remove(path, f.Version, func(s *State) { delete(s.Flight, f.Name) })
		return
	}
	if !slices.ContainsFunc(f.To, func(to int) bool { return to != ToDelete }) {
		f.To = nil
	}
	data, packed := encodeFlight(&f)
	b.put(path, data, f.Version, func(s *State, r Result) {
		next := f
		next.IDs, next.Version, next.bytes, next.zxid = packed, r.Version, len(data), r.Zxid
		if f.Version < 0 {
			next.Created = r.Mtime
		}
		s.Flight[f.Name] = &next
	})
}
