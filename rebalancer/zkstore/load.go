package zkstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/guard"
)

// This file reads a kind. Every read compares what is there with what was read before and fetches only what differs, so that one path
// serves the first load, the follower, the leader and the time after a lost session alike.

const (
	// maxPasses bounds how often a read is repeated because somebody wrote meanwhile.
	maxPasses = 4
	// readers is how many requests are under way at once.
	readers = 32
	// maxZnode is the server's limit. What is longer came past it, and is not fetched.
	maxZnode = 1 << 20
)

// Load reads everything of a kind. Missing trees are an empty State; what cannot be understood is a fault in the State.
func (c *Client) Load(ctx context.Context, kind string) (*State, error) {
	s, _, err := c.Refresh(ctx, kind, nil)
	return s, err
}

// Refresh returns the State as ZooKeeper has it now (after a sync); it reads only what changed since s and shares the rest with it. s itself
// stays as it is; nil is the State of nothing read. The result's ReadAt is new also when changed is false.
//
// A State is whole because nothing changed while it was read. Of lists, statuses, the head and which pieces there are the watches tell
// that, and no id moves without one of these; where one has fired, a pass over all versions that finds nothing changed proves it.
func (c *Client) Refresh(ctx context.Context, kind string, s *State) (fresh *State, changed bool, err error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	start := time.Now()
	if s == nil {
		s = NewState(kind)
	}
	for range maxPasses {
		next, differs, err := c.pass(ctx, kind, s)
		if err != nil {
			return nil, false, fmt.Errorf("read kind %s: %w", kind, err)
		}
		s = next
		changed = changed || differs
		if !s.Torn {
			break
		}
	}
	c.metrics.refreshSeconds.Observe(time.Since(start).Seconds())
	return s, changed, nil
}

// pass reads once what differs from prev; the result is Torn if that differs and a watch has fired meanwhile.
func (c *Client) pass(ctx context.Context, kind string, prev *State) (*State, bool, error) {
	sess, err := c.await(ctx)
	if err != nil {
		return nil, false, err
	}
	if err := catchUp(ctx, sess); err != nil {
		return nil, false, unavailable(err)
	}
	r := &reader{ctx: ctx, sess: sess, kind: kind, prev: prev, next: NewState(kind)}
	r.next.ReadAt = time.Now()
	fired := sess.hasFired()
	if err := r.readAll(); err != nil {
		return nil, false, unavailable(err)
	}
	r.keepVanished()
	r.changed = r.changed || lacks(r.next.Pool, prev.Pool) || lacks(r.next.Flight, prev.Flight) || lacks(r.next.Kept, prev.Kept)
	slices.Sort(r.next.Faults)
	r.changed = r.changed || !slices.Equal(prev.Faults, r.next.Faults)
	if r.changed {
		r.ctx = ctx // The answers of a session come in order, events among them: after this one all that had fired have come.
		if _, err := r.exists(headPath(kind), true); err != nil {
			return nil, false, unavailable(err)
		}
		r.next.Torn = r.vanished || sess.hasFired() != fired
	}
	return r.next, r.changed, nil
}

// lacks says that something was there before and is not now.
func lacks[V any](now, before map[string]V) bool {
	for name := range before {
		if _, ok := now[name]; !ok {
			return true
		}
	}
	return false
}

// reader is one pass.
type reader struct {
	ctx  context.Context // of this pass only
	sess *session
	kind string
	prev *State

	mu      sync.Mutex
	next    *State
	changed bool
	// vanished: something was gone when it was to be read.
	vanished bool
}

// store changes next; differs says that it is not as prev had it.
func (r *reader) store(differs bool, change func(*State)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changed = r.changed || differs
	change(r.next)
}

// again: something vanished between two reads; the next pass will see it.
func (r *reader) again() { r.store(true, func(*State) { r.vanished = true }) }

func (r *reader) fault(path string, err error) {
	r.store(false, func(s *State) { s.Faults = append(s.Faults, path+": "+err.Error()) })
}

