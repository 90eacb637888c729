package ops_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/ops"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// ground is a kind of 5 instances, 1 to 5, of 100 resources each at most, with 350 of them; the
// configuration pins "site-1" to 2 and 3. Instance 5 is not open yet.
func ground() *ops.Ground {
	k := config.Default("Thing", "iota-dac")
	k.Init, k.Max, k.Capacity, k.TargetPerInstance = 2, 8, 100, 100
	return &ops.Ground{
		Base: k, Ceiling: 100,
		Observed: &observed.Kind{
			Workload: &observed.Workload{Start: 1, Replicas: 5}, Assigned: 340, Unassigned: 10, Open: []int{1, 2, 3, 4},
		},
		At: func(id string) (int, bool) { return 1, id != "nothing" },
		Binds: func(id string) (string, []int) {
			if id == "site-1" {
				return "lyon", []int{2, 3}
			}
			return "", nil
		},
	}
}

func ptr[T any](v T) *T { return &v }

func pin(id string, n int) *ops.PinRequest { return &ops.PinRequest{Resource: id, Instance: n} }

// put puts changes one after the other; the last one may fail.
func put(t require.TestingT, g *ops.Ground, at time.Time, changes ...ops.Change) (o ops.Over, err error) {
	for i, c := range changes {
		var next ops.Over
		if next, err = c.Put(o, g, "ann", at); err != nil {
			require.Equal(t, len(changes)-1, i, "%v", err)
			return o, err
		}
		o = next
	}
	return o, nil
}

func TestWhatIsRefusedNamesFieldValueAndBound(t *testing.T) {
	hpa, group, advised := ground(), ground(), ground()
	hpa.Base.Replicas.Owner, group.Base.Replicas.Owner, advised.Base.Replicas.Mode = config.OwnerHPA, config.OwnerGroup, config.ModeRecommend
	unknown := ground()
	unknown.Observed.Workload = nil
	for _, c := range []struct {
		g    *ops.Ground
		want string
		do   []ops.Change
	}{
		{ground(), "size: Invalid value: 9: must be between 2 and 8", []ops.Change{{Size: ptr(9)}}},
		{ground(), "size: Invalid value: 1: must be between 2 and 8", []ops.Change{{Size: ptr(1)}}},
		{ground(), "size: 3: of at most 3 instances 0 are drained: the other 3 have room for 300 resources of capacity 100 each, and there are 350", []ops.Change{{Size: ptr(3)}}},
		{ground(), "size: 4: of at most 4 instances 1 are drained: the other 3 have room for 300", []ops.Change{{Drain: ptr(1)}, {Size: ptr(4)}}},
		{hpa, "replicas.owner is hpa", []ops.Change{{Size: ptr(4)}}},
		{group, "replicas.owner is group", []ops.Change{{Size: ptr(4)}}},
		{advised, "replicas.mode is recommend", []ops.Change{{Size: ptr(4)}}},
		{ground(), "instance: 0: must be one of the instances there are, 1 to 5", []ops.Change{{Drain: ptr(0)}}},
		{ground(), "instance: 6: must be one of the instances there are, 1 to 5", []ops.Change{{Drain: ptr(6)}}},
		{unknown, "instance: 1: StatefulSet iota-dac is not known", []ops.Change{{Drain: ptr(1)}}},
		{
			ground(), "instance: 5: of at most 8 instances 5 are drained: the other 3 have room for 300",
			[]ops.Change{{Drain: ptr(1)}, {Drain: ptr(2)}, {Drain: ptr(3)}, {Drain: ptr(4)}, {Drain: ptr(5)}},
		},
		{hpa, "instance: 2: of at most 5 instances 2 are drained", []ops.Change{{Drain: ptr(1)}, {Drain: ptr(2)}}},
		{ground(), `instance: 2: resource "a" is pinned to it by ann`, []ops.Change{{Pin: pin("a", 2)}, {Drain: ptr(2)}}},
		{ground(), "instance: 2: it is drained by ann", []ops.Change{{Drain: ptr(2)}, {Pin: pin("a", 2)}}},
		{ground(), "instance: 5: it is not open; open are [1 2 3 4]", []ops.Change{{Pin: pin("a", 5)}}},
		{ground(), `instance: 1: the configuration's pin lyon binds "site-1" to [2 3]`, []ops.Change{{Move: pin("site-1", 1)}}},
		{ground(), `resource: "nothing": there is no such resource`, []ops.Change{{Pin: pin("nothing", 1)}}},
		{ground(), "maxInstances: Invalid value: 101: must be between 3 and 100", []ops.Change{{MaxInstances: ptr(101)}}},
		{ground(), "nothing to end: no size is set", []ops.Change{{EndSize: true}}},
		{ground(), "nothing to end: instance 3 is not drained", []ops.Change{{Undrain: ptr(3)}}},
		{ground(), `nothing to end: resource "a" is not pinned`, []ops.Change{{Unpin: "a"}}},
		{ground(), "a change has one member, this one has 2: drain, size", []ops.Change{{Size: ptr(4), Drain: ptr(1)}}},
		{ground(), `for: "soon": must be a duration such as 2h`, []ops.Change{{Drain: ptr(1), For: "soon"}}},
		{ground(), `for: "0s": must be between 1s and 8760h`, []ops.Change{{Drain: ptr(1), For: "0s"}}},
		{ground(), `for: "2h": what ends something`, []ops.Change{{Drain: ptr(1)}, {Undrain: ptr(1), For: "2h"}}},
	} {
		_, err := put(t, c.g, noon, c.do...)
		require.ErrorContains(t, err, c.want, "%+v", c.do)
		require.Equal(t, strings.HasPrefix(c.want, "nothing to end"), strings.Contains(err.Error(), ops.ErrNothingToEnd.Error()))
	}
}

