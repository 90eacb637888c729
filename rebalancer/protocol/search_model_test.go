package protocol

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
)

// This file is a small world in which every interleaving can be tried (search_test.go does): one or
// two resources, two leaders, two instances, a client, and a server that is the double of
// fake_test.go.
//
// Real: the steps (Lead, SetOpen, Create, Assign, Revoke, Redirect, Grant, ReleaseToPool, Forget,
// DeletePooled, TouchHead, Released), the codec, and the versions that each transaction checks.
// Played here: the leaders' policy (what to do next), rule 9 as zk's batch.settle does it, the
// instances by docs/formats.md, Kubernetes, and the client that repeats until it is answered.
//
// Atomic here, because a delay would show nothing more: the read of everything; the sending of a
// transaction and its answer, unless that is lost; the reading of a list and the stopping of what
// is not in it. Everything else interleaves freely. A leader's State and orders are as old as its
// last look: a leader that lost the head goes on until it notices.
//
// Ordinal 1 fences itself and ordinal 0 does not. Time is not modelled: an absence that was looked
// at is long enough, and a fencing instance has stopped before its session expires. Nor are:
// foreign edits, damaged znodes, statuses deleted by hand, capacity and bytes, ordinals added and
// removed, stored plans, and a pod that runs on although Kubernetes says that it is gone.
//
// One foreign hand there is (limits.writes): another client has begun to make ordinal 1, without
// data, and writes its list and its `_reload` when and in what order it pleases, whatever their
// versions. That it never does, and we make the ordinal whole, is not modelled.

const (
	ordinalsN = 2
	leadersN  = 2
)

// bugs are the mistakes that the search must find; the zero value makes none.
type bugs struct {
	noHeadCheck      bool // grants and assigns do not check the head
	earlyGrant       bool // what is in flight is given on at once
	lostIsFailed     bool // a lost answer counts as "not done"
	drainGivesUp     bool // an ordinal counts as drained though it owns something
	versionsIgnored  bool // transactions check no version
	listBeforeReload bool // an instance reads `resources` before `_reload`
	absentIsReleased bool // no status: released
	earlyForget      bool // a deleted id is forgotten, and may be created elsewhere, before it is released
	createInFlight   bool // a deleted id is created again beside its flight record
	noTouch          bool // a settled request does not move the head
	staleAnswer      bool // "exists already" is answered from a State that may be old
	goneIsEnough     bool // the recorded pod is gone: released, whatever runs there now
	oldPicture       bool // what was known of the pods before the revoke counts
	ownedAlone       bool // a pod that was orphaned is not seen
	oldAbsence       bool // an absence seen before the revoke counts
	fencesAssumed    bool // every instance is taken for one that fences itself
	ackBeforeStop    bool // an instance acknowledges before it stops
	begunIsOurs      bool // an ordinal that another client has begun to make is taken for one to be repaired
	listIsEnough     bool // and is open as soon as its list is written
}

// limits keep the world finite: how often each thing may happen from the start of the search.
type limits struct {
	leads, faults int
	flips         int // of the client's mind, over all resources
	orders        int // changes of which ordinals stay
	writes        int // of the client that has begun ordinal 1: 2; 1 if it has written the list; 0 if we made it ourselves
}

// process runs the resources of one ordinal. Its loop: own status, read `_reload`, read `resources`
// and stop what was removed, acknowledge, start what is new.
type process struct {
	uid       int  // the ordinal's uid-th pod, from 1
	none      bool // there is no pod: its successor, with the next uid, has not been created yet
	connected bool // its session lives
	applied   int64
	current   bool
	at        int // how far it is in its loop
	times     int64
	list      ids
	running   ids
}

const (
	atStart = iota
	atReload
	atList
	atAcknowledged
)

// ephemeral is `tmp/status`. It is owned if its session is the process's present one.
type ephemeral struct {
	there, owned bool
	uid          int
	times        int64
}

// ids is a set of resources, a bit each.
type ids uint8

// leader is one replica that may believe that it leads.
type leader struct {
	name   int
	view   *State // nil: it does not believe so
	stay   ids    // ordinals; its orders, as old as its last look
	piece  int64
	heard  bool            // the view was true at some time after the client last spoke
	looked [ordinalsN]bool // the statuses and pods were looked at after the last revoke
	pods   [ordinalsN]int  // the ordinal's pod at the last look, 0: it had none
	last   [ordinalsN]int  // the pod whose status was seen last, 0: none
	asked  *request        // its answer was lost
}

