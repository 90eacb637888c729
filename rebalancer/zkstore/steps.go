package zkstore

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/shardscaler/shardscaler/internal/exact"
)

// This file is the protocol: one pure function a step, from a State to the Multi that takes it. A step reads no clock and makes
// no names up: what is not in the State is an argument. It refuses what would break an invariant, so that a caller's mistake
// is an error here and not a lost resource there.
//
// All steps of one State are computed from what was read; two Multis that share a znode (Multi.Overlaps) cannot both
// succeed: apply the first, then compute the second.

// Take names ids to be taken out of one piece of the pool (Piece.Name) or of the flight (Flight.Name); nil IDs: all of it.
type Take struct {
	Name string
	IDs  []string
}

// Grant adds what is taken to the list of one ordinal.
type Give struct {
	To   int
	From []Take
}

// maxGrants is the number of lists one transaction may change.
const maxGrants = 2

// Lead takes the head: epoch + 1, a holder `<pod>/<nonce>` that no other attempt uses. The set of open ordinals stays.
// Client.Lead does this and the reading that must follow.
func Lead(s *State, holder string) (Multi, error) {
	if s.head.fault {
		return Multi{}, fmt.Errorf("lead: %w: %s", ErrStopped, s.Fault())
	}
	head := Head{V: schema, Epoch: s.Head.Epoch, Holder: holder, Open: s.Head.Open}
	for name := range s.Pool { // also pieces of a head that somebody deleted: their names must not come again
		epoch, _, _ := parsePair(name)
		head.Epoch = max(head.Epoch, epoch)
	}
	head.Epoch++
	m := setHead(s, "lead", head)
	m.parents = parentsOf(s.Kind)
	return m, nil
}

// SetOpen replaces the set of ordinals that may receive. It moves the head's version: every Multi computed before it fails.
func SetOpen(s *State, open []int) (Multi, error) {
	b, err := begin(s, "open")
	if err != nil {
		return Multi{}, err
	}
	if err := checkOrdinals(open); err != nil {
		return b.fail("%w", err)
	}
	for _, n := range open {
		if in := s.Instances[n]; in == nil || in.Begun {
			return b.fail("ordinal %d: has no znodes, or another client has begun to make them", n)
		}
	}
	head := s.Head
	head.Open = slices.Clone(open)
	if size := len(encodeHead(head)); size > MaxDocBytes {
		return b.fail("%d ordinals: head of %d bytes, at most %d: %w", len(open), size, MaxDocBytes, ErrTooLarge)
	}
	return setHead(s, "open", head), nil
}

// TouchHead writes the head as it is, so that requests of ours that are still under way somewhere can no longer succeed.
func TouchHead(s *State) Multi { return setHead(s, "touch", s.Head) }

func setHead(s *State, step string, head Head) Multi {
	b := &builder{s: s, m: Multi{Step: step}}
	b.put(headPath(s.Kind), encodeHead(head), s.HeadVersion, func(s *State, r Result) {
		s.Head, s.HeadVersion, s.head.zxid = head, r.Version, r.Zxid
	})
	m, _ := b.done() // a head is small: SetOpen sees to it
	return m
}

// NextPiece is the least k above those of the pieces `<epoch>-<k>` in this State. A caller that creates several pieces counts on
// from it, and never goes back within an epoch.
func (s *State) NextPiece() int64 {
	next := int64(0)
	for name := range s.Pool {
		if epoch, k, _ := parsePair(name); epoch == s.Head.Epoch && k >= next {
			next = k + 1
		}
	}
	return next
}

// Create adds a pool piece `<epoch>-<k>` with resources that are nowhere yet; that, the caller knows (an id whose delete is
// in flight goes through Redirect). At most MaxPieceBytes, see Fit, and MaxPool pieces, see CompactPool.
func Create(s *State, k int64, ids []string) (Multi, error) {
	b, err := begin(s, "create")
	if err != nil {
		return Multi{}, err
	}
	if len(s.Pool) >= MaxPool {
		return b.fail("%d pool pieces, at most %d: compact the pool first", len(s.Pool), MaxPool)
	}
	if n := Fit(ids, MaxPieceBytes); n < len(ids) {
		return b.fail("%d ids, the first %d fill a piece of %d bytes: %w", len(ids), n, MaxPieceBytes, ErrTooLarge)
	}
	seen := make(map[string]struct{}, len(ids))
	for _, id := range ids {
		if err := CheckID(id); err != nil {
			return b.fail("%w", err)
		}
		if _, twice := seen[id]; twice {
			return b.fail("id %q: is given twice", id)
		}
		seen[id] = struct{}{}
	}
	if err := b.newPiece(k, ids); err != nil {
		return b.fail("%w", err)
	}
	return b.done()
}

