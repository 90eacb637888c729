package zk

import (
	"testing"

	"github.com/go-zookeeper/zk"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/stretchr/testify/require"
)

// A status that may not be read is no status, and no absence either, of that instance alone.
func TestAHiddenStatusIsNoStatus(t *testing.T) {
	o := owning(t)
	c, s := leading(t, o.servers(), 2, 5)
	o.status(t, 0, `{"times":0,"pod":"uid-0"}`)
	o.status(t, 1, `{"times":0,"pod":"uid-1"}`)
	s, _, err := c.Read(patient(t), thing, s)
	require.NoError(t, err)
	require.Equal(t, "uid-0", s.Instances[0].Status.Pod)

	o.lock(t, protocol.StatusPath(thing, 0), 0)
	_, err = o.Set(o.root+protocol.StatusPath(thing, 0), []byte(`{"times":9,"pod":"uid-0"}`), -1)
	require.NoError(t, err)
	c.doubts.raise(thing) // a minute later: of access lists no event tells
	for reader, before := range map[*Client]*protocol.State{c: s, client(t, Config{Servers: o.servers()}): nil} {
		read, changed, err := reader.Read(patient(t), thing, before)
		require.NoError(t, err)
		require.True(t, changed)
		require.Empty(t, read.Fault())
		require.Nil(t, read.Instances[0].Status)
		require.True(t, read.Instances[0].Hidden)
		require.Equal(t, "uid-1", read.Instances[1].Status.Pod)
		again, changed, err := reader.Read(patient(t), thing, read)
		require.NoError(t, err)
		require.False(t, changed)
		require.True(t, again.Instances[0].Hidden)
		s = again
	}
	m, err := protocol.SetOpen(s, []int{1})
	commit(t, c, s, m, err)
	_, err = protocol.RemoveOrdinal(s, 0)
	require.EqualError(t, err, "remove-ordinal: ordinal 0: has a live status")

	_, err = o.SetACL(o.root+protocol.StatusPath(thing, 0), zk.WorldACL(zk.PermAll), -1)
	require.NoError(t, err)
	s, _, err = c.Read(patient(t), thing, s)
	require.NoError(t, err)
	require.False(t, s.Instances[0].Hidden)
	require.Equal(t, int64(9), s.Instances[0].Status.Times)
}

// What else of an instance may not be read stops the kind, with the path: its list may hold any id.
func TestAnUnreadableInstanceStopsTheKind(t *testing.T) {
	for _, path := range []string{protocol.ResourcesPath(thing, 0), protocol.InstancePath(thing, 0), protocol.ReloadPath(thing, 0)} {
		t.Run(path, func(t *testing.T) {
			o := owning(t)
			c, s := leading(t, o.servers(), 2, 5)
			fill(t, c, s, 0, []string{"a", "b"})
			o.lock(t, path, zk.PermWrite)
			_, err := o.Set(o.root+path, []byte("{}"), -1)
			require.NoError(t, err)
			c.doubts.raise(thing)
			s, _, err = c.Read(patient(t), thing, s)
			require.NoError(t, err)
			require.Equal(t, "READ is missing on "+path, s.Fault())
			require.Equal(t, []string{"a", "b"}, everything(s), "what was last known is not free")
			_, err = protocol.Create(s, 5, []string{"c"})
			require.ErrorIs(t, err, protocol.ErrStopped)
			_, err = c.ReadLeft(patient(t), thing, []int{0})
			require.ErrorIs(t, err, protocol.ErrStopped)
			require.ErrorContains(t, err, path)
			_, changed, err := c.Read(patient(t), thing, s)
			require.NoError(t, err)
			require.False(t, changed)

			o.lock(t, path, zk.PermAll)
			_, err = o.Set(o.root+path, []byte(`{"ids":["a","b"],"used":2,"count":5,"times":7}`), -1)
			require.NoError(t, err)
			s, _, err = c.Read(patient(t), thing, s)
			require.NoError(t, err)
			require.Empty(t, s.Fault())
		})
	}
}

// create makes znodes without data, as other clients begin an ordinal.
func (b bare) create(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		_, err := b.Create(b.root+path, nil, 0, zk.WorldACL(zk.PermAll))
		require.NoError(t, err)
	}
}

