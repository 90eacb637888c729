//go:build chaos

package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/api"
	"github.com/shardscaler/shardscaler/internal/testbed/httpcall"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
)

// posts are what callers ask by POST, several at once, and what they are told: what is answered
// as done is done, what failed is not, also not later, and of what is unknown either may be.
type posts struct {
	stop, stopped chan struct{}
	max, capacity posted
	paused        posted
	round         int
}

// posted is one value that one caller sets.
type posted struct {
	// may are the values that it may have now.
	may map[int]bool
	// told are the values that were asked for, and what was answered.
	told map[int]outcome
}

type outcome string

const (
	done    outcome = "done"
	failed  outcome = "failed"
	unknown outcome = "unknown"
)

// longAway is longer than a POST waits for ZooKeeper: 30 s.
var longAway = crossed{name: "it is cut off for longer than a POST waits", action: "sleep:200ms", beside: func(_ *lane, w *wires) {
	w.proxy.Partition()
	defer w.proxy.Heal()
	time.Sleep(33 * time.Second)
}}

var posting = scene{
	work: "posts", points: []string{"override.sent", "override.sending", "override.replied", "override.applied"},
	begin: func(l *lane, w *wires) { l.leads(1) },
	do:    func(l *lane, w *wires) { w.posts.begin(l) },
	end:   func(l *lane, w *wires) { w.posts.end(l, w) },
}

// leastRounds and mostRounds are how many rounds of POSTs a case has, between is the time between
// two.
const (
	leastRounds, mostRounds = 4, 8
	between                 = 300 * time.Millisecond
)

// begin posts until end; in each round three callers at once.
func (p *posts) begin(l *lane) {
	p.stop, p.stopped = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(p.stopped)
		for n := range mostRounds {
			p.once(l)
			time.Sleep(between)
			select {
			case <-p.stop:
				if n+1 >= leastRounds {
					return
				}
			default:
			}
		}
	}()
	l.up() // something to be rolled back
}

// once posts from three callers at once. Values grow, so that the transaction log tells them
// apart.
func (p *posts) once(l *lane) {
	p.round++
	n := p.round
	var all sync.WaitGroup
	all.Go(func() { p.max.ask(l, "orchestrate", map[string]int{"maxInstances": 8 + n}, 8, 8+n) })
	all.Go(func() { p.capacity.ask(l, "orchestrate", map[string]int{"resourcePerInstance": 20 + n}, 20, 20+n) })
	all.Go(func() {
		switch n % 3 {
		case 0:
			p.paused.ask(l, "pause", nil, 0, 1)
		case 1:
			p.paused.ask(l, "rollback", nil, 0, 1)
		case 2:
			p.paused.ask(l, "resume", nil, 0, 0)
		}
	})
	all.Wait()
}

// ask posts, and notes what the answer leaves: first is what the value was before the first POST.
func (v *posted) ask(l *lane, operation string, body any, first, value int) outcome {
	if v.may == nil {
		v.may, v.told = map[int]bool{first: true}, map[int]outcome{first: done}
	}
	ctx, cancel := context.WithTimeout(context.Background(), product.Patience)
	defer cancel()
	var answer json.RawMessage
	out := outcomeOf(l.server().REST(ctx, http.MethodPost, "/v1/api/orchestrations/"+thing+"/"+operation, "", body, &answer))
	switch out {
	case done:
		v.may = map[int]bool{value: true}
	case unknown:
		v.may[value] = true
	}
	if v.told[value] != done {
		v.told[value] = out
	}
	return out
}

// outcomeOf is what a caller may conclude from an answer, by docs/formats.md.
func outcomeOf(err error) outcome {
	var status *httpcall.StatusError
	switch {
	case err == nil:
		return done
	case errors.As(err, &status):
		var problem struct{ Type string }
		if json.Unmarshal([]byte(status.Body), &problem) == nil && problem.Type == api.OutcomeUnknown {
			return unknown
		}
		return failed
	case api.MayBeSent(err):
		return unknown
	}
	return failed
}