// Assign moves ids from the pool to at most two lists.
func Assign(s *State, grants ...Give) (Multi, error) {
	b, err := begin(s, "assign")
	if err != nil {
		return Multi{}, err
	}
	return b.place(grants, b.takePooled)
}

// DeletePooled removes ids that are in the pool.
func DeletePooled(s *State, from ...Take) (Multi, error) {
	b, err := begin(s, "delete-pooled")
	if err != nil {
		return Multi{}, err
	}
	if _, err := b.takePooled(from); err != nil {
		return b.fail("%w", err)
	}
	return b.done()
}

// CompactPool merges small pieces into one, `<epoch>-<k>`; false when there is nothing worth merging.
func CompactPool(s *State, k int64) (Multi, bool) {
	b, err := begin(s, "compact")
	if err != nil {
		return Multi{}, false
	}
	var merged []*Piece
	size := len(listOpen + listClose)
	for _, name := range s.PoolNames() {
		p := s.Pool[name]
		if p.bytes > MaxPieceBytes/2 || size+p.bytes > MaxPieceBytes {
			continue
		}
		size += p.bytes
		merged = append(merged, p)
	}
	if len(merged) < 2 {
		return Multi{}, false
	}
	var ids []string
	for _, p := range merged {
		ids = append(ids, p.IDs...)
		b.setPiece(p, nil)
	}
	if err := b.newPiece(k, ids); err != nil {
		return Multi{}, false
	}
	m, err := b.done()
	return m, err == nil
}

// Revoke takes ids from the list of ordinal n into the flight. to has one entry an id (an ordinal, ToPool, ToDelete), or is
// nil: deletes. pod is the uid of the pod that runs the list now, as Kubernetes or the status has it; "" if unknown.
func Revoke(s *State, n int, ids []string, to []int, pod string) (Multi, error) {
	b, err := begin(s, "revoke")
	if err != nil {
		return Multi{}, err
	}
	in, err := s.changeable(n)
	if err != nil {
		return b.fail("%w", err)
	}
	if len(ids) == 0 || (to != nil && len(to) != len(ids)) {
		return b.fail("ordinal %d: %d ids with %d destinations", n, len(ids), len(to))
	}
	if err := checkTargets(to); err != nil {
		return b.fail("%w", err)
	}
	rest, err := without(in.IDs, ids)
	if err != nil {
		return b.fail("ordinal %d: %w", n, err)
	}
	times := s.NextTimes(n)
	f := Flight{Name: flightName(n, times), From: n, Times: times, Pod: pod, IDs: ids, To: slices.Clone(to), Version: -1}
	if s.Flight[f.Name] != nil {
		return b.fail("flight %s: exists", f.Name)
	}
	b.setList(in, rest)
	b.setFlight(f)
	if size := len(b.m.Ops[len(b.m.Ops)-1].Data); size > MaxFlight {
		return b.fail("flight %s: %d bytes, at most %d: %w", f.Name, size, MaxFlight, ErrTooLarge)
	}
	return b.done()
}

func checkTargets(to []int) error {
	for _, n := range to {
		if n < ToDelete || n > exact.MaxOrdinal {
			return fmt.Errorf("destination %d: want an ordinal, %d (pool) or %d (delete)", n, ToPool, ToDelete)
		}
	}
	return nil
}

