package rebalancer

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// refusing makes the double refuse the steps with err until it is called with none.
func (r *rig) refusing(err error, steps ...string) {
	r.d.fail(func(d *double) {
		d.refuse = func(m protocol.Multi) error {
			if slices.Contains(steps, m.Step) {
				return fmt.Errorf("%w: /iota/shardscaler/Thing/pool/1-7: over the quota", err)
			}
			return nil
		}
	})
}

// Creates that ZooKeeper refuses are tried again after pauses that grow, however many ask for them
// meanwhile; that is said, and nothing else waits for it.
func TestRefusedCreatesAreTriedWithPausesAndSaid(t *testing.T) {
	for name, c := range map[string]struct {
		err     error
		refused bool
	}{
		"refused":        {protocol.ErrRefused, true},
		"always changed": {protocol.ErrConflict, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, newDouble()).lead(0, 1)
				ids := names("a", 40)
				r.create(ids...)
				r.wait(10 * time.Second)

				before := r.d.attempts("create")
				r.refusing(c.err, "create")
				var callers sync.WaitGroup
				errs := make([]error, 600)
				for i := range errs { // one a second, each of which wakes the leader
					callers.Go(func() { errs[i] = r.e.Create(t.Context(), known([]string{fmt.Sprintf("b-%d", i)})) })
					time.Sleep(time.Second)
				}
				require.Less(t, r.d.attempts("create")-before, 150)
				require.Contains(t, r.e.Progress().Blocked, "create: ")
				require.Contains(t, r.e.Progress().Blocked, "over the quota")
				if c.refused {
					require.Equal(t, r.e.Progress().Blocked, r.e.Progress().Refused)
				}
				require.NoError(t, r.e.Delete(t.Context(), ids[:30]), "deletes go on")
				r.order(func(o *orders.Orders) { o.Stay = []int{0} })
				r.wait(10 * time.Second)
				require.Empty(t, r.d.snapshot().Instances[1].IDs.Strings(), "and so do drains")

				r.refusing(nil)
				callers.Wait()
				require.NoError(t, errors.Join(errs...))
				r.wait(3 * time.Second)
				require.Empty(t, r.e.Progress().Refused)
				require.Empty(t, r.e.Progress().Blocked)
				require.Equal(t, 610, r.d.snapshot().Count())
				require.NoError(t, r.d.violation())
			})
		})
	}
}

// What is refused in the midst of another step's rounds does not end those.
func TestRefusedCreatesDoNotStopTheStepThatServesThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0, 1)
		ids := names("a", 2000)
		r.create(ids...)
		r.wait(10 * time.Second)
		r.refusing(protocol.ErrRefused, "create")
		go func() { _ = r.e.Create(t.Context(), known([]string{"b"})) }()
		r.order(func(o *orders.Orders) { o.Stay = []int{0} })
		r.wait(5 * time.Second)
		require.Empty(t, r.d.snapshot().Instances[1].IDs.Strings())
	})
}

// A leader that may not take the head tries with pauses that grow, and says why.
func TestARefusedHeadIsTriedWithPausesAndSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble())
		r.refusing(protocol.ErrRefused, "lead")
		r.lead(0, 1)
		r.wait(10 * time.Minute)
		require.Less(t, r.d.attempts("lead"), 30)
		r.mu.Lock()
		last := r.signals[len(r.signals)-1]
		r.mu.Unlock()
		require.IsType(t, observed.Failed{}, last)
		require.ErrorContains(t, last.(observed.Failed).Err, "over the quota")
		r.refusing(nil)
		r.wait(time.Minute)
		_, leads := r.e.leads()
		require.True(t, leads)
		r.create("a")
	})
}