// readAll fills next.
func (r *reader) readAll() error {
	whole := r.ctx
	g, ctx := guard.NewGroup(whole)
	g.SetLimit(readers)
	r.ctx = ctx
	var pool, flights, own, kinds []string
	g.Go(r.readHead)
	g.Go(func() (err error) { pool, err = r.children(poolPath(r.kind)); return err })
	g.Go(func() (err error) { flights, err = r.children(flightsPath(r.kind)); return err })
	g.Go(func() (err error) { own, err = r.children(ownPath(r.kind)); return err })
	g.Go(func() (err error) { kinds, err = r.children(KindPath(r.kind)); return err })
	if err := g.Wait(); err != nil {
		return err
	}
	// Lists before pieces: then the watch of a list fires for whatever moves between the two after it was read.
	if err := r.each(whole, r.listReaders(kinds)); err != nil {
		return err
	}
	return r.each(whole, r.pieceReaders(pool, flights, own))
}

// each calls all of them, several at a time.
func (r *reader) each(ctx context.Context, reads []func() error) error {
	g, ctx := guard.NewGroup(ctx)
	g.SetLimit(readers)
	r.ctx = ctx
	for _, read := range reads {
		g.Go(read)
	}
	return g.Wait()
}

func (r *reader) listReaders(names []string) (reads []func() error) {
	for _, name := range names {
		if n, err := exact.Ordinal(name); err == nil { // others have put something else there: not ours
			reads = append(reads, func() error { return r.readInstance(n) })
		}
	}
	return reads
}

func (r *reader) pieceReaders(pool, flights, own []string) (reads []func() error) {
	for _, name := range pool {
		reads = append(reads, func() error { return r.readPiece(name) })
	}
	for _, name := range flights {
		reads = append(reads, func() error { return r.readFlight(name) })
	}
	for _, name := range own {
		if !isProtocolName(name) {
			reads = append(reads, func() error { return r.readDoc(name) })
		}
	}
	return append(reads, r.readPlan)
}

// exists asks for a znode without its content; nil when there is none. With watch, a change will be notified.
func (r *reader) exists(path string, watch bool) (*zk.Stat, error) {
	full := r.sess.path(path)
	watch = watch && r.sess.arm(dataWatch(full))
	stat, err := do(r.ctx, r.sess, func(conn *zk.Conn) (*zk.Stat, error) {
		if watch {
			ok, stat, _, err := conn.ExistsW(full) // its events come to session.event
			return found(ok, stat), err
		}
		ok, stat, err := conn.Exists(full)
		return found(ok, stat), err
	})
	if err != nil && watch {
		r.sess.forget(dataWatch(full))
	}
	return stat, denied(err, rightRead, path)
}

func found(ok bool, stat *zk.Stat) *zk.Stat {
	if !ok {
		return nil
	}
	return stat
}

// children lists the znodes below a path and watches for others; none when the path does not exist.
func (r *reader) children(path string) ([]string, error) {
	full := r.sess.path(path)
	watch := r.sess.arm(childrenWatch(full))
	names, err := do(r.ctx, r.sess, func(conn *zk.Conn) ([]string, error) {
		if watch {
			names, _, _, err := conn.ChildrenW(full) // its events come to session.event
			return names, err
		}
		names, _, err := conn.Children(full)
		return names, err
	})
	if err != nil && watch {
		r.sess.forget(childrenWatch(full))
	}
	if errors.Is(err, zk.ErrNoNode) {
		return nil, nil
	}
	return names, denied(err, rightRead, path)
}

// content is a znode as read.
type content struct {
	data []byte
	stat *zk.Stat
}

// get fetches a znode whose stat is known; nil when it has gone since. A content that is too long to be fetched has an error
// that is not ErrUnavailable's.
func (r *reader) get(path string, stat *zk.Stat) (*content, error) {
	if stat.DataLength > maxZnode {
		return &content{stat: stat}, nil
	}
	got, err := r.fetch(path)
	if got == nil && err == nil {
		r.again()
	}
	return got, err
}

// fetch fetches a znode of which nothing is known; nil when there is none.
func (r *reader) fetch(path string) (*content, error) {
	full := r.sess.path(path)
	got, err := do(r.ctx, r.sess, func(conn *zk.Conn) (*content, error) {
		data, stat, err := conn.Get(full)
		return &content{data, stat}, err
	})
	if errors.Is(err, zk.ErrNoNode) {
		return nil, nil
	}
	return got, denied(err, rightRead, path)
}

