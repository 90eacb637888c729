package chaos

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
)

// tale is a transaction log told by hand.
type tale struct {
	txns []product.Txn
	head int32
}

const taleRoot = "/x/iota/shardscaler/Thing/"

func (s *tale) commit(ops ...product.TxnOp) *tale {
	n := int64(len(s.txns) + 1)
	s.txns = append(s.txns, product.Txn{Zxid: n, Session: 1, Time: time.Unix(n, 0), Ops: ops})
	return s
}

// leads takes the head; write commits under it.
func (s *tale) leads(epoch int) *tale {
	op := product.TxnOp{Path: taleRoot + "head", Data: fmt.Appendf(nil, `{"v":1,"epoch":%d,"holder":"p/%d","open":[0,1]}`, epoch, epoch)}
	if s.head++; s.head == 1 {
		op.Created = true
	} else {
		op.Version = s.head - 1
	}
	return s.commit(op)
}

func (s *tale) write(ops ...product.TxnOp) *tale {
	return s.commit(append([]product.TxnOp{{Path: taleRoot + "head", Checked: true, Version: s.head - 1}}, ops...)...)
}

func piece(name, ids string) product.TxnOp {
	return product.TxnOp{Path: taleRoot + "pool/" + name, Created: true, Data: []byte(`{"ids":[` + ids + `]}`)}
}

func list(n int, ids string) product.TxnOp {
	return product.TxnOp{Path: fmt.Sprintf("/x/iota/orchestration/Thing/%d/resources", n), Data: []byte(`{"ids":[` + ids + `]}`)}
}

func flight(from int, times int, ids string) product.TxnOp {
	return product.TxnOp{
		Path: taleRoot + fmt.Sprintf("flight/%d-%d", from, times), Created: true,
		Data: fmt.Appendf(nil, `{"from":%d,"times":%d,"pod":"u","ids":[%s],"to":[1]}`, from, times, ids),
	}
}

func deleted(path string) product.TxnOp { return product.TxnOp{Path: taleRoot + path, Deleted: true} }

func status(n, times int, more string) product.TxnOp {
	return product.TxnOp{
		Path: fmt.Sprintf("/x/iota/orchestration/Thing/%d/tmp/status", n), Created: true, Ephemeral: true,
		Data: fmt.Appendf(nil, `{"times":%d,"pod":"u"%s}`, times, more),
	}
}

// moved is a tale of one id that was created, assigned to 0 and revoked; acknowledged says that 0
// released it.
func moved(acknowledged bool) *tale {
	s := (&tale{}).leads(1).write(piece("1-0", `"a"`)).write(deleted("pool/1-0"), list(0, `"a"`))
	s.write(list(0, ""), flight(0, 2, `"a"`))
	if acknowledged {
		s.commit(status(0, 2, ""))
	}
	return s
}

func (s *tale) judge(change func(*RulesOptions)) *Rules {
	o := RulesOptions{Chroot: "/x", Kind: "Thing", Acknowledged: true}
	if change != nil {
		change(&o)
	}
	return Judge(s.txns, o)
}

func TestRulesOfAMove(t *testing.T) {
	r := moved(true).write(deleted("flight/0-2"), list(1, `"a"`)).leads(2).write(piece("2-0", `"b"`)).judge(nil)
	require.Empty(t, r.Faults)
	require.Equal(t, map[string]int{"i": 1}, r.Released)
	require.Equal(t, []int{5, 2, 2, 1, 1}, []int{r.Writes - r.Heads, r.Heads, r.Epochs, r.Revoked, r.LeftFlight})
	require.Len(t, r.Held, 2)
	require.Empty(t, r.Lost)
}

func TestRulesReleases(t *testing.T) {
	grant := []product.TxnOp{deleted("flight/0-2"), list(1, `"a"`)}
	gone := func(o *RulesOptions) { o.Gone = func(string) time.Time { return time.Unix(4, 0) } }
	require.Equal(t, map[string]int{"ii": 1}, moved(false).write(grant...).judge(gone).Released)

	fences := moved(false)
	fences.commit(status(0, 1, `,"fences":true,"sessionMs":4000`))
	closed := status(0, 0, "")
	closed.Deleted = true
	fences.commit(closed)
	early := *fences
	require.Len(t, early.write(grant...).judge(nil).Faults, 1, "absent for a second")
	for range 5 {
		fences.commit()
	}
	r := fences.write(grant...).judge(nil)
	require.Empty(t, r.Faults)
	require.Equal(t, map[string]int{"iii": 1}, r.Released)
}

// What was taken when no pod was known is released by the present pod's word, and by no other.
func TestRulesReleaseWithoutARecordedPod(t *testing.T) {
	grant := []product.TxnOp{deleted("flight/0-2"), list(1, `"a"`)}
	taken := func() *tale {
		s := (&tale{}).leads(1).write(piece("1-0", `"a"`)).write(deleted("pool/1-0"), list(0, `"a"`))
		f := flight(0, 2, `"a"`)
		f.Data = []byte(`{"from":0,"times":2,"pod":"","ids":["a"],"to":[1]}`)
		return s.write(list(0, ""), f)
	}
	goneAt := func(second int64) func(*RulesOptions) {
		return func(o *RulesOptions) {
			o.Gone = func(uid string) time.Time { return map[string]time.Time{"u": time.Unix(second, 0)}[uid] }
		}
	}
	r := taken().commit(status(0, 2, "")).write(grant...).judge(nil)
	require.Empty(t, r.Faults)
	require.Equal(t, map[string]int{"ii": 1}, r.Released)
	require.Empty(t, taken().commit(status(0, 2, "")).write(grant...).judge(goneAt(6)).Faults, "it was there when it was looked at")

	for name, r := range map[string]*Rules{
		"nothing was said":             taken().write(grant...).judge(nil),
		"an older times was said":      taken().commit(status(0, 1, "")).write(grant...).judge(nil),
		"another ordinal said so":      taken().commit(status(1, 2, "")).write(grant...).judge(nil),
		"who said so is gone for long": taken().commit(status(0, 2, "")).commit().commit().write(grant...).judge(goneAt(6)),
	} {
		require.Len(t, r.Faults, 1, name)
		require.Contains(t, r.Faults[0], `pod "", and nothing had released it`, name)
	}
}