// request is a transaction whose answer was lost. It was settled if results is not nil, and then
// the head must move.
type request struct {
	job
	results []Result
}

// job is a transaction and whose wish it fulfils.
type job struct {
	m       Multi
	wish    int // resource, -1: of no instance
	created bool
	revokes int // ordinal, -1: none
}

// scene is one state of everything. It is copied; what it points to does not change.
type scene struct {
	*ledger
	processes [ordinalsN]process
	statuses  [ordinalsN]ephemeral
	leaders   [leadersN]leader
	late      []Multi         // requests that may still come to the server
	want      ids             // what the client wants to exist
	answered  ids             // whose last wish was answered
	safe      ids             // whose create was answered and no delete asked for since
	stay      ids             // ordinals that the scaler wants to stay
	wrote     map[string]bool // what the client that has begun ordinal 1 has written
	drained   ids             // ordinals that a reader verified to be empty: their pods may go
	left      limits
}

// ledger is what the server holds, and what follows from that alone. There is one for each content.
type ledger struct {
	nodes   map[string]znode
	state   *State // without statuses
	encoded string
	fault   string // an id in two places
	all     ids
	lists   [ordinalsN]ids
}

// model is what does not change during a search.
type model struct {
	t         require.TestingT
	resources []string
	bugs      bugs
	ledgers   map[string]*ledger
	conflicts int // transactions refused though the head was right
}

func (s ids) has(i int) bool    { return s&(1<<i) != 0 }
func (s ids) with(i int) ids    { return s | 1<<i }
func (s ids) without(i int) ids { return s &^ (1 << i) }
func uid(n, k int) string       { return fmt.Sprintf("%d.%d", n, k) }
func (m *model) set(all []string) ids {
	s := ids(0)
	for _, id := range all {
		s = s.with(slices.Index(m.resources, id))
	}
	return s
}

func (s ids) ordinals() (list []int) {
	for n := range ordinalsN {
		if s.has(n) {
			list = append(list, n)
		}
	}
	return list
}

// start is a world in which leader 0 leads, both ordinals are open and run nothing, and no client
// wants anything yet.
func (m *model) start(left limits) scene {
	f, ours := newFake(), []int{0, 1}
	if left.writes > 0 {
		ours = ours[:1]
		for _, path := range []string{InstancePath(thing, 1), ResourcesPath(thing, 1), ReloadPath(thing, 1)} {
			f.nodes[path] = znode{}
		}
	}
	if left.writes == 1 {
		f.put(ResourcesPath(thing, 1), `{"ids":[]}`)
	}
	s := led(m.t, f, 10, ours...)
	w := scene{ledger: m.ledger(f.nodes), answered: ^ids(0), stay: 1<<ordinalsN - 1, left: left}
	if left.writes == 1 {
		// else the search is long
		w.wrote, w.stay = map[string]bool{ResourcesPath(thing, 1): true}, 1<<1
	}
	w.processes[1] = process{uid: 1, none: true}
	for _, n := range ours {
		times := s.Instances[n].Times
		w.processes[n] = process{uid: 1, connected: true, applied: times, current: true}
		w.statuses[n] = ephemeral{there: true, owned: true, uid: 1, times: times}
	}
	for l := range leadersN {
		w.leaders[l].name = l
	}
	l := &w.leaders[0]
	m.lead(&w, l)
	w.want, w.answered = 1<<len(m.resources)-1, 0
	for j, ok := m.next(&w, l); ok; j, ok = m.next(&w, l) {
		m.send(&w, l, j)
	}
	for _, n := range ours {
		for m.run(&w, n) {
		}
	}
	m.look(&w, l)
	w.left = left
	return w
}

// write is what the client that has begun ordinal 1 writes next to one of its znodes, whatever the
// version; false if it has done so.
func (m *model) write(w *scene, path, data string) bool {
	node := w.nodes[path]
	if w.left.writes == 0 || w.wrote[path] {
		return false
	}
	w.left.writes--
	w.wrote = maps.Clone(w.wrote)
	if w.wrote == nil {
		w.wrote = map[string]bool{}
	}
	w.wrote[path] = true
	nodes := maps.Clone(w.nodes)
	nodes[path] = znode{data: []byte(data), version: node.version + 1}
	w.ledger = m.ledger(nodes)
	return true
}

