package protocol

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// machine takes random steps and compares, after each, the State with what ZooKeeper holds, and
// both with what was promised.
type machine struct {
	zk    *fake
	s     *State
	known map[string]bool // acknowledged and not yet forgotten
	next  int             // number of the next id
	k     int64
	taken map[string]int
	// committed, if set, is called after each step.
	committed func(Multi)
}

const machineCapacity = 12

func (m *machine) do(t *rapid.T, multi Multi, err error) {
	require.NoError(t, err)
	before := m.s.Clone()
	frozen := fmt.Sprint(everything(before), before.HeadVersion)
	results, err := m.zk.commit(multi)
	require.NoError(t, err)
	multi.Apply(m.s, results)
	require.Equal(t, frozen, fmt.Sprint(everything(before), before.HeadVersion), "a clone has changed")
	_, err = m.zk.commit(multi)
	require.Error(t, err, "%s can be done twice", multi.Step)
	m.taken[multi.Step]++
	if m.committed != nil {
		m.committed(multi)
	}
}

func (m *machine) check(t *rapid.T) {
	require.NoError(t, m.s.Check())
	want := make([]string, 0, len(m.known))
	for id := range m.known {
		want = append(want, id)
	}
	slices.Sort(want)
	require.Equal(t, want, append([]string{}, everything(m.s)...))
	same(t, m.zk.load(t, m.s.Kind), m.s)
	read, changed, err := Read(m.zk, m.s, clock(m.zk.zxid))
	require.NoError(t, err)
	require.False(t, changed, "what a step applies is what is read afterwards")
	same(t, read, m.s)
	require.Equal(t, len(want), m.s.Assigned()+m.s.InFlight()+m.s.Unassigned())
	for _, n := range m.s.Ordinals() {
		require.LessOrEqual(t, m.s.Instances[n].IDs.Len(), machineCapacity)
		require.Equal(t, m.s.Instances[n].IDs.Len(), m.s.Instances[n].Used)
	}
}

func some(t *rapid.T, ids []string) []string {
	n := rapid.IntRange(1, len(ids)).Draw(t, "many")
	return rapid.Permutation(ids).Draw(t, "ids")[:n]
}

func pick[T any](t *rapid.T, from []T) T {
	if len(from) == 0 {
		t.Skip("nothing there")
	}
	return rapid.SampledFrom(from).Draw(t, "which")
}

func (m *machine) lead(t *rapid.T) {
	old := m.s.Clone()
	multi, err := Lead(m.s, fmt.Sprintf("pod/%d", m.zk.zxid))
	m.do(t, multi, err)
	m.k = m.s.NextPiece()
	// Whatever the former leader would do now fails.
	if old.HeadVersion >= 0 {
		late, err := Create(old, 1<<40, []string{"late"})
		require.NoError(t, err)
		_, err = m.zk.commit(late)
		require.Error(t, err)
	}
}

func (m *machine) create(t *rapid.T) {
	ids := make([]string, rapid.IntRange(1, 5).Draw(t, "n"))
	for i := range ids {
		ids[i] = fmt.Sprintf("%d%s", m.next, rapid.SampledFrom([]string{"", "\"", "\\n", "é", "<&>", "\u2028", "\x01"}).Draw(t, "odd"))
		m.next++
	}
	multi, err := Create(m.s, m.k, ids)
	m.k++
	m.do(t, multi, err)
	for _, id := range ids {
		m.known[id] = true
	}
}

func (m *machine) room(n int) int { return machineCapacity - m.s.Instances[n].IDs.Len() }

func (m *machine) assign(t *rapid.T) {
	name, to := pick(t, m.s.PoolNames()), pick(t, m.s.Head.Open)
	ids := some(t, m.s.Pool[name].IDs.Strings())
	multi, err := Assign(m.s, Give{to, []Take{{name, ids}}})
	if len(ids) > m.room(to) {
		require.ErrorContains(t, err, "capacity")
		return
	}
	m.do(t, multi, err)
}