// tooLong says why a content was not fetched.
func (c *content) tooLong() error {
	if c.stat.DataLength > maxZnode {
		return fmt.Errorf("%d bytes, at most %d", c.stat.DataLength, maxZnode)
	}
	return nil
}

// seen is what is known of a znode from before; bytes -1: not known.
type seen struct {
	zxid    int64
	version int32
	bytes   int
}

// is says that the znode is the one known. Its transaction number is not known where it was our own commit; then, as nobody else
// writes under our head, version and length are enough.
func (k seen) is(stat *zk.Stat) bool {
	if k.zxid != 0 {
		return k.zxid == stat.Mzxid
	}
	return k.version == stat.Version && (k.bytes < 0 || k.bytes == int(stat.DataLength))
}

func (r *reader) readHead() error {
	path := headPath(r.kind)
	stat, err := r.exists(path, true)
	if err != nil {
		return err
	}
	if stat == nil {
		r.store(r.prev.HeadVersion >= 0, func(*State) {})
		return nil
	}
	if !r.prev.headFault && r.prev.HeadVersion >= 0 && (seen{r.prev.headZxid, r.prev.HeadVersion, -1}).is(stat) {
		r.store(false, func(s *State) { s.Head, s.HeadVersion, s.headZxid = r.prev.Head, stat.Version, stat.Mzxid })
		return nil
	}
	got, err := r.get(path, stat)
	if err != nil || got == nil {
		return err
	}
	head, err := decodeHead(got.data)
	differs := got.stat.Mzxid != r.prev.headZxid
	r.store(differs, func(s *State) {
		s.Head, s.HeadVersion, s.headZxid, s.headFault = head, got.stat.Version, got.stat.Mzxid, err != nil
	})
	if err != nil {
		r.fault(path, err)
	}
	return nil
}

func (r *reader) readPiece(name string) error {
	path := piecePath(r.kind, name)
	stat, err := r.exists(path, false)
	if err != nil || stat == nil {
		r.again()
		return err
	}
	was := r.prev.Pool[name]
	if was != nil && (seen{was.zxid, was.Version, was.bytes}).is(stat) {
		r.store(false, func(s *State) { s.Pool[name] = was.known(stat.Mzxid) })
		return nil
	}
	got, err := r.get(path, stat)
	if err != nil || got == nil {
		return err
	}
	p, err := parsePiece(name, got)
	if err != nil {
		r.fault(path, err)
		p = was // what was last known of it is not free
	}
	if p != nil {
		r.store(p != was, func(s *State) { s.Pool[name] = p })
	}
	return nil
}

// known is p with its transaction number.
func (p *Piece) known(zxid int64) *Piece {
	if p.zxid == zxid {
		return p
	}
	q := *p
	q.zxid = zxid
	return &q
}

func parsePiece(name string, got *content) (*Piece, error) {
	if _, _, ok := parsePair(name); !ok {
		return nil, errors.New("name: want <epoch>-<number>")
	}
	if err := got.tooLong(); err != nil {
		return nil, err
	}
	ids, err := decodeIDs(got.data)
	if err != nil {
		return nil, err
	}
	return &Piece{Name: name, IDs: ids, Version: got.stat.Version, bytes: len(got.data), zxid: got.stat.Mzxid}, nil
}

func (r *reader) readFlight(name string) error {
	path := flightPath(r.kind, name)
	stat, err := r.exists(path, false)
	if err != nil || stat == nil {
		r.again()
		return err
	}
	was := r.prev.Flight[name]
	if was != nil && (seen{was.zxid, was.Version, was.bytes}).is(stat) {
		r.store(false, func(s *State) { s.Flight[name] = was.known(stat.Mzxid) })
		return nil
	}
	got, err := r.get(path, stat)
	if err != nil || got == nil {
		return err
	}
	f, err := parseFlight(name, got)
	if err != nil {
		r.fault(path, err)
		f = was
	}
	if f != nil {
		r.store(f != was, func(s *State) { s.Flight[name] = f })
	}
	return nil
}

// known is f with its transaction number.
func (f *Flight) known(zxid int64) *Flight {
	if f.zxid == zxid {
		return f
	}
	g := *f
	g.zxid = zxid
	return &g
}

