package rebalancer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// setting changes one field of a JSON object.
func setting(field string, change func(was int) int) orders.Update {
	return func(old []byte) ([]byte, error) {
		fields := map[string]int{}
		if len(old) > 0 {
			if err := json.Unmarshal(old, &fields); err != nil {
				return nil, err
			}
		}
		fields[field] = change(fields[field])
		return json.Marshal(fields)
	}
}

// to sets a field to a value: made again, it makes the same.
func to(value int) func(int) int { return func(int) int { return value } }

// kept is what ZooKeeper holds under that name; "" if nothing.
func (d *double) kept(name string) string {
	if doc := d.snapshot().Kept[name]; doc != nil {
		return string(doc.Data)
	}
	return ""
}

// when runs f when a transaction of that step has been applied, before it is answered.
func (d *double) when(step string, f func(d *double)) {
	d.fail(func(d *double) {
		d.watch = func(_, _ *protocol.State, m protocol.Multi) {
			if m.Step == step {
				d.watch = nil
				f(d)
			}
		}
	})
}

// soon is a caller that waits for five seconds.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestChangesOfOneDocumentAtOnceAllStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0)
		r.d.fail(func(d *double) { d.away = true })
		var calls sync.WaitGroup
		for _, field := range []string{"a", "b"} {
			calls.Go(func() { require.NoError(t, r.e.Keep(t.Context(), "doc", setting(field, to(1)))) })
		}
		for range 20 {
			calls.Go(func() {
				require.NoError(t, r.e.Keep(t.Context(), "doc", setting("n", func(was int) int { return was + 1 })))
			})
		}
		synctest.Wait()
		r.d.fail(func(d *double) { d.away = false })
		calls.Wait()
		require.JSONEq(t, `{"a":1,"b":1,"n":20}`, r.d.kept("doc"))
		got, ok := r.e.Kept("doc")
		require.True(t, ok)
		require.JSONEq(t, `{"a":1,"b":1,"n":20}`, string(got), "who was answered sees it")
	})
}

func TestAChangeThatFailsWritesNothingAndStopsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0)
		wrong := errors.New("out of range")
		require.ErrorIs(t, r.e.Keep(t.Context(), "doc", func([]byte) ([]byte, error) { return nil, wrong }), wrong)
		require.Empty(t, r.d.kept("doc"))
		require.NoError(t, r.e.Keep(t.Context(), "doc", setting("a", to(1))))
		require.Empty(t, r.e.Progress().Blocked)
	})
}

// What is asked of a leader, with what shows whether it was carried out.
type request struct {
	prepare func(r *rig)
	ask     func(ctx context.Context, r *rig) error
	step    string // what is sent first
	done    func(d *double) bool
}

func requests() map[string]request {
	return map[string]request{
		"keep": {
			ask:  func(ctx context.Context, r *rig) error { return r.e.Keep(ctx, "doc", setting("a", to(1))) },
			step: "keep",
			done: func(d *double) bool { return d.kept("doc") != "" },
		},
		"roll back": {
			prepare: func(r *rig) { // one instance of two leaves, and has not applied anything yet
				r.order(func(o *orders.Orders) {
					o.HandOff, o.Pods = config.HandOffAcknowledged, map[int]string{0: "p0", 1: "p1"}
				})
				r.answering(0, 1)
				r.order(func(o *orders.Orders) { o.Stay = []int{0} })
				r.wait(3 * time.Second)
				r.order(func(o *orders.Orders) { o.Stay = []int{0, 1} })
			},
			ask: func(ctx context.Context, r *rig) error {
				_, err := r.e.Rollback(ctx, "paused", setting("paused", to(1)))
				return err
			},
			step: "keep",
			done: func(d *double) bool { return d.kept("paused") != "" },
		},
		"confirm": {
			prepare: func(r *rig) {
				for range 2 {
					r.e.BeginRead(time.Now())
					_, err := r.e.EndRead(r.t.Context(), nil)
					require.NoError(r.t, err)
				}
				require.Equal(r.t, 40, r.e.Waiting().Count)
			},
			ask:  func(ctx context.Context, r *rig) error { return r.e.Confirm(ctx, 0, 40) },
			step: "revoke",
			done: func(d *double) bool { return d.snapshot().Assigned() < 40 },
		},
	}
}

func (q request) rig(t *testing.T) *rig {
	r := newRig(t, newDouble()).lead(0, 1)
	r.create(names("a", 40)...)
	r.wait(3 * time.Second)
	if q.prepare != nil {
		q.prepare(r)
	}
	return r
}

func TestWhatWasNotSentBeforeItsCallerGaveUpNeverIs(t *testing.T) {
	for name, q := range requests() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := q.rig(t)
				r.d.fail(func(d *double) { d.away = true })
				err := q.ask(soon(t), r)
				require.ErrorIs(t, err, orders.ErrNotSent)
				require.NotErrorIs(t, err, orders.ErrOutcomeUnknown)
				r.d.fail(func(d *double) { d.away = false })
				r.wait(time.Minute)
				require.False(t, q.done(r.d), "it was carried out for a caller who was told that it was not")
				if name == "confirm" {
					require.Equal(t, 40, r.e.Waiting().Count, "they wait again")
				}
				require.NoError(t, q.ask(t.Context(), r), "the next one is served")
				require.True(t, q.done(r.d))
			})
		})
	}
}