func (m *machine) assignTwo(t *rapid.T) {
	if len(m.s.Head.Open) < 2 {
		t.Skip("one is open")
	}
	name := pick(t, m.s.PoolNames())
	a, b := m.s.Head.Open[0], m.s.Head.Open[1]
	ids := m.s.Pool[name].IDs.Strings()
	if len(ids) < 2 || m.room(a) < 1 || m.room(b) < 1 {
		t.Skip("too few")
	}
	multi, err := Assign(m.s, Give{a, []Take{{name, ids[:1]}}}, Give{b, []Take{{name, ids[1:2]}}})
	m.do(t, multi, err)
}

func (m *machine) revoke(t *rapid.T) {
	n := pick(t, m.s.Ordinals())
	if m.s.Instances[n].IDs.Len() == 0 {
		t.Skip("empty")
	}
	ids := some(t, m.s.Instances[n].IDs.Strings())
	var to []int
	if rapid.Bool().Draw(t, "move") {
		for range ids {
			to = append(to, rapid.IntRange(ToDelete, 4).Draw(t, "to"))
		}
	}
	times := m.s.Instances[n].Times
	multi, err := Revoke(m.s, n, ids, to, "uid")
	m.do(t, multi, err)
	require.Equal(t, times+1, m.s.Instances[n].Times)
}

func (m *machine) redirect(t *rapid.T) {
	f := m.s.Flight[pick(t, m.s.FlightNames())]
	ids := some(t, f.IDs.Strings())
	to := rapid.IntRange(ToDelete, 4).Draw(t, "to")
	multi, err := Redirect(m.s, f.Name, ids, to)
	m.do(t, multi, err)
	for i, id := range m.s.Flight[f.Name].IDs.All() {
		if slices.Contains(ids, id) {
			require.Equal(t, to, m.s.Flight[f.Name].Target(i))
		} else {
			require.Equal(t, f.Target(i), m.s.Flight[f.Name].Target(i))
		}
	}
}

// flying are the ids of a flight that are, or are not, deletes.
func flying(f *Flight, deletes bool) (ids []string) {
	for i, id := range f.IDs.All() {
		if (f.Target(i) == ToDelete) == deletes {
			ids = append(ids, id)
		}
	}
	return ids
}

func (m *machine) grant(t *rapid.T) {
	to := pick(t, m.s.Head.Open)
	var from []Take
	count := 0
	for _, name := range m.s.FlightNames() {
		if ids := flying(m.s.Flight[name], false); len(ids) > 0 && count+len(ids) <= m.room(to) {
			from = append(from, Take{name, ids})
			count += len(ids)
		}
	}
	if count == 0 {
		t.Skip("nothing to grant")
	}
	multi, err := Grant(m.s, Give{to, from})
	m.do(t, multi, err)
}

func (m *machine) release(t *rapid.T) {
	name := pick(t, m.s.FlightNames())
	ids := flying(m.s.Flight[name], false)
	if len(ids) == 0 {
		_, err := ReleaseToPool(m.s, m.k, Take{name, nil})
		require.Error(t, err)
		return
	}
	multi, err := ReleaseToPool(m.s, m.k, Take{name, some(t, ids)})
	m.k++
	m.do(t, multi, err)
}

func (m *machine) forget(t *rapid.T) {
	name := pick(t, m.s.FlightNames())
	ids := flying(m.s.Flight[name], true)
	multi, err := Forget(m.s, Take{Name: name})
	if len(ids) == 0 {
		require.Error(t, err)
		return
	}
	m.do(t, multi, err)
	for _, id := range ids {
		delete(m.known, id)
	}
}

func (m *machine) deletePooled(t *rapid.T) {
	name := pick(t, m.s.PoolNames())
	ids := some(t, m.s.Pool[name].IDs.Strings())
	multi, err := DeletePooled(m.s, Take{name, ids})
	m.do(t, multi, err)
	for _, id := range ids {
		delete(m.known, id)
	}
}

func (m *machine) compact(t *rapid.T) {
	if multi, ok := CompactPool(m.s, m.k); ok {
		m.k++
		m.do(t, multi, nil)
		require.Len(t, m.s.Pool, 1)
	} else {
		require.LessOrEqual(t, len(m.s.Pool), 1)
	}
}

func (m *machine) addOrdinal(t *rapid.T) {
	n := rapid.IntRange(0, 4).Draw(t, "n")
	multi, err := AddOrdinal(m.s, n, machineCapacity)
	if m.s.Instances[n] != nil {
		require.Error(t, err)
		return
	}
	m.do(t, multi, err)
}