func parseFlight(name string, got *content) (*Flight, error) {
	if err := got.tooLong(); err != nil {
		return nil, err
	}
	f, err := decodeFlight(name, got.data)
	if err != nil {
		return nil, err
	}
	f.Version, f.bytes, f.zxid, f.Created = got.stat.Version, len(got.data), got.stat.Mzxid, time.UnixMilli(got.stat.Ctime)
	return f, nil
}

func (r *reader) readDoc(name string) error {
	path := docPath(r.kind, name)
	stat, err := r.exists(path, false)
	if err != nil || stat == nil {
		r.again()
		return err
	}
	was := r.prev.Kept[name]
	if was != nil && (seen{was.zxid, was.Version, len(was.Data)}).is(stat) {
		r.store(false, func(s *State) { s.Kept[name] = &Doc{Data: was.Data, Version: was.Version, zxid: stat.Mzxid} })
		return nil
	}
	got, err := r.get(path, stat)
	if err != nil || got == nil {
		return err
	}
	r.store(true, func(s *State) {
		s.Kept[name] = &Doc{Data: got.data, Version: got.stat.Version, zxid: got.stat.Mzxid}
	})
	return nil
}

func (r *reader) readPlan() error {
	path := planPath(r.kind)
	stat, err := r.exists(path, false)
	if err != nil || stat == nil {
		return err
	}
	p := r.prev
	if p.planVersion >= 0 && (seen{p.planZxid, p.planVersion, -1}).is(stat) {
		r.store(false, func(s *State) {
			s.Plan, s.planHeader, s.planVersion, s.planParts, s.planZxid = p.Plan, p.planHeader, p.planVersion, p.planParts, stat.Mzxid
		})
		for _, fault := range p.Faults { // an unreadable plan stays unreadable until it is written anew
			if len(fault) > len(path) && fault[:len(path)] == path {
				r.store(false, func(s *State) { s.Faults = append(s.Faults, fault) })
			}
		}
		return nil
	}
	got, err := r.get(path, stat)
	if err != nil || got == nil {
		return err
	}
	parts, versions, err := r.readParts()
	if err != nil {
		return err
	}
	header, plan, err := parsePlan(got, parts)
	if err != nil {
		r.fault(path, err)
	}
	r.store(true, func(s *State) {
		s.Plan, s.planHeader, s.planVersion, s.planParts, s.planZxid = plan, header, got.stat.Version, versions, got.stat.Mzxid
	})
	return nil
}

// readParts reads every `plan/<k>`, also those of plans that are no longer stored: their versions are needed to overwrite them.
func (r *reader) readParts() (parts map[int][]byte, versions map[int]int32, err error) {
	names, err := r.children(planPath(r.kind))
	if err != nil {
		return nil, nil, err
	}
	parts, versions = map[int][]byte{}, map[int]int32{}
	for _, name := range names {
		part, ok := parseNumber(name, math.MaxInt32)
		if !ok {
			continue
		}
		k := int(part)
		stat, err := r.exists(planPartPath(r.kind, k), false)
		if err != nil {
			return nil, nil, err
		}
		if stat == nil {
			continue
		}
		got, err := r.get(planPartPath(r.kind, k), stat)
		if err != nil {
			return nil, nil, err
		}
		if got != nil {
			parts[k], versions[k] = got.data, got.stat.Version
		}
	}
	return parts, versions, nil
}