// load is the State as the server has it.
func (m *model) load(w *scene) *State {
	s := w.state.Clone()
	for n, in := range s.Instances {
		if in.Begun && (m.bugs.begunIsOurs || m.bugs.listIsEnough && !in.newList) {
			s.update(n, func(in *Instance) { in.Begun = false })
		}
	}
	for n, e := range w.statuses {
		if e.there {
			s.update(n, func(in *Instance) {
				in.Live, in.Status = true, &Status{Times: e.times, Pod: uid(n, e.uid), Fences: n == 1, SessionMs: 4000}
			})
		}
	}
	return s
}

// ledger is the one of that content.
func (m *model) ledger(nodes map[string]znode) *ledger {
	var b []byte
	for _, path := range slices.Sorted(maps.Keys(nodes)) {
		b = append(append(append(append(b, path...), 0), nodes[path].data...), 0)
	}
	encoded := len(b)
	for _, path := range slices.Sorted(maps.Keys(nodes)) {
		b = binary.AppendVarint(b, int64(nodes[path].version))
	}
	if known := m.ledgers[string(b)]; known != nil {
		return known
	}
	s := (&fake{nodes: nodes}).load(m.t, thing)
	c := &ledger{nodes: nodes, state: s, encoded: string(b[:encoded]), all: m.set(everything(s))}
	if err := s.Check(); err != nil {
		c.fault = err.Error()
	}
	for n := range ordinalsN {
		c.lists[n] = m.set(s.Instances[n].IDs.Strings())
	}
	m.ledgers[string(b)] = c
	return c
}

// commit brings a transaction to the server.
func (m *model) commit(w *scene, multi Multi) ([]Result, error) {
	if m.bugs.versionsIgnored {
		multi.Ops = slices.Clone(multi.Ops)
		for i, op := range multi.Ops {
			multi.Ops[i].Version = w.nodes[op.Path].version
		}
	}
	f := &fake{nodes: w.nodes}
	results, err := f.commit(multi)
	if err == nil {
		w.ledger = m.ledger(f.nodes)
	}
	return results, err
}

// ---- the leaders

// lead takes the head and reads everything, whatever the leader believed before: it may have been
// restarted.
func (m *model) lead(w *scene, l *leader) {
	multi, err := Lead(m.load(w), fmt.Sprintf("%d/%d", l.name, w.left.leads))
	require.NoError(m.t, err)
	_, err = m.commit(w, multi)
	require.NoError(m.t, err)
	*l = leader{name: l.name}
	m.look(w, l)
	l.piece = l.view.NextPiece()
}

// look reads everything. A leader that finds another's head leads no more.
func (m *model) look(w *scene, l *leader) {
	s := m.load(w)
	if l.view != nil && s.Head.Holder != l.view.Head.Holder {
		*l = leader{name: l.name}
		return
	}
	l.view, l.stay, l.heard = s, w.stay, true
	for n := range ordinalsN {
		l.looked[n], l.pods[n] = true, 0
		if p := w.processes[n]; !p.none {
			l.pods[n] = p.uid
		}
		if w.statuses[n].there {
			l.last[n] = w.statuses[n].uid
		}
	}
}

// send commits a job of a leader, and learns from the answer.
func (m *model) send(w *scene, l *leader, j job) {
	results, err := m.commit(w, j.m)
	if err != nil {
		if !strings.Contains(err.Error(), "/head: version") {
			m.conflicts++
		}
		*l = leader{name: l.name} // fenced, or to read anew: both begin with taking the head
		return
	}
	m.done(w, l, j, results)
}

func (m *model) done(w *scene, l *leader, j job, results []Result) {
	l.view = l.view.Clone()
	j.m.Apply(l.view, results)
	l.heard = true
	if j.revokes >= 0 {
		l.looked[j.revokes] = false
	}
	if j.wish >= 0 && w.want.has(j.wish) == j.created {
		m.answer(w, j.wish)
	}
}

func (m *model) answer(w *scene, r int) {
	w.answered = w.answered.with(r)
	if w.want.has(r) {
		w.safe = w.safe.with(r)
	}
}

// lose sends a job whose answer is lost: before the server, where it may come to later, or behind
// it.
func (m *model) lose(w *scene, l *leader, j job, before bool) {
	if before {
		w.late = append(slices.Clone(w.late), j.m)
	} else if _, err := m.commit(w, j.m); err != nil {
		*l = leader{name: l.name} // what refused it is true for ever: the next request would say so
		return
	}
	if !m.bugs.lostIsFailed {
		l.asked = &request{job: j}
	}
}