func (m *machine) removeOrdinal(t *rapid.T) {
	n := pick(t, m.s.Ordinals())
	multi, err := RemoveOrdinal(m.s, n)
	from := slices.ContainsFunc(m.s.FlightNames(), func(name string) bool { return m.s.Flight[name].From == n })
	if m.s.IsOpen(n) || m.s.Instances[n].IDs.Len() > 0 || from {
		require.Error(t, err)
		return
	}
	m.do(t, multi, err)
}

func (m *machine) open(t *rapid.T) {
	var open []int
	for _, n := range m.s.Ordinals() {
		if rapid.Bool().Draw(t, "open") {
			open = append(open, n)
		}
	}
	multi, err := SetOpen(m.s, open)
	m.do(t, multi, err)
}

// meddle breaks what Repair mends.
func (m *machine) meddle(t *rapid.T) {
	n := pick(t, m.s.Ordinals())
	switch rapid.IntRange(0, 2).Draw(t, "how") {
	case 0:
		m.zk.put(InstancePath(m.s.Kind, n), rapid.SampledFrom([]string{`{"used":99,"count":1}`, `gone`, ``}).Draw(t, "data"))
	case 1:
		delete(m.zk.nodes, TmpPath(m.s.Kind, n))
	case 2:
		delete(m.zk.nodes, ReloadPath(m.s.Kind, n))
	}
	next, changed, err := Read(m.zk, m.s, clock(m.zk.zxid))
	require.NoError(t, err)
	require.True(t, changed)
	m.s = next
	times, ids := m.s.Instances[n].Times, m.s.Instances[n].IDs.Strings()
	multi, needed, err := Repair(m.s, n, machineCapacity)
	require.True(t, needed)
	m.do(t, multi, err)
	if times >= 0 {
		require.Equal(t, times, m.s.Instances[n].Times)
	}
	require.Equal(t, ids, m.s.Instances[n].IDs.Strings())
	_, needed, err = Repair(m.s, n, machineCapacity)
	require.NoError(t, err)
	require.False(t, needed)
}

func TestRandomStepsLoseNone(t *testing.T) {
	taken := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{zk: newFake(), s: NewState("Thing"), known: map[string]bool{}, taken: taken}
		m.lead(t)
		t.Repeat(map[string]func(*rapid.T){
			"": m.check, "lead": m.lead, "create": m.create, "assign": m.assign, "assignTwo": m.assignTwo, "revoke": m.revoke,
			"redirect": m.redirect, "grant": m.grant, "release": m.release, "forget": m.forget, "deletePooled": m.deletePooled,
			"compact": m.compact, "addOrdinal": m.addOrdinal, "removeOrdinal": m.removeOrdinal, "open": m.open, "meddle": m.meddle,
		})
	})
	if testing.Short() {
		return // too few for each step to be taken
	}
	for _, step := range []string{
		"lead", "create", "assign", "revoke", "redirect", "grant", "release", "forget", "delete-pooled",
		"compact", "add-ordinal", "remove-ordinal", "open", "repair",
	} {
		require.NotZero(t, taken[step], "step %s was never taken", step)
	}
}

// Of two steps from one State that overlap, only one can be done.
func TestOverlappingStepsExclude(t *testing.T) {
	f := newFake()
	s := led(t, f, 10, 0, 1)
	m, err := Create(s, 0, names("a", 4))
	f.must(t, s, m, err)
	first, err := Assign(s, Give{0, []Take{{"1-0", []string{"a0"}}}})
	require.NoError(t, err)
	second, err := Assign(s, Give{1, []Take{{"1-0", []string{"a1"}}}})
	require.NoError(t, err)
	require.True(t, first.Overlaps(second))
	closing, err := SetOpen(s, []int{0})
	require.NoError(t, err)
	require.True(t, second.Overlaps(closing))
	f.must(t, s, first, nil)
	_, err = f.commit(second)
	require.ErrorContains(t, err, "version")

	// What was decided while 1 was open fails once 1 is closed.
	late, err := Assign(s, Give{1, []Take{{"1-0", []string{"a1"}}}})
	require.NoError(t, err)
	closing, err = SetOpen(s, []int{0})
	f.must(t, s, closing, err)
	_, err = f.commit(late)
	require.ErrorContains(t, err, "head")
}