func parsePlan(got *content, parts map[int][]byte) (planHeader, *StoredPlan, error) {
	h, err := decodePlanHeader(got.data)
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

// keepVanished looks at instances whose znode has disappeared. We delete none that owns something; so if, under the same head, ids
// went with it, somebody else did, and the ids last known there count as in flight from that ordinal.
func (r *reader) keepVanished() {
	for n, was := range r.prev.Instances {
		if r.next.Instances[n] != nil {
			continue
		}
		sameHead := r.next.HeadVersion >= 0 && r.next.HeadVersion == r.prev.HeadVersion
		switch {
		case len(was.IDs) == 0 || !sameHead || !r.missesAny(was.IDs):
			r.changed = true
		case was.DataVersion < 0: // known already
			r.next.Instances[n] = was
		default:
			r.changed = true
			in := nothing(n)
			in.IDs, in.Fault = was.IDs, InstancePath(r.kind, n)+": has been deleted by another hand"
			r.next.Instances[n] = in
		}
	}
}

// missesAny says that not all the ids are elsewhere now.
func (r *reader) missesAny(ids []string) bool {
	missing := setOf(ids)
	r.next.walk(func(_ place, there []string) {
		for _, id := range there {
			delete(missing, id)
		}
	})
	return len(missing) > 0
}

// readInstance reads one ordinal's subtree.
func (r *reader) readInstance(n int) error {
	was := r.prev.Instances[n]
	if was == nil {
		was = nothing(n)
	}
	i := &instanceReader{reader: r, n: n, was: was, in: *was}
	for _, read := range []func() error{i.readList, i.readData, i.readReload, i.readStatus} { // the list, which is watched, first
		if err := read(); err != nil {
			return err
		}
		if i.gone {
			return nil
		}
	}
	i.in.Fault = cmp.Or(i.in.listFault, i.fault)
	i.in.Begun = i.in.Fault == "" && (i.in.newList || i.newReload && len(i.in.IDs) == 0)
	i.differs = i.differs || i.in.Fault != was.Fault || i.in.Begun != was.Begun
	r.store(i.differs || r.prev.Instances[n] == nil, func(s *State) {
		if !i.differs && !i.numbered && r.prev.Instances[n] != nil {
			s.Instances[n] = was
			return
		}
		in := i.in // a copy: a pointer into i would keep the reader, and by it every State before, alive
		s.Instances[n] = &in
	})
	return nil
}

// nothing is an ordinal of which no znode is known.
func nothing(n int) *Instance {
	return &Instance{
		Ordinal: n, Used: -1, Capacity: -1, Times: -1,
		DataVersion: -1, ListVersion: -1, ReloadVersion: -1, statusVersion: -1, tmpVersion: -1,
	}
}

// instanceReader reads the parts of one instance into in.
type instanceReader struct {
	*reader
	n   int
	was *Instance
	in  Instance
	// fault says what beside the list may not be read; newReload that `_reload` has never been written.
	fault     string
	newReload bool
	// differs: something is not as was. numbered: only a transaction number became known. gone: the instance has none.
	differs, numbered, gone bool
}

// part reads one znode if it is not the one known. got is nil if it is, or if there is none (stat nil).
func (i *instanceReader) part(path string, watch bool, known seen) (got *content, stat *zk.Stat, err error) {
	if !watch && known.version < 0 { // most likely it is there, and small: one request instead of two
		if got, err = i.fetch(path); got == nil || err != nil {
			return nil, nil, err
		}
		i.differs = true
		return got, got.stat, nil
	}
	if stat, err = i.exists(path, watch); err != nil {
		return nil, nil, err
	}
	if stat == nil {
		i.differs = i.differs || known.version >= 0
		return nil, nil, nil
	}
	if known.version >= 0 && known.is(stat) {
		i.numbered = i.numbered || known.zxid != stat.Mzxid
		return nil, stat, nil
	}
	if got, err = i.get(path, stat); err != nil {
		return nil, nil, err
	}
	i.differs = true
	if got == nil {
		i.gone = true // in the meantime; the next pass will tell
		return nil, nil, nil
	}
	return got, got.stat, nil
}

// unreadable keeps what is known of an instance of which something may not be read. That stops the kind: its list cannot be changed.
func (i *instanceReader) unreadable(err error) error {
	if !isDenied(err) {
		return err
	}
	i.fault = cmp.Or(i.fault, err.Error())
	return nil
}

func (i *instanceReader) readData() error {
	got, stat, err := i.part(InstancePath(i.kind, i.n), false, seen{i.was.dataZxid, i.was.DataVersion, -1})
	if isDenied(err) {
		return i.unreadable(err)
	}
	if err != nil || stat == nil {
		i.again()
		i.gone = true
		return err
	}
	i.in.DataVersion, i.in.dataZxid = stat.Version, stat.Mzxid
	if got != nil {
		i.in.Used, i.in.Capacity = decodeData(got.data)
	}
	return nil
}

func (i *instanceReader) readReload() error {
	got, stat, err := i.part(reloadPath(i.kind, i.n), false, seen{i.was.reloadZxid, i.was.ReloadVersion, -1})
	if err != nil {
		return i.unreadable(err)
	}
	if stat == nil {
		i.in.HasReload, i.in.ReloadVersion, i.in.reloadZxid, i.in.Times = false, -1, 0, -1
		return nil
	}
	i.in.HasReload, i.in.ReloadVersion, i.in.reloadZxid, i.newReload = true, stat.Version, stat.Mzxid, isNew(stat)
	if got != nil {
		i.in.Times = decodeReload(got.data)
		i.in.highest = max(i.in.highest, i.in.Times)
	}
	return nil
}

// readList keeps the ids last known where the list cannot be read.
func (i *instanceReader) readList() error {
	path := resourcesPath(i.kind, i.n)
	got, stat, err := i.part(path, true, seen{i.was.listZxid, i.was.ListVersion, i.was.Bytes})
	switch {
	case isDenied(err):
		i.in.listFault, i.in.newList = err.Error(), false
		return nil
	case err != nil:
		return err
	case stat == nil:
		i.in.ListVersion, i.in.listZxid = -1, 0
		return i.unwritten(path+": is missing", nil)
	}
	i.in.ListVersion, i.in.listZxid = stat.Version, stat.Mzxid
	if got == nil {
		return nil
	}
	i.in.Bytes, i.in.Changed, i.in.listFault, i.in.newList = int(stat.DataLength), time.UnixMilli(stat.Mtime), "", false
	err = got.tooLong()
	var ids []string
	var text shared
	if err == nil {
		ids, text, err = decodeList(got.data)
	}
	if err != nil {
		return i.unwritten(path+": "+err.Error(), stat)
	}
	i.in.IDs, i.in.text = ids, text
	return nil
}

// statusOf takes a znode for a status, or says why it is none.
func statusOf(got *content) (s *Status, fault string) {
	if got.stat.EphemeralOwner == 0 {
		return nil, "is persistent"
	}
	if err := got.tooLong(); err != nil {
		return nil, "is present and too long: " + err.Error()
	}
	if s = decodeStatus(got.data); s != nil {
		return s, ""
	}
	return nil, noStatus(got.data)
}

// unwritten takes a list that is not there (stat nil), or has no data, for that of an ordinal which another client has begun to make, if
// it was never written: protocol rule 11. Else it may have held any id, and fault stops the kind.
func (i *instanceReader) unwritten(fault string, list *zk.Stat) error {
	begun := len(i.was.IDs) == 0 && (list == nil || isNew(list))
	if begun {
		names, ordinal, err := i.childrenOf(InstancePath(i.kind, i.n))
		if err != nil {
			return i.unreadable(err)
		}
		begun = ordinal != nil && isWhole(ordinal)
		if begun && list == nil && slices.Contains(names, "resources") {
			i.again() // it has come since
		}
	}
	if i.in.newList = begun; begun {
		i.in.IDs, i.in.text, i.in.Bytes, fault = []string{}, shared{}, 0, ""
	}
	i.in.listFault = fault
	return nil
}

// isNew says that a znode has never been written since it was made without data.
func isNew(stat *zk.Stat) bool { return stat.Version == 0 && stat.DataLength == 0 }

// isWhole says that no child of a znode has ever been deleted: Cversion counts how often one was made or deleted.
func isWhole(stat *zk.Stat) bool { return stat.Cversion == stat.NumChildren }

// childrenOf lists the znodes below a path together with its stat, which is nil where there is none.
func (r *reader) childrenOf(path string) (names []string, stat *zk.Stat, err error) {
	_, err = do(r.ctx, r.sess, func(conn *zk.Conn) (struct{}, error) {
		names, stat, err = conn.Children(r.sess.path(path))
		return struct{}{}, err
	})
	if errors.Is(err, zk.ErrNoNode) {
		return nil, nil, nil
	}
	return names, stat, denied(err, rightRead, path)
}

// readStatus takes a status for one only if it is ephemeral and may be read: a persistent leftover says nothing.
func (i *instanceReader) readStatus() error {
	got, stat, err := i.part(StatusPath(i.kind, i.n), true, seen{i.was.statusZxid, i.was.statusVersion, -1})
	i.in.Hidden = isDenied(err)
	i.differs = i.differs || i.in.Hidden != i.was.Hidden
	if err != nil && !i.in.Hidden {
		return err
	}
	if stat == nil {
		i.in.Status, i.in.StatusFault, i.in.Live, i.in.LiveSince = nil, "", false, time.Time{}
		i.in.statusVersion, i.in.statusZxid = -1, 0
		if i.in.Hidden {
			i.in.StatusFault = "may not be read: READ is missing on " + StatusPath(i.kind, i.n)
		}
		return i.readTmp()
	}
	i.in.statusVersion, i.in.statusZxid = stat.Version, stat.Mzxid
	i.in.Live, i.in.LiveSince = stat.EphemeralOwner != 0, time.Time{}
	if i.in.Live {
		i.in.LiveSince = time.UnixMilli(stat.Ctime)
	}
	if got != nil {
		i.in.Status, i.in.StatusFault = statusOf(got)
	}
	if !i.in.HasTmp {
		return i.readTmp()
	}
	return nil
}

// readTmp asks for `tmp`. That it may not be read does no harm: there is nothing in it.
func (i *instanceReader) readTmp() error {
	stat, err := i.exists(tmpPath(i.kind, i.n), false)
	if err != nil && !isDenied(err) {
		return err
	}
	has := stat != nil || err != nil
	i.differs = i.differs || has != i.was.HasTmp
	i.in.HasTmp, i.in.tmpVersion = has, -1
	if stat != nil {
		i.in.tmpVersion = stat.Version
	}
	return nil
}

// Left is what a synced read found of some ordinals.
type Left struct {
	// Head is as it was before and after the rest was read.
	Head        Head
	HeadVersion int32
	// Count are the ids each ordinal still owns: in its list or in flight from it. Ordinals without znodes have 0.
	Count map[int]int
}

// SyncedRead asks ZooKeeper itself, after a sync, what the ordinals still own; without ordinals, only who holds the head. For a closed ordinal a 0 stays true as long as the head's
// version stays: lists are read before the flight, and what leaves a list is in the flight or with another.
func (c *Client) SyncedRead(ctx context.Context, kind string, ordinals []int) (Left, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	for range maxPasses {
		left, err := c.readLeft(ctx, kind, ordinals)
		if !errors.Is(err, ErrConflict) {
			return left, err
		}
	}
	return Left{}, fmt.Errorf("read what is left: the head moves all the time: %w", ErrConflict)
}

func (c *Client) readLeft(ctx context.Context, kind string, ordinals []int) (Left, error) {
	sess, err := c.await(ctx)
	if err != nil {
		return Left{}, err
	}
	if err := catchUp(ctx, sess); err != nil {
		return Left{}, unavailable(err)
	}
	r := &reader{ctx: ctx, sess: sess, kind: kind, prev: NewState(kind), next: NewState(kind)}
	if err := r.readHead(); err != nil {
		return Left{}, unavailable(err)
	}
	if len(ordinals) == 0 {
		return r.left(nil)
	}
	for _, n := range ordinals {
		if err := r.readInstance(n); err != nil {
			return Left{}, unavailable(err)
		}
	}
	names, err := r.children(flightsPath(kind))
	if err != nil {
		return Left{}, unavailable(err)
	}
	for _, name := range names {
		from, _, ok := parsePair(name)
		if ok && !slices.Contains(ordinals, int(from)) {
			continue
		}
		if err := r.readFlight(name); err != nil {
			return Left{}, unavailable(err)
		}
	}
	after, err := r.exists(headPath(kind), false)
	if err != nil {
		return Left{}, unavailable(err)
	}
	if r.next.HeadVersion >= 0 && (after == nil || after.Mzxid != r.next.headZxid) {
		return Left{}, ErrConflict
	}
	return r.left(ordinals)
}

// left counts what was read.
func (r *reader) left(ordinals []int) (Left, error) {
	if fault := r.next.Fault(); fault != "" {
		return Left{}, fmt.Errorf("read what is left: %w: %s", ErrStopped, fault)
	}
	left := Left{Head: r.next.Head, HeadVersion: r.next.HeadVersion, Count: make(map[int]int, len(ordinals))}
	for _, n := range ordinals {
		left.Count[n] = 0
		if in := r.next.Instances[n]; in != nil {
			left.Count[n] = len(in.IDs)
		}
	}
	for f := range maps.Values(r.next.Flight) {
		left.Count[f.From] += len(f.IDs)
	}
	return left, nil
}