// settle is rule 9: the same again, then a comparison of what is there.
func (m *model) settle(w *scene, l *leader) {
	results, err := m.commit(w, l.asked.m)
	if err != nil {
		var done bool
		if results, done = m.compare(w, l.asked.m); !done {
			*l = leader{name: l.name}
			return
		}
	}
	l.asked = &request{l.asked.job, results}
	if m.bugs.noTouch || l.asked.m.MovesHead() {
		m.done(w, l, l.asked.job, results)
		l.asked = nil
	}
}

func (m *model) compare(w *scene, multi Multi) ([]Result, bool) {
	results := make([]Result, len(multi.Ops))
	for i, op := range multi.Ops {
		node, exists := w.nodes[op.Path]
		version := int32(0)
		if op.Kind == OpSet {
			version = op.Version + 1
		}
		switch op.Kind {
		case OpCheck:
			results[i].Version = op.Version
			continue
		case OpDelete:
			if exists {
				return nil, false
			}
		default:
			if !exists || node.version != version || !bytes.Equal(node.data, op.Data) {
				return nil, false
			}
		}
		results[i] = Result{Version: version, Zxid: node.zxid}
	}
	return results, true
}

// touch moves the head, so that a late copy of what was settled can do nothing.
func (m *model) touch(w *scene, l *leader) {
	a := l.asked
	l.asked = nil
	multi := TouchHead(l.view)
	results, err := m.commit(w, multi)
	m.done(w, l, a.job, a.results) // also when another has the head: what was settled was done
	if err != nil {
		*l = leader{name: l.name}
		return
	}
	multi.Apply(l.view, results)
}

// next is the policy: the first thing to do, by the leader's State and orders. Without a
// transaction and with a wish, it is an answer; without both there is nothing to do.
func (m *model) next(w *scene, l *leader) (job, bool) {
	v := l.view
	for _, n := range v.Ordinals() {
		if in := v.Instances[n]; !in.Begun && (in.Used != in.IDs.Len() || in.Times < 0) {
			multi, _, err := Repair(v, n, 10)
			return m.job(multi, err)
		}
	}
	open := slices.DeleteFunc(l.stay.ordinals(), func(n int) bool { return v.Instances[n].Begun })
	if !slices.Equal(open, v.Head.Open) {
		return m.job(SetOpen(v, open))
	}
	if j, ok := m.land(w, l); ok {
		return j, true
	}
	for r := range m.resources {
		if j, ok := m.serve(w, l, r); ok {
			return j, true
		}
	}
	return m.place(w, l)
}

func (m *model) job(multi Multi, err error) (job, bool) {
	require.NoError(m.t, err)
	if name := multi.Step; m.bugs.noHeadCheck && (name == "grant" || name == "assign") {
		multi.Ops = slices.Clone(multi.Ops)
		multi.Ops[0] = Op{Kind: OpCheck, Path: multi.Ops[1].Path, Version: multi.Ops[1].Version}
	}
	return job{m: multi, wish: -1, revokes: -1}, true
}

// land ends flights that are released.
func (m *model) land(w *scene, l *leader) (job, bool) {
	v := l.view
	for _, name := range v.FlightNames() {
		f := v.Flight[name]
		released := m.released(w, l, f)
		for i, id := range f.IDs.All() {
			to := f.Target(i)
			switch {
			case to == ToDelete && (released || m.bugs.earlyForget):
				return m.job(Forget(v, Take{Name: name}))
			case !released || to == ToDelete:
			case to >= 0 && v.IsOpen(to):
				return m.job(Grant(v, Give{to, []Take{{name, []string{id}}}}))
			default:
				j, ok := m.job(ReleaseToPool(v, l.piece, Take{name, []string{id}}))
				l.piece++
				return j, ok
			}
		}
	}
	return job{}, false
}