// Redirect changes where ids in flight will go: a re-create of an id whose delete is in flight, a delete of what moves, another target.
func Redirect(s *State, flight string, ids []string, to int) (Multi, error) {
	b, err := begin(s, "redirect")
	if err != nil {
		return Multi{}, err
	}
	f := s.Flight[flight]
	if f == nil {
		return b.fail("flight %s: does not exist", flight)
	}
	if err := checkTargets([]int{to}); err != nil {
		return b.fail("%w", err)
	}
	if _, err := without(f.IDs, ids); err != nil {
		return b.fail("flight %s: %w", flight, err)
	}
	next, changed := *f, setOf(ids)
	next.To = make([]int, len(f.IDs))
	for i, id := range f.IDs {
		next.To[i] = f.Target(i)
		if _, ok := changed[id]; ok {
			next.To[i] = to
		}
	}
	b.setFlight(next)
	return b.done()
}

// Grant moves released ids from any number of flight pieces to at most two lists, whatever their To says, unless that is
// ToDelete. That they are released (see Released), the caller knows.
func Grant(s *State, grants ...Give) (Multi, error) {
	b, err := begin(s, "grant")
	if err != nil {
		return Multi{}, err
	}
	return b.place(grants, func(from []Take) ([][]string, error) { return b.takeFlying(from, false) })
}

// ReleaseToPool moves released ids from the flight to a new pool piece `<epoch>-<k>`.
func ReleaseToPool(s *State, k int64, from ...Take) (Multi, error) {
	b, err := begin(s, "release")
	if err != nil {
		return Multi{}, err
	}
	taken, err := b.takeFlying(from, false)
	if err == nil {
		err = b.newPiece(k, slices.Concat(taken...))
	}
	if err != nil {
		return b.fail("%w", err)
	}
	return b.done()
}

// Forget ends deletes: it removes released ids whose destination is ToDelete. A Take with nil IDs means all deletes of that piece.
func Forget(s *State, from ...Take) (Multi, error) {
	b, err := begin(s, "forget")
	if err != nil {
		return Multi{}, err
	}
	if _, err := b.takeFlying(from, true); err != nil {
		return b.fail("%w", err)
	}
	return b.done()
}

// Repair corrects `used`, `count`, a missing `tmp` and a missing or unreadable `_reload` of ordinal n, and tells no instance
// to reload: its ids did not change. It writes the list of one that another client has begun to make, and is taken to have left alone.
// False when nothing is wrong.
func Repair(s *State, n, capacity int) (Multi, bool, error) {
	b, err := begin(s, "repair")
	if err != nil {
		return Multi{}, false, err
	}
	in := s.Instances[n]
	if in == nil || capacity < 0 {
		return Multi{}, false, fmt.Errorf("repair: ordinal %d with capacity %d: has no znodes, or the capacity is negative", n, capacity)
	}
	if in.Used != len(in.IDs) || in.Capacity != capacity {
		b.add(OpSet, InstancePath(s.Kind, n), encodeData(len(in.IDs), capacity), in.DataVersion, func(s *State, r Result) {
			s.update(n, func(in *Instance) {
				in.Used, in.Capacity, in.DataVersion, in.dataZxid = len(in.IDs), capacity, r.Version, r.Zxid
			})
		})
	}
	if !in.HasTmp {
		b.add(OpCreate, tmpPath(s.Kind, n), nil, 0, func(s *State, r Result) {
			s.update(n, func(in *Instance) { in.HasTmp, in.tmpVersion = true, r.Version })
		})
	}
	if s.ReloadDamaged(n) {
		times := s.firstTimes(n)
		b.put(reloadPath(s.Kind, n), encodeReload(times), in.ReloadVersion, func(s *State, r Result) {
			s.update(n, func(in *Instance) {
				in.HasReload, in.Times, in.highest, in.ReloadVersion, in.reloadZxid = true, times, times, r.Version, r.Zxid
			})
		})
	}
	if in.Begun { // also a list that has been written, so that who began it fails if it checks the version
		list, _ := encodeIDs(nil)
		b.put(resourcesPath(s.Kind, n), list, in.ListVersion, func(s *State, r Result) {
			s.update(n, func(in *Instance) {
				in.Begun, in.newList, in.Bytes, in.Changed, in.ListVersion, in.listZxid = false, false, len(list), r.Mtime, r.Version, r.Zxid
			})
		})
	}
	if len(b.m.Ops) == 1 {
		return Multi{}, false, nil
	}
	m, err := b.done()
	return m, err == nil, err
}