// An ordinal that another client has begun to make, and whose list was never written, has an empty
// list and is closed, until it is written.
func TestAnOrdinalThatAnotherClientHasBegun(t *testing.T) {
	whole := []string{protocol.InstancePath(thing, 1), protocol.TmpPath(thing, 1), protocol.ReloadPath(thing, 1), protocol.ResourcesPath(thing, 1)}
	for name, paths := range map[string][]string{
		"with a list that has no data": whole,
		"the list before all else":     {protocol.InstancePath(thing, 1), protocol.ResourcesPath(thing, 1)},
		"without a list yet":           whole[:2],
		"with nothing yet":             whole[:1],
	} {
		t.Run(name, func(t *testing.T) {
			connect, raw := store(t)
			c, s := leading(t, connect, 1, 5)
			fill(t, c, s, 0, []string{"a"})
			raw.create(t, paths...)
			for _, prev := range []*protocol.State{s, nil} {
				read, changed, err := c.Read(patient(t), thing, prev)
				require.NoError(t, err)
				require.True(t, changed)
				require.Empty(t, read.Fault())
				require.True(t, read.Instances[1].Begun)
				require.Equal(t, []string{}, read.Instances[1].IDs.Strings())
				_, err = protocol.SetOpen(read, []int{0, 1})
				require.ErrorContains(t, err, "ordinal 1: has no znodes, or another client has begun to make them")
				again, changed, err := c.Read(patient(t), thing, read)
				require.NoError(t, err)
				require.False(t, changed)
				require.True(t, again.Instances[1].Begun)
				s = again
			}
			left, err := c.ReadLeft(patient(t), thing, []int{1})
			require.NoError(t, err)
			require.Equal(t, map[int]int{1: 0}, left.Count)

			if name == "with nothing yet" { // it comes to nothing, and we make it ourselves
				taken := s.Clone()
				m, needed, err := protocol.Repair(taken, 1, 5)
				require.True(t, needed)
				commit(t, c, taken, m, err)
				require.False(t, taken.Instances[1].Begun)
				require.Equal(t, `{"ids":[]}`, raw.get(t, protocol.ResourcesPath(thing, 1)))
				reload(t, connect, taken)
				m, err = protocol.SetOpen(taken, []int{0, 1})
				commit(t, c, taken, m, err)
				fill(t, c, taken, 1, []string{"b"})
				return
			}
			if name == "with a list that has no data" {
				raw.put(t, protocol.ResourcesPath(thing, 1), `{"ids":[]}`)
				s, _, err = c.Read(patient(t), thing, s)
				require.NoError(t, err)
				require.True(t, s.Instances[1].Begun, "it has not come to _reload")
				raw.put(t, protocol.ReloadPath(thing, 1), `{"times":0}`)
				s, _, err = c.Read(patient(t), thing, s)
				require.NoError(t, err)
				require.False(t, s.Instances[1].Begun)
			}
			m, err := protocol.RemoveOrdinal(s, 1)
			require.NoError(t, err)
			raw.put(t, protocol.ResourcesPath(thing, 1), `{"ids":["z"]}`) // it goes on
			require.ErrorIs(t, c.Commit(patient(t), s, m), protocol.ErrConflict)
			s, _, err = c.Read(patient(t), thing, s)
			require.NoError(t, err)
			require.False(t, s.Instances[1].Begun)
			require.Equal(t, []string{"z"}, s.Instances[1].IDs.Strings())
		})
	}
}

// A list that was there and is gone, or was made again, may have held any id: that is no beginning.
func TestAListThatWasMadeAgainIsNoBeginning(t *testing.T) {
	for name, again := range map[string]func(t *testing.T, raw bare){
		"gone":    func(t *testing.T, raw bare) { raw.delete(t, protocol.ResourcesPath(thing, 0)) },
		"emptied": func(t *testing.T, raw bare) { raw.put(t, protocol.ResourcesPath(thing, 0), "") },
		"made again": func(t *testing.T, raw bare) {
			raw.delete(t, protocol.ResourcesPath(thing, 0))
			raw.create(t, protocol.ResourcesPath(thing, 0))
		},
		"made again, all of it": func(t *testing.T, raw bare) {
			raw.delete(t, protocol.InstancePath(thing, 0))
			raw.create(t, protocol.InstancePath(thing, 0), protocol.ResourcesPath(thing, 0))
		},
		"made again, without list": func(t *testing.T, raw bare) {
			raw.delete(t, protocol.InstancePath(thing, 0))
			raw.create(t, protocol.InstancePath(thing, 0))
		},
	} {
		t.Run(name, func(t *testing.T) {
			connect, raw := store(t)
			c, s := leading(t, connect, 1, 5)
			fill(t, c, s, 0, []string{"a", "b"})
			again(t, raw)
			read, _, err := c.Read(patient(t), thing, s)
			require.NoError(t, err)
			require.Contains(t, read.Fault(), protocol.ResourcesPath(thing, 0))
			require.Equal(t, []string{"a", "b"}, everything(read))
			if name == "made again, all of it" || name == "made again, without list" {
				return // who comes later knows of no list that there was
			}
			read, _, err = client(t, Config{Servers: connect}).Read(patient(t), thing, nil)
			require.NoError(t, err)
			require.Contains(t, read.Fault(), protocol.ResourcesPath(thing, 0), "who never knew its ids stops, too")
		})
	}
}