func TestACallerWhoGaveUpAfterItWasSentIsToldThatTheOutcomeIsUnknown(t *testing.T) {
	for name, q := range requests() {
		for _, lost := range []string{"answer", "request"} {
			t.Run(name+", the "+lost+" is lost", func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := q.rig(t)
					if lost == "answer" {
						r.d.when(q.step, func(d *double) { d.after, d.away = 1, true })
					} else {
						r.d.fail(func(d *double) { d.lose = q.step })
					}
					require.ErrorIs(t, q.ask(soon(t), r), orders.ErrOutcomeUnknown)
					r.d.fail(func(d *double) { d.away = false })
					r.wait(time.Minute)
					require.Equal(t, lost == "answer", q.done(r.d), "ZooKeeper has it, or never will")
				})
			})
		}
	}
}

func TestACallerWhoStaysIsAnsweredOverALostAnswer(t *testing.T) {
	for name, q := range requests() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := q.rig(t)
				r.d.when(q.step, func(d *double) { d.after = 1 })
				require.NoError(t, q.ask(t.Context(), r))
				require.True(t, q.done(r.d))
			})
		})
	}
}

func TestALeaderThatIsDeposedSaysWhatItDoesNotKnow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newDouble()).lead(0)
		r.d.fail(func(d *double) { d.lose = "keep" })
		answers := make(chan error, 2)
		go func() { answers <- r.e.Keep(t.Context(), "sent", orders.Replace(nil)) }()
		synctest.Wait()
		go func() { answers <- r.e.Keep(t.Context(), "queued", orders.Replace(nil)) }()
		synctest.Wait()
		r.halt()
		unknown := 0
		for range 2 {
			err := <-answers
			require.ErrorIs(t, err, orders.ErrNotLeading)
			if errors.Is(err, orders.ErrOutcomeUnknown) {
				unknown++
			}
		}
		require.Equal(t, 1, unknown)
	})
}

// A confirmed set of deletes takes several transactions. Of one whose caller gives up in the middle
// the rest waits again.
func TestTheRestOfAConfirmationThatWasGivenUpWaitsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := requests()["confirm"]
		r := q.rig(t)
		ctx, giveUp := context.WithCancel(t.Context())
		sent := 0
		r.d.fail(func(d *double) {
			d.watch = func(_, _ *protocol.State, m protocol.Multi) {
				if m.Step == "revoke" {
					sent++
					d.away = true // the second one is not sent
				}
			}
		})
		answer := make(chan error)
		go func() { answer <- q.ask(ctx, r) }()
		synctest.Wait()
		giveUp()
		require.ErrorIs(t, <-answer, orders.ErrOutcomeUnknown)
		r.d.fail(func(d *double) { d.away, d.watch = false, nil })
		r.wait(time.Minute)
		require.Equal(t, 1, sent)
		require.Equal(t, 20, r.d.snapshot().Assigned())
		require.Equal(t, 20, r.e.Waiting().Count, "they wait again")
		require.NoError(t, r.e.Confirm(t.Context(), 0, 20))
		require.Zero(t, r.d.snapshot().Assigned())
	})
}

// A message about an id that a person has confirmed to be deleted has the last word, also while its
// caller gives up.
func TestAMessageKeepsItsWordOverAConfirmationThatWasGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := requests()["confirm"].rig(t)
		r.d.fail(func(d *double) { d.away = true })
		answer := make(chan error)
		go func() { answer <- r.e.Confirm(soon(t), 0, 40) }()
		synctest.Wait()
		var messages sync.WaitGroup
		messages.Go(func() { require.NoError(t, r.e.Delete(t.Context(), []string{"a-00000"})) })
		messages.Go(func() { require.NoError(t, r.e.Create(t.Context(), known([]string{"a-00001"}))) })
		require.ErrorIs(t, <-answer, orders.ErrNotSent)
		r.d.fail(func(d *double) { d.away = false })
		messages.Wait()
		r.wait(5 * time.Second)
		r.settled(names("a", 40)[1:])
		require.Equal(t, 38, r.e.Waiting().Count, "of those two a message has spoken")
	})
}

// What a second attempt is refused with says nothing of the first one, whose answer was lost.
func TestAnAttemptThatFailsAfterALostAnswerLeavesTheOutcomeUnknown(t *testing.T) {
	wrong := errors.New("out of range by now")
	for name, c := range map[string]struct {
		refusal, change error
		want            string
	}{
		"ZooKeeper refuses it":   {refusal: fmt.Errorf("%w: a quota", protocol.ErrRefused), want: "a quota"},
		"the change is in vain":  {change: wrong, want: wrong.Error()},
		"nothing speaks against": {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, newDouble()).lead(0)
				sent, made := 0, 0
				r.d.fail(func(d *double) {
					d.after = 1
					d.refuse = func(m protocol.Multi) error {
						if sent++; m.Step == "keep" && sent > 1 {
							return c.refusal
						}
						return nil
					}
				})
				err := r.e.Keep(t.Context(), "doc", func(old []byte) ([]byte, error) {
					if made++; made > 1 && c.change != nil {
						return nil, c.change
					}
					return setting("a", to(1))(old)
				})
				require.JSONEq(t, `{"a":1}`, r.d.kept("doc"), "the first attempt was carried out")
				require.Equal(t, 2, made)
				if c.want == "" {
					require.NoError(t, err)
					return
				}
				require.ErrorIs(t, err, orders.ErrOutcomeUnknown)
				require.ErrorContains(t, err, c.want)
			})
		})
	}
}