// firstTimes is where a new `_reload` starts: above what there was of it and what the instance said it applied, and not below what is
// in flight from it.
func (s *State) firstTimes(n int) int64 {
	times := s.lastFlight(n)
	if in := s.Instances[n]; in != nil {
		if in.highest > 0 {
			times = max(times, in.highest+1)
		}
		if in.Status != nil {
			times = max(times, in.Status.Times+1)
		}
	}
	return times
}

// lastFlight is the greatest times of what is in flight from ordinal n; 0: nothing is.
func (s *State) lastFlight(n int) (times int64) {
	for _, f := range s.Flight {
		if f.From == n {
			times = max(times, f.Times)
		}
	}
	return times
}

// highestStatus bounds what a status may raise `_reload` to. It leaves more than enough above it.
const highestStatus = maxTimes / 2

// NextTimes is the `_reload` of the next change of the list of ordinal n: above all that there was of it, by whatever tells of that.
// Another hand may have set it back, and what the instance applied before would then be taken for a word on that change.
func (s *State) NextTimes(n int) int64 {
	in := s.Instances[n]
	times := max(in.Times, in.highest, s.lastFlight(n))
	if in.Status != nil && in.Status.Times <= highestStatus {
		times = max(times, in.Status.Times)
	}
	return times + 1
}

// ReloadDamaged says whether `_reload` of ordinal n cannot be read, or is behind what there was of it: what is in flight could then never
// be acknowledged.
func (s *State) ReloadDamaged(n int) bool {
	in := s.Instances[n]
	return in.Times < max(0, in.highest, s.lastFlight(n))
}

// AddOrdinal creates the znodes of a new instance; it is not open yet.
func AddOrdinal(s *State, n, capacity int) (Multi, error) {
	b, err := begin(s, "add-ordinal")
	if err != nil {
		return Multi{}, err
	}
	if s.Instances[n] != nil || n < 0 || n > exact.MaxOrdinal || capacity < 0 {
		return b.fail("ordinal %d with capacity %d: exists already, or is out of range", n, capacity)
	}
	times := s.firstTimes(n)
	list, _ := encodeIDs(nil)
	in := Instance{Ordinal: n, Capacity: capacity, IDs: []string{}, Bytes: len(list), Times: times, HasTmp: true, HasReload: true, statusVersion: -1}
	b.add(OpCreate, InstancePath(s.Kind, n), encodeData(0, capacity), 0, func(s *State, r Result) {
		in := in
		in.DataVersion, in.tmpVersion, in.ReloadVersion, in.ListVersion, in.Changed = r.Version, r.Version, r.Version, r.Version, r.Mtime
		s.Instances[n] = &in
	})
	b.add(OpCreate, tmpPath(s.Kind, n), nil, 0, nil)
	b.add(OpCreate, reloadPath(s.Kind, n), encodeReload(times), 0, nil)
	b.add(OpCreate, resourcesPath(s.Kind, n), list, 0, nil)
	return b.done()
}

// RemoveOrdinal deletes the znodes of an instance that is closed, owns nothing and has no status. That its pod is gone, the
// caller knows.
func RemoveOrdinal(s *State, n int) (Multi, error) {
	b, err := begin(s, "remove-ordinal")
	if err != nil {
		return Multi{}, err
	}
	in := s.Instances[n]
	switch {
	case in == nil:
		return b.fail("ordinal %d: has no znodes", n)
	case s.IsOpen(n):
		return b.fail("ordinal %d: is open", n)
	case len(in.IDs) > 0:
		return b.fail("ordinal %d: owns %d resources", n, len(in.IDs))
	case in.Live || in.Hidden:
		return b.fail("ordinal %d: has a live status", n)
	}
	for _, f := range s.Flight {
		if f.From == n {
			return b.fail("ordinal %d: %d resources are in flight from it", n, len(f.IDs))
		}
	}
	if in.statusVersion >= 0 { // a persistent leftover
		b.remove(StatusPath(s.Kind, n), in.statusVersion, nil)
	}
	if in.HasTmp {
		b.remove(tmpPath(s.Kind, n), in.tmpVersion, nil)
	}
	if in.HasReload {
		b.remove(reloadPath(s.Kind, n), in.ReloadVersion, nil)
	}
	if in.ListVersion >= 0 {
		b.remove(resourcesPath(s.Kind, n), in.ListVersion, nil)
	}
	b.remove(InstancePath(s.Kind, n), in.DataVersion, func(s *State) { delete(s.Instances, n) })
	return b.done()
}