func TestRulesSeeEachBreach(t *testing.T) {
	grant := []product.TxnOp{deleted("flight/0-2"), list(1, `"a"`)}
	persistent := status(0, 2, "")
	persistent.Ephemeral = false
	other := status(0, 2, "")
	other.Data = []byte(`{"times":2,"pod":"another"}`)
	absent := status(0, 0, "")
	absent.Deleted = true
	for name, c := range map[string]struct {
		s    *tale
		want string
	}{
		"granted before the release":         {moved(false).write(grant...), "nothing had released it"},
		"granted on an older times":          {moved(false).commit(status(0, 1, "")).write(grant...), "nothing had released it"},
		"granted on a persistent status":     {moved(false).commit(persistent).write(grant...), "nothing had released it"},
		"granted on another pod's status":    {moved(false).commit(other).write(grant...), "nothing had released it"},
		"absent status taken as release":     {moved(false).commit(status(0, 1, "")).commit(absent).write(grant...), "nothing had released it"},
		"forgotten before the release":       {moved(false).write(deleted("flight/0-2")), "nothing had released it"},
		"no check of the head":               {moved(true).commit(grant...), "without a check of the head"},
		"an older head":                      {moved(true).leads(2).commit(append([]product.TxnOp{{Path: taleRoot + "head", Checked: true}}, grant...)...), "without a check of the head"},
		"in the pool and in the flight":      {moved(false).write(piece("1-1", `"a"`)), "is created in [pool] and is in"},
		"in two lists":                       {moved(true).write(deleted("flight/0-2"), list(1, `"a"`), list(0, `"a"`)), "a is in ["},
		"moved without a flight":             {(&tale{}).leads(1).write(list(0, `"a"`)).write(list(0, ""), list(1, `"a"`)), "not in flight from there"},
		"deleted without a flight":           {(&tale{}).leads(1).write(list(0, `"a"`)).write(list(0, "")), "not in flight from there"},
		"a piece that came late":             {(&tale{}).leads(1).write(piece("1-0", `"a"`)).write(deleted("pool/1-0")).write(piece("1-0", `"a"`)), "a second time"},
		"a piece of another epoch":           {(&tale{}).leads(1).leads(2).write(piece("1-0", `"a"`)), "in epoch 2"},
		"an epoch that goes back":            {(&tale{}).leads(2).leads(1), "epoch 1 of p/1 follows epoch 2"},
		"created beside its delete's flight": {moved(true).write(piece("1-1", `"a","b"`)), "is created in [pool]"},
	} {
		t.Run(name, func(t *testing.T) {
			r := c.s.judge(nil)
			require.NotEmpty(t, r.Faults)
			require.Contains(t, fmt.Sprint(r.Faults), c.want)
		})
	}
}

func TestRulesCountDeletes(t *testing.T) {
	turned := func(to string) product.TxnOp {
		return product.TxnOp{Path: taleRoot + "flight/0-2", Data: []byte(`{"from":0,"times":2,"pod":"u","ids":["a","b"],"to":` + to + `}`), Version: 1}
	}
	both := (&tale{}).leads(1).write(list(0, `"a","b"`))
	taken := flight(0, 2, `"a","b"`)
	taken.Data = []byte(`{"from":0,"times":2,"pod":"u","ids":["a","b"],"to":[1,-2]}`)
	both.write(list(0, ""), taken)
	require.Equal(t, map[string]int{"b": 1}, both.judge(nil).Deleted, "a moves, b is deleted")
	require.Equal(t, map[string]int{"a": 1, "b": 1}, both.write(turned("[]")).judge(nil).Deleted)
	require.Equal(t, map[string]int{"a": 1, "b": 1}, both.write(turned("[-1,-1]")).judge(nil).Deleted)
	require.Equal(t, map[string]int{"a": 2, "b": 1}, both.write(turned("[-2,-1]")).judge(nil).Deleted)

	pooled := (&tale{}).leads(1).write(piece("1-0", `"a","b"`)).write(product.TxnOp{Path: taleRoot + "pool/1-0", Data: []byte(`{"ids":["b"]}`), Version: 1})
	require.Equal(t, map[string]int{"a": 1}, pooled.judge(nil).Deleted)
	require.Empty(t, moved(true).write(deleted("flight/0-2"), list(1, `"a"`)).judge(nil).Deleted)
}

func TestRulesSeeWhatIsLost(t *testing.T) {
	r := (&tale{}).leads(1).write(piece("1-0", `"a","b"`)).write(product.TxnOp{Path: taleRoot + "pool/1-0", Data: []byte(`{"ids":["b"]}`), Version: 1}).judge(nil)
	require.Empty(t, r.Faults)
	require.Equal(t, map[string]time.Time{"a": time.Unix(3, 0)}, r.Lost)
	require.Contains(t, r.Held, "b")
}

func TestRulesLeaveForeignSessionsAlone(t *testing.T) {
	s := moved(false).commit(deleted("flight/0-2"), list(1, `"a"`))
	require.NotEmpty(t, s.judge(nil).Faults)
	s.txns[len(s.txns)-1].Session = 7
	require.Empty(t, s.judge(func(o *RulesOptions) { o.Foreign = map[int64]bool{7: true} }).Faults)
}