func TestWhatStandsIsListedWithWhoAndUntilWhen(t *testing.T) {
	o, err := put(t, ground(), noon,
		ops.Change{Size: ptr(6), For: "2h"}, ops.Change{Paused: ptr(true), For: "10m"}, ops.Change{MaxInstances: ptr(20), Capacity: ptr(90)},
		ops.Change{Drain: ptr(4)}, ops.Change{Drain: ptr(1)}, ops.Change{Pin: pin("z", 2)}, ops.Change{Move: pin("a/ä", 3), For: "1h"}, ops.Change{Pin: pin("site-1", 3)})
	require.NoError(t, err)
	require.Equal(t, `size 6 by ann until 2026-03-01T14:00:00Z; maxInstances 20 by ann; resourcePerInstance 90 by ann; paused true by ann until 2026-03-01T12:10:00Z; `+
		`drain 1 by ann; drain 4 by ann; move "a/ä" to 3 by ann until 2026-03-01T13:00:00Z; pin "site-1" to 3 by ann; pin "z" to 2 by ann`, o.Text())

	g := ground()
	k, is := o.Standing(g.Base, noon.Add(10*time.Minute))
	require.False(t, k.Rebalance.Paused, "it resumes by itself")
	require.Equal(t, 20, k.Max)
	require.NotContains(t, is.Text(), "paused")
	_, is = o.Standing(g.Base, noon.Add(2*time.Hour))
	require.Nil(t, is.Operator.Size)
	require.Equal(t, map[string]int{"z": 2, "site-1": 3}, is.Operator.Pinned())

	later, err := (&ops.Change{Unpin: "z"}).Put(o, g, "bob", noon.Add(3*time.Hour))
	require.NoError(t, err)
	require.Len(t, later.Operator.Pins, 1, "what is over is removed by the next change")
	require.Nil(t, later.Operator.Size)
	require.Equal(t, []int{1, 4}, later.Operator.Drained())
}

func TestAVersionIsAnotherWithAnythingThatStands(t *testing.T) {
	seen := map[string]bool{ops.Over{}.Version(): true}
	changes := []ops.Change{{Size: ptr(6)}, {Size: ptr(7)}, {Drain: ptr(1)}, {Pin: pin("a", 2)}, {Move: pin("a", 2)}, {Paused: ptr(true)}, {EndSize: true}}
	for i := range changes {
		if i == 6 {
			continue
		}
		o, err := put(t, ground(), noon, changes[i])
		require.NoError(t, err)
		require.False(t, seen[o.Version()], "%+v", changes[i])
		seen[o.Version()] = true
	}
	o, err := put(t, ground(), noon, changes[0], changes[6])
	require.NoError(t, err)
	require.Equal(t, ops.Over{}.Version(), o.Version())
}