// released is rule 6. What a leader knew when it revoked was as old as its last look: a pod may
// have come since, or a status come back, and read the list. So what the rule is told of a pod that
// is gone and of an absence must have been looked at after the revoke.
func (m *model) released(w *scene, l *leader, f *Flight) bool {
	n, status := f.From, l.view.Instances[f.From].Status
	if m.bugs.earlyGrant || m.bugs.absentIsReleased && status == nil {
		return true
	}
	absence := Absence{}
	if l.last[n] > 0 {
		absence.Last = &Status{Pod: uid(n, l.last[n]), Fences: n == 1 || m.bugs.fencesAssumed, SessionMs: 4000}
	}
	if status == nil {
		absence.For = time.Hour
	}
	pod, present := Fate{}, m.podOf(l, n)
	if f.Pod != present && !m.bugs.goneIsEnough {
		pod.Successor = present
	}
	if l.looked[n] || m.bugs.oldPicture {
		pod.Gone = f.Pod != present || present == "" && status == nil
	}
	ok, rule := Released(f, status, pod, absence)
	return ok && (rule != "iii" || l.looked[n] || m.bugs.oldAbsence)
}

// serve does what the client wants of one resource.
func (m *model) serve(w *scene, l *leader, r int) (job, bool) {
	if w.answered.has(r) {
		return job{}, false
	}
	id, wanted, v := m.resources[r], w.want.has(r), l.view
	mine := func(multi Multi, err error) (job, bool) {
		j, ok := m.job(multi, err)
		j.wish, j.created = r, wanted
		return j, ok
	}
	piece, flight, list := "", "", -1
	for _, p := range v.places() {
		switch {
		case p.ids.Index(id) < 0:
		case p.piece != nil:
			piece = p.name
		case p.flight != nil:
			flight = p.name
		default:
			list = p.instance.Ordinal
		}
	}
	dying := flight != "" && v.Flight[flight].Target(slices.Index(v.Flight[flight].IDs.Strings(), id)) == ToDelete
	switch {
	case wanted && (piece == "" && flight == "" && list < 0 || dying && m.bugs.createInFlight):
		j, ok := mine(Create(v, l.piece, []string{id}))
		l.piece++
		return j, ok
	case dying == wanted && flight != "":
		to := ToDelete
		if wanted {
			to = ToPool
		}
		return mine(Redirect(v, flight, []string{id}, to))
	case !wanted && piece != "":
		return mine(DeletePooled(v, Take{piece, []string{id}}))
	case !wanted && list >= 0:
		j, ok := mine(Revoke(v, list, []string{id}, nil, m.pod(l, list)))
		j.revokes = list
		return j, ok
	case l.heard || m.bugs.staleAnswer:
		return job{wish: r}, true
	}
	return job{}, false
}

// pod is the uid that a revoke records: the status has it, or Kubernetes; "" if neither does.
func (m *model) pod(l *leader, n int) string {
	if status := l.view.Instances[n].Status; status != nil {
		return status.Pod
	}
	return m.podOf(l, n)
}

// podOf is the ordinal's pod by the leader's pod list, "" if it has none.
func (m *model) podOf(l *leader, n int) string {
	if l.pods[n] == 0 {
		return ""
	}
	return uid(n, l.pods[n])
}

// place assigns the pool, empties closed ordinals and evens out the open ones.
func (m *model) place(w *scene, l *leader) (job, bool) {
	v := l.view
	least, most := -1, -1
	for _, n := range v.Head.Open {
		if least < 0 || v.Instances[n].IDs.Len() < v.Instances[least].IDs.Len() {
			least = n
		}
		if most < 0 || v.Instances[n].IDs.Len() > v.Instances[most].IDs.Len() {
			most = n
		}
	}
	if names := v.PoolNames(); len(names) > 0 && least >= 0 {
		return m.job(Assign(v, Give{least, []Take{{Name: names[0]}}}))
	}
	revoke := func(n int, ids []string, to int) (job, bool) {
		targets := slices.Repeat([]int{to}, len(ids))
		j, ok := m.job(Revoke(v, n, ids, targets, m.pod(l, n)))
		j.revokes = n
		return j, ok
	}
	for _, n := range v.Ordinals() {
		if in := v.Instances[n]; in.IDs.Len() > 0 && !v.IsOpen(n) {
			return revoke(n, in.IDs.Strings(), max(least, ToPool))
		}
	}
	if least >= 0 && v.Instances[most].IDs.Len() >= v.Instances[least].IDs.Len()+2 {
		return revoke(most, v.Instances[most].IDs.Strings()[:1], least)
	}
	return job{}, false
}