// docName is what a kept document may be called.
var docName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)

// Keep creates or replaces the document of that name. It works also while the kind has stopped.
func StoreDoc(s *State, name string, data []byte) (Multi, error) {
	b, err := fenced(s, "keep")
	if err != nil {
		return Multi{}, err
	}
	if !docName.MatchString(name) || isProtocolName(name) {
		return b.fail("document %q: want a name like %s that the protocol does not use", name, docName)
	}
	if len(data) > MaxDocBytes {
		return b.fail("document %s: %d bytes, at most %d: %w", name, len(data), MaxDocBytes, ErrTooLarge)
	}
	data = slices.Clone(data)
	version := int32(-1)
	if doc := s.Kept[name]; doc != nil {
		version = doc.Version
	}
	b.put(docPath(s.Kind, name), data, version, func(s *State, r Result) {
		s.Kept[name] = &Doc{Data: data, Version: r.Version, zxid: r.Zxid}
	})
	return b.done()
}

// StorePlan persists a plan, compressed: commit the parts (they do not overlap), then the last Multi, which makes it the stored one. It
// carries the last part itself, so that a small plan is one write. The parts of the plan stored before stay untouched until then.
func StorePlan(s *State, id string, data []byte) (parts []Multi, last Multi, err error) {
	packed, sum, err := packPlan(data)
	if err != nil {
		return nil, Multi{}, fmt.Errorf("store-plan: %w", err)
	}
	h := planHeader{ID: id, Parts: len(packed), Sum: sum}
	if s.plan.header.ID != "" && s.plan.header.First == 0 {
		h.First = maxPlanParts
	}
	for i, part := range packed {
		final := i == len(packed)-1
		b, err := begin(s, map[bool]string{false: "plan-part", true: "store-plan"}[final])
		if err != nil {
			return nil, Multi{}, err
		}
		b.putPlanPart(h.First+i, part)
		if final {
			b.putPlan(h, &StoredPlan{ID: id, Data: slices.Clone(data)})
			last, err = b.done()
			return parts, last, err
		}
		m, err := b.done()
		if err != nil {
			return nil, Multi{}, err
		}
		parts = append(parts, m)
	}
	return nil, Multi{}, fmt.Errorf("store-plan: nothing to store")
}

// ClearPlan says that no plan runs, and keeps a short note, JSON, for the next one (PlanNote); nil: none. The parts are overwritten by
// later plans.
func ClearPlan(s *State, note []byte) (Multi, error) {
	b, err := begin(s, "clear-plan")
	if err != nil {
		return Multi{}, err
	}
	if len(note) > maxPlanNote || note != nil && !json.Valid(note) {
		return b.fail("note of %d bytes: want JSON of at most %d: %w", len(note), maxPlanNote, ErrTooLarge)
	}
	b.putPlan(planHeader{Note: note}, nil)
	return b.done()
}

// PlanNote is what ClearPlan kept, until the next plan is stored; nil: nothing.
func (s *State) PlanNote() []byte { return s.plan.header.Note }

func (b *builder) putPlanPart(k int, part []byte) {
	version, exists := b.s.plan.parts[k]
	if !exists {
		version = -1
	}
	b.put(planPartPath(b.s.Kind, k), part, version, func(s *State, r Result) {
		s.plan.parts = maps.Clone(s.plan.parts)
		s.plan.parts[k] = r.Version
	})
}

func (b *builder) putPlan(h planHeader, plan *StoredPlan) {
	b.put(planPath(b.s.Kind), encodePlanHeader(h), b.s.plan.version, func(s *State, r Result) {
		s.plan.header, s.plan.version, s.plan.zxid, s.Plan = h, r.Version, r.Zxid, plan
	})
}