// A build that knew neither who nor until when reads what this one writes, and this one reads what
// that one has written.
func TestTheDocumentIsReadBothWaysInARollOut(t *testing.T) {
	type formerValue[T any] struct {
		Value T `json:"value"`
		Over  T `json:"over"`
	}
	type former struct {
		MaxInstances        *formerValue[int]  `json:"maxInstances,omitempty"`
		ResourcePerInstance *formerValue[int]  `json:"resourcePerInstance,omitempty"`
		Paused              *formerValue[bool] `json:"paused,omitempty"`
	}
	o, err := put(t, ground(), noon, ops.Change{MaxInstances: ptr(20)}, ops.Change{Paused: ptr(true), For: "2h"})
	require.NoError(t, err)
	text, err := json.Marshal(o.Override)
	require.NoError(t, err)
	var old former
	require.NoError(t, exact.JSON(text, &old))
	require.Equal(t, former{MaxInstances: &formerValue[int]{20, 8}, Paused: &formerValue[bool]{true, false}}, old)

	text, err = json.Marshal(old)
	require.NoError(t, err)
	var back config.Override
	require.NoError(t, exact.JSON(text, &back))
	k, _ := back.Apply(ground().Base, noon.Add(time.Hour*24*365))
	require.Equal(t, 20, k.Max)
	require.True(t, k.Rebalance.Paused, "an old leader that writes it forgets until when")
}

func TestAThousandPinsFitAndNotOneMore(t *testing.T) {
	g := ground()
	var o ops.Over
	for i := range config.MaxOperatorPins {
		var err error
		o, err = (&ops.Change{Pin: pin(fmt.Sprintf("%08d-1111-4222-a333-444444444444", i), 1+i%4)}).Put(o, g, "system:serviceaccount:iot:console", noon)
		require.NoError(t, err)
	}
	text, err := json.Marshal(o.Operator)
	require.NoError(t, err)
	require.Less(t, len(text), 1<<18, "ids of the usual length fit into a document")
	_, err = (&ops.Change{Pin: pin("one more", 1)}).Put(o, g, "ann", noon)
	require.ErrorContains(t, err, "must have at most 1000 items")
	again, err := (&ops.Change{Move: pin(o.Operator.Pins[7].Resource, 3)}).Put(o, g, "ann", noon)
	require.NoError(t, err, "one in place of another")
	require.Len(t, again.Operator.Pins, config.MaxOperatorPins)
}

// Whatever is put, one after the other: what stands is what was asked for last of each thing and
// has not ended, nothing is shared with what stood before, and it reads back as it was written.
func TestWhatStandsIsWhatWasAskedForLast(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		g, at := ground(), noon
		g.Observed.Assigned, g.Observed.Unassigned, g.Observed.Open = 10, 0, []int{1, 2, 3, 4, 5}
		var o ops.Over
		drains, pins := map[int]time.Time{}, map[string]time.Time{}
		until := func(long string) time.Time {
			if long == "" {
				return time.Time{}
			}
			d, err := time.ParseDuration(long)
			require.NoError(rt, err)
			return at.Add(d)
		}
		for range rapid.IntRange(1, 30).Draw(rt, "changes") {
			at = at.Add(time.Duration(rapid.IntRange(0, 300).Draw(rt, "seconds")) * time.Second)
			long := rapid.SampledFrom([]string{"", "1m", "10m"}).Draw(rt, "for")
			n, id := rapid.IntRange(1, 5).Draw(rt, "n"), rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "id")
			c, done := ops.Change{}, func() {}
			switch rapid.IntRange(0, 3).Draw(rt, "what") {
			case 0:
				c, done = ops.Change{Drain: &n, For: long}, func() { drains[n] = until(long) }
			case 1:
				c, done = ops.Change{Undrain: &n}, func() { delete(drains, n) }
			case 2:
				c, done = ops.Change{Pin: pin(id, n), For: long}, func() { pins[id] = until(long) }
			case 3:
				c, done = ops.Change{Unpin: id}, func() { delete(pins, id) }
			}
			before := o.Text()
			next, err := c.Put(o, g, "ann", at)
			require.Equal(rt, before, o.Text(), "what stood is as it was")
			if err == nil {
				done()
				o = next
			}
			text, err := json.Marshal(o.Operator)
			require.NoError(rt, err)
			var back config.Operator
			require.NoError(rt, exact.JSON(text, &back))
			require.Equal(rt, ops.Over{Operator: back}.Text(), o.Text())

			_, is := o.Standing(g.Base, at)
			for n := 1; n <= 5; n++ {
				end, asked := drains[n]
				require.Equal(rt, asked && (end.IsZero() || at.Before(end)), is.Operator.Drain(n) != nil, "drain %d at %s", n, at)
			}
			for _, id := range []string{"a", "b", "c"} {
				end, asked := pins[id]
				require.Equal(rt, asked && (end.IsZero() || at.Before(end)), is.Operator.Pin(id) != nil, "pin %s at %s", id, at)
			}
		}
	})
}