// settleDown sets what follows from the rest: it keeps scenes apart that differ in what no longer
// matters.
func (m *model) settleDown(w *scene) {
	for i := range w.leaders {
		l := &w.leaders[i]
		if l.view == nil {
			continue
		}
		deposed := l.view.HeadVersion != w.state.HeadVersion
		if deposed && l.asked == nil && !m.bugs.noHeadCheck && !m.bugs.versionsIgnored && !m.bugs.staleAnswer {
			*l = leader{name: l.name} // whatever it sends is refused, and it may answer nothing
			continue
		}
		l.heard = l.heard || w.answered == ^ids(0)
		for n := range ordinalsN {
			if n == 0 && !m.bugs.fencesAssumed {
				l.last[n] = 0
			}
		}
		if !deposed {
			m.verify(w)
		}
	}
	for n := range ordinalsN {
		if w.state.IsOpen(n) {
			w.drained = w.drained.without(n)
		}
	}
	w.late = slices.DeleteFunc(slices.Clone(w.late), func(multi Multi) bool { return m.hopeless(w, multi) })
}

// verify is the drain's end, a synced read by the one who leads: from then on a closed ordinal's
// pod may go. It is done as soon as it can be, since that is when it promises most.
func (m *model) verify(w *scene) {
	for n := range ordinalsN {
		empty := w.lists[n] == 0 && !slices.ContainsFunc(w.state.FlightNames(), func(name string) bool { return w.state.Flight[name].From == n })
		if !w.state.IsOpen(n) && (empty || m.bugs.drainGivesUp) {
			w.drained = w.drained.with(n)
		}
	}
}

// ---- the instances

// run takes one step of an ordinal's process; false when it waits.
func (m *model) run(w *scene, n int) bool {
	p, e := &w.processes[n], &w.statuses[n]
	if p.at == atAcknowledged { // needs no server
		p.running, p.at, p.current = p.list, atStart, true
		return true
	}
	if !p.connected { // nor is a pod that is not there
		return false
	}
	switch {
	case !e.there:
		*e = ephemeral{there: true, owned: true, uid: p.uid, times: p.applied}
		p.at = atStart
		return true
	case !e.owned && e.uid != p.uid:
		return false
	case !e.owned:
		*e = ephemeral{}
		return true
	}
	reload, list := w.state.Instances[n].Times, w.lists[n]
	if reload < 0 {
		return false
	}
	switch p.at {
	case atStart:
		if p.current && reload == p.applied {
			return false
		}
		p.at, p.times = atReload, reload
		if m.bugs.listBeforeReload {
			p.times = 0
			m.take(p, list)
		}
	case atReload:
		p.at = atList
		if m.bugs.listBeforeReload {
			p.times = reload
		} else {
			m.take(p, list)
		}
	case atList:
		e.times, p.applied, p.at = p.times, p.times, atAcknowledged
	}
	return true
}

// take stops what is not in the list.
func (m *model) take(p *process, list ids) {
	p.list = list
	if !m.bugs.ackBeforeStop {
		p.running &= list
	}
}

// restart begins a new process in the ordinal's pod.
func restart(w *scene, n int) {
	w.processes[n], w.statuses[n].owned = process{uid: w.processes[n].uid, connected: true}, false
}

// remove ends the ordinal's pod and with it the process; restart begins the next one.
func remove(w *scene, n int) {
	w.processes[n], w.statuses[n].owned = process{uid: w.processes[n].uid + 1, none: true}, false
}

// disconnect loses the session; what is acknowledged will still be started.
func disconnect(w *scene, n int) {
	p := &w.processes[n]
	p.connected, w.statuses[n].owned = false, false
	if p.at != atAcknowledged {
		p.at = atStart
	}
}

// fence is what a fencing instance has done before its session ends.
func fence(w *scene, n int) {
	if p := &w.processes[n]; n == 1 && !p.connected {
		p.running, p.at, p.current = 0, atStart, false
	}
}

// ---- every state

// violation says what must not be; "" if all is well.
func (m *model) violation(w *scene) string {
	for n := range ordinalsN {
		if w.drained.has(n) && w.lists[n] != 0 {
			return fmt.Sprintf("ordinal %d was verified to be drained, and owns %s", n, m.names(w.lists[n]))
		}
	}
	if both := w.processes[0].running & w.processes[1].running; both != 0 {
		return "two instances run " + m.names(both)
	}
	if lost := w.safe &^ w.all; lost != 0 {
		return "lost: " + m.names(lost)
	}
	return w.fault
}

