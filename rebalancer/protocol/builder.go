package protocol

import (
	"fmt"
	"slices"
)

// builder collects a step's operations, each with its effect on the State.
type builder struct {
	s *State
	m Multi
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
		return Multi{}, fmt.Errorf("%s: there is no head, the record of who leads: lead first", name)
	}
	b := &builder{s: s, m: Multi{Step: name}}
	b.add(OpCheck, HeadPath(s.Kind), nil, s.HeadVersion, nil)
	if err := build(b); err != nil {
		return Multi{}, fmt.Errorf("%s: %w", name, err)
	}
	return b.done()
}

// add appends an operation; effect, where it is not nil, gets its result.
func (b *builder) add(kind OpKind, path string, data []byte, version int32, effect func(*State, Result)) {
	b.m.Ops = append(b.m.Ops, Op{Kind: kind, Path: path, Data: data, Version: version})
	b.m.effects = append(b.m.effects, effect)
}

// put creates the znode when its version is -1 and sets it otherwise.
func (b *builder) put(path string, data []byte, version int32, effect func(*State, Result)) {
	if version < 0 {
		b.add(OpCreate, path, data, 0, effect)
		return
	}
	b.add(OpSet, path, data, version, effect)
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
	return b.m, nil
}

// update replaces one instance by a changed copy, or makes it.
func (s *State) update(n int, change func(*Instance)) {
	next := nothing(n)
	if in := s.Instances[n]; in != nil {
		*next = *in
	}
	change(next)
	s.Instances[n] = next
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

// part writes a znode of an instance; change gets the instance and the result.
func (b *builder) part(in *Instance, path string, data []byte, version int32, change func(*Instance, Result)) {
	b.put(path, data, version, func(s *State, r Result) {
		s.update(in.Ordinal, func(in *Instance) { change(in, r) })
	})
}

func (b *builder) setData(in *Instance, used, capacity int) {
	data := encodeData(used, capacity)
	b.part(in, InstancePath(b.s.Kind, in.Ordinal), data, in.DataVersion, func(in *Instance, r Result) {
		in.Used, in.Capacity, in.DataVersion, in.dataZxid = used, capacity, r.Version, r.Zxid
	})
}

func (b *builder) createTmp(in *Instance) {
	b.part(in, TmpPath(b.s.Kind, in.Ordinal), nil, -1, func(in *Instance, r Result) {
		in.HasTmp, in.tmpVersion = true, r.Version
	})
}

func (b *builder) setReload(in *Instance, times int64) {
	b.part(in, ReloadPath(b.s.Kind, in.Ordinal), encodeReload(times), in.ReloadVersion, func(in *Instance, r Result) {
		in.Times, in.highest, in.ReloadVersion, in.reloadZxid = times, times, r.Version, r.Zxid
	})
}

// setIDs writes `resources` alone, and returns its length.
func (b *builder) setIDs(in *Instance, ids IDs) (bytes int) {
	data := encodeIDs(ids)
	b.part(in, ResourcesPath(b.s.Kind, in.Ordinal), data, in.ListVersion, func(in *Instance, r Result) {
		in.IDs, in.Bytes, in.Changed, in.ListVersion, in.listZxid = ids, len(data), r.Mtime, r.Version, r.Zxid
		in.Begun, in.newList = false, false
	})
	return len(data)
}

// setList writes a list with `used` and a higher `_reload`. It returns the list's bytes.
func (b *builder) setList(in *Instance, ids IDs) (bytes int) {
	b.lists++
	b.setData(in, ids.Len(), in.Capacity)
	bytes = b.setIDs(in, ids)
	b.setReload(in, b.s.NextTimes(in.Ordinal))
	return bytes
}

// grow adds ids to the list of an ordinal that may receive them.
func (b *builder) grow(n int, more ...IDs) error {
	in, err := b.s.changeable(n)
	if err != nil {
		return err
	}
	if !b.s.IsOpen(n) {
		return fmt.Errorf("ordinal %d: is closed", n)
	}
	all := in.IDs.Concat(more...)
	if all.Len() > in.Capacity {
		return fmt.Errorf("ordinal %d: %d resources and %d more, capacity %d", n, in.IDs.Len(), all.Len()-in.IDs.Len(), in.Capacity)
	}
	if size := b.setList(in, all); size > MaxListBytes {
		return fmt.Errorf("ordinal %d: list of %d bytes, at most %d: %w", n, size, MaxListBytes, ErrTooLarge)
	}
	return nil
}

// newPiece creates the pool piece `<epoch>-<k>`.
func (b *builder) newPiece(k int64, ids IDs) error {
	name := PieceName(b.s.Head.Epoch, k)
	switch {
	case k < 0 || k > maxTimes:
		return fmt.Errorf("piece number %d: want 0 to %d", k, int64(maxTimes))
	case b.s.Pool[name] != nil:
		return fmt.Errorf("piece %s: exists", name)
	case ids.Len() == 0:
		return fmt.Errorf("piece %s: no ids", name)
	}
	if size := b.setPiece(name, -1, ids); size > MaxFlight {
		return fmt.Errorf("piece %s: %d bytes, at most %d: %w", name, size, MaxFlight, ErrTooLarge)
	}
	return nil
}

// setPiece writes a pool piece, a new one where its version is -1, and returns its length. Without
// ids it is deleted.
func (b *builder) setPiece(name string, version int32, ids IDs) (bytes int) {
	b.sources++
	path := PiecePath(b.s.Kind, name)
	if ids.Len() == 0 {
		b.add(OpDelete, path, nil, version, func(s *State, _ Result) { delete(s.Pool, name) })
		return 0
	}
	data := encodeIDs(ids)
	b.put(path, data, version, func(s *State, r Result) {
		s.Pool[name] = &Piece{Name: name, IDs: ids, known: r.known(data)}
	})
	return len(data)
}

// setFlight is setPiece for a piece of the flight.
func (b *builder) setFlight(f Flight) (bytes int) {
	b.sources++
	path := FlightPath(b.s.Kind, f.Name)
	if f.IDs.Len() == 0 {
		b.add(OpDelete, path, nil, f.Version, func(s *State, _ Result) { delete(s.Flight, f.Name) })
		return 0
	}
	if !slices.ContainsFunc(f.To, func(to int) bool { return to != ToDelete }) {
		f.To = nil
	}
	data := encodeFlight(&f)
	b.put(path, data, f.Version, func(s *State, r Result) {
		next := f
		next.known = r.known(data)
		if f.Version < 0 {
			next.Created = r.Mtime
		}
		s.Flight[f.Name] = &next
	})
	return len(data)
}