// override is the document that POSTs change.
type override struct {
	MaxInstances, ResourcePerInstance *struct{ Value int }
	Paused                            *struct{ Value bool }
}

// values are the three of them; what is not in the document is as the configuration has it.
func (o *override) values() (maxInstances, capacity, paused int) {
	maxInstances, capacity = 8, 20
	if o.MaxInstances != nil {
		maxInstances = o.MaxInstances.Value
	}
	if o.ResourcePerInstance != nil {
		capacity = o.ResourcePerInstance.Value
	}
	if o.Paused != nil && o.Paused.Value {
		paused = 1
	}
	return maxInstances, capacity, paused
}

// end waits for the last answers, compares what there is with them, and makes the lane go on.
func (p *posts) end(l *lane, w *wires) {
	l.t.Helper()
	close(p.stop)
	<-p.stopped
	var kept override
	raw, _, err := w.conn.Get(l.own("override"))
	if !errors.Is(err, zk.ErrNoNode) {
		require.NoError(l.t, err)
		require.NoError(l.t, json.Unmarshal(raw, &kept))
	}
	p.agrees(l, &kept)
	l.until("moves go on", func(context.Context) error {
		if out := p.paused.ask(l, "resume", nil, 0, 0); out != done {
			return errors.New(string(out))
		}
		return nil
	})
	l.settled()
	l.down()
}

// agrees requires that each value is one that the answers allow.
func (p *posts) agrees(l *lane, kept *override) {
	l.t.Helper()
	maxInstances, capacity, paused := kept.values()
	for _, c := range []struct {
		what  string
		is    int
		value *posted
	}{{"maxInstances", maxInstances, &p.max}, {"resourcePerInstance", capacity, &p.capacity}, {"paused", paused, &p.paused}} {
		l.t.Logf("%s is %d; the answers allow %v", c.what, c.is, slices.Sorted(maps.Keys(c.value.may)))
		require.Contains(l.t, c.value.may, c.is, "%s is %d, and callers were told %v", c.what, c.is, c.value.told)
	}
}

// judge reads in the transaction log every value that there ever was: none that a caller was told
// to have failed, and of each caller's values, which grow, none that came after a greater one.
func (p *posts) judge(l *lane) {
	l.t.Helper()
	if p.round == 0 {
		return
	}
	txns, err := l.Transactions()
	require.NoError(l.t, err)
	outcomes := map[outcome]int{}
	for _, v := range []*posted{&p.max, &p.capacity} {
		for _, out := range v.told {
			outcomes[out]++
		}
	}
	l.t.Logf("%d rounds of POSTs: %v", p.round, outcomes)
	require.Positive(l.t, outcomes[done])
	before := override{}
	for _, t := range txns {
		for _, op := range t.Ops {
			var now override
			if op.Path == l.own("override") && len(op.Data) > 0 && json.Unmarshal(op.Data, &now) == nil {
				require.Empty(l.t, p.breach(&before, &now), "0x%x at %s", t.Zxid, t.Time.Format(time.StampMilli))
				before = now
			}
		}
	}
}

// breach says what of a change of the document no answer allows.
func (p *posts) breach(before, now *override) string {
	wasMax, wasCapacity, _ := before.values()
	isMax, isCapacity, _ := now.values()
	for _, c := range []struct {
		what    string
		was, is int
		value   *posted
	}{{"maxInstances", wasMax, isMax, &p.max}, {"resourcePerInstance", wasCapacity, isCapacity, &p.capacity}} {
		switch out := c.value.told[c.is]; {
		case c.is < c.was:
			return fmt.Sprintf("%s went from %d back to %d", c.what, c.was, c.is)
		case out != done && out != unknown:
			return fmt.Sprintf("%s became %d, and the caller was told %q", c.what, c.is, out)
		}
	}
	return ""
}