func (m *model) names(s ids) string {
	var list []string
	for r, id := range m.resources {
		if s.has(r) {
			list = append(list, id)
		}
	}
	return strings.Join(list, ", ")
}

// hopeless says that a late request can never be done any more: a version that has passed does not
// come back.
func (m *model) hopeless(w *scene, multi Multi) bool {
	return !m.bugs.versionsIgnored && slices.ContainsFunc(multi.Ops, func(op Op) bool {
		node, exists := w.nodes[op.Path]
		return op.Kind != OpCreate && (!exists || node.version != op.Version)
	})
}

// encode appends all that decides how a world goes on. Versions count only by how far they are from
// the present ones.
func (w *scene) encode(b []byte) []byte {
	b = append(b, w.encoded...)
	for n := range ordinalsN {
		p, e := w.processes[n], w.statuses[n]
		b = append(b, byte(p.uid), byte(p.applied), byte(p.at), byte(p.times), byte(p.list), byte(p.running), byte(e.uid), byte(e.times),
			flags(p.connected, p.current, e.there, e.owned, p.none))
	}
	b = append(b, byte(w.want), byte(w.answered), byte(w.safe), byte(w.stay), byte(w.drained),
		byte(w.left.leads), byte(w.left.faults), byte(w.left.flips), byte(w.left.orders), byte(w.left.writes))
	b = append(b, flags(w.wrote[ResourcesPath(thing, 1)], w.wrote[ReloadPath(thing, 1)]))
	for i := range w.leaders {
		b = w.leaders[i].encode(w, b)
	}
	for _, multi := range w.late {
		b = encodeMulti(w, append(b, 'L'), multi)
	}
	return b
}

func flags(all ...bool) (b byte) {
	for i, on := range all {
		if on {
			b |= 1 << i
		}
	}
	return b
}

func (l *leader) encode(w *scene, b []byte) []byte {
	if l.view == nil {
		return append(b, '-')
	}
	b = append(b, '+', byte(l.stay), byte(l.piece), flags(l.heard, l.looked[0], l.looked[1]), byte(l.last[0]), byte(l.last[1]), byte(l.pods[0]), byte(l.pods[1]))
	b = l.view.encode(w, b)
	if a := l.asked; a != nil {
		b = encodeMulti(w, append(b, '?', byte(a.wish), flags(a.created, a.results != nil), byte(a.revokes)), a.m)
	}
	return b
}

func age(w *scene, b []byte, path string, version int32) []byte {
	node, exists := w.nodes[path]
	if !exists {
		return append(b, 0xff)
	}
	return binary.AppendVarint(b, int64(node.version-version))
}

func (s *State) encode(w *scene, b []byte) []byte {
	b = age(w, append(b, encodeHead(s.Head)...), HeadPath(s.Kind), s.HeadVersion)
	for _, n := range s.Ordinals() {
		in := s.Instances[n]
		b = append(b, 'i', byte(n), byte(in.Times), flags(in.Begun))
		b = age(w, b, ResourcesPath(s.Kind, n), in.ListVersion)
		b = encodeAll(b, in.IDs.Strings())
		if in.Status != nil {
			b = append(append(b, in.Status.Pod...), byte(in.Status.Times))
		}
	}
	for _, name := range s.PoolNames() {
		b = age(w, append(append(b, 'p'), name...), PiecePath(s.Kind, name), s.Pool[name].Version)
		b = encodeAll(b, s.Pool[name].IDs.Strings())
	}
	for _, name := range s.FlightNames() {
		f := s.Flight[name]
		b = age(w, append(append(append(b, 'f'), name...), f.Pod...), FlightPath(s.Kind, name), f.Version)
		b = encodeAll(b, f.IDs.Strings())
		for i := range f.IDs.Len() {
			b = strconv.AppendInt(b, int64(f.Target(i)), 10)
		}
	}
	return b
}

func encodeAll(b []byte, all []string) []byte {
	b = append(b, byte(len(all)))
	for _, id := range all {
		b = append(append(b, id...), 0)
	}
	return b
}

func encodeMulti(w *scene, b []byte, multi Multi) []byte {
	for _, op := range multi.Ops {
		b = append(append(append(b, byte(op.Kind)), op.Path...), 0)
		b = age(w, append(append(b, op.Data...), 0), op.Path, op.Version)
	}
	return b
}
