package limits

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

func TestCallersThatHangUpLeaveNoDebt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := NewLine(10, 20)
		crowd, hangUp := context.WithCancel(t.Context())
		var done sync.WaitGroup
		var served atomic.Int64
		for range 900 {
			done.Go(func() {
				if line.Wait(crowd) == nil {
					served.Add(1)
				}
			})
		}
		synctest.Wait()
		require.EqualValues(t, 20, served.Load())
		hangUp()
		done.Wait()
		asked := time.Now()
		require.NoError(t, line.Wait(t.Context()))
		require.Equal(t, 100*time.Millisecond, time.Since(asked), "the next turn, as if the others had never come")
	})
}

func TestALineServesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := NewLine(1, 1)
		require.NoError(t, line.Wait(t.Context()))
		order := make(chan int, 3)
		for i := range 3 {
			go func() {
				_ = line.Wait(context.Background())
				order <- i
			}()
			synctest.Wait() // it stands in the line
		}
		require.Equal(t, []int{0, 1, 2}, []int{<-order, <-order, <-order})
	})
}

func TestOneSourceLeavesHalfOfThePlacesToOthers(t *testing.T) {
	share := NewShare(4)
	require.True(t, share.Enter("a"))
	require.True(t, share.Enter("a"))
	require.False(t, share.Enter("a"))
	require.True(t, share.Enter("b"))
	require.True(t, share.Enter("c"))
	require.False(t, share.Enter("d"), "all places are taken")
	share.Leave("a")
	require.True(t, share.Enter("a"))
	for _, name := range []string{"a", "a", "b", "c"} {
		share.Leave(name)
	}
	require.Empty(t, share.bySource)
	require.Zero(t, share.underWay)
}

func TestSources(t *testing.T) {
	for address, want := range map[string]string{
		"10.1.2.3:4711":               "10.1.2.3",
		"[::ffff:10.1.2.3]:4711":      "10.1.2.3",
		"[2001:db8:1:2:3:4:5:6]:4711": "2001:db8:1:2::/64",
		"[2001:db8:1:2:ffff::1]:80":   "2001:db8:1:2::/64",
		"[fe80::1%eth0]:80":           "fe80::/64",
		"not an address":              "not an address",
	} {
		require.Equal(t, want, Source(address), address)
	}
}

// The answer to a question comes from a call that began after it, whatever is under way.
func TestSharedCallsBeginAfterTheQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var shared Shared[string, int]
		var calls atomic.Int64
		ask := func(context.Context) (int, error) {
			n := calls.Add(1)
			time.Sleep(time.Second)
			return int(n), nil
		}
		answers := make(chan int, 101)
		question := func() {
			n, err := shared.Do(context.Background(), "set", ask)
			if err != nil {
				n = -1
			}
			answers <- n
		}
		go question()
		synctest.Wait() // the first call is under way
		require.EqualValues(t, 1, calls.Load())
		for range 100 {
			go question()
		}
		require.Equal(t, 1, <-answers)
		for range 100 {
			require.Equal(t, 2, <-answers, "the first call began before these questions")
		}
	})
}

func TestThoseWhoWaitShareOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := NewLine(1, 1)
		require.NoError(t, line.Wait(t.Context()))
		shared := Shared[string, int]{Begin: line.Wait}
		var calls atomic.Int64
		var all errgroup.Group
		for range 900 {
			all.Go(func() error {
				n, err := shared.Do(t.Context(), "set", func(context.Context) (int, error) { return int(calls.Add(1)), nil })
				if err == nil && n != 1 {
					err = errors.New("another call's answer")
				}
				return err
			})
		}
		require.NoError(t, all.Wait())
		require.EqualValues(t, 1, calls.Load())
	})
}

func TestASharedCallOutlivesTheCallerThatGivesUpAndEndsWithTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := make(chan struct{})
		shared := Shared[string, int]{Begin: func(ctx context.Context) error {
			select {
			case <-begin:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}
		answer := func(context.Context) (int, error) { return 7, nil }
		impatient, giveUp := context.WithCancel(t.Context())
		first := make(chan error)
		go func() {
			_, err := shared.Do(impatient, "set", answer)
			first <- err
		}()
		synctest.Wait()
		second := make(chan int)
		go func() {
			n, _ := shared.Do(context.Background(), "set", answer)
			second <- n
		}()
		synctest.Wait()
		giveUp()
		require.ErrorIs(t, <-first, context.Canceled)
		begin <- struct{}{}
		require.Equal(t, 7, <-second)

		alone, giveUp := context.WithCancel(t.Context())
		go func() {
			_, err := shared.Do(alone, "set", answer)
			first <- err
		}()
		synctest.Wait()
		giveUp()
		require.ErrorIs(t, <-first, context.Canceled)
		synctest.Wait()
		require.Empty(t, shared.next)
		require.Empty(t, shared.latest, "a call without a caller ends")
	})
}

func TestForgedTokensOfOneAddressDoNotDelayAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reviews := NewReviews()
		var asked atomic.Int64
		refuse := func(context.Context) error {
			asked.Add(1)
			return ErrRefused
		}
		var busy, refused atomic.Int64
		var crowd sync.WaitGroup
		for i := range 900 {
			crowd.Go(func() {
				switch err := reviews.Do(t.Context(), "10.0.0.9", string(rune('a'+i)), refuse); {
				case errors.Is(err, ErrBusy):
					busy.Add(1)
				case errors.Is(err, ErrRefused):
					refused.Add(1)
				}
			})
		}
		synctest.Wait()
		begun := time.Now()
		require.NoError(t, reviews.Do(t.Context(), "10.0.0.1", "operator", func(context.Context) error { return nil }))
		require.Zero(t, time.Since(begun), "an operator at another address does not wait")
		crowd.Wait()
		require.EqualValues(t, 900, busy.Load()+refused.Load())
		require.EqualValues(t, sourceAtOnce+maxWaiting, asked.Load(), "the rest was turned away at once")
	})
}

func TestARefusedTokenIsRefusedAgainWithoutAReview(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reviews := NewReviews()
		asked := 0
		review := func(context.Context) error {
			asked++
			return ErrRefused
		}
		for range 500 {
			require.ErrorIs(t, reviews.Do(t.Context(), "10.0.0.9", "forged", review), ErrRefused)
		}
		require.Equal(t, 1, asked)
		time.Sleep(refusedFor + time.Second)
		require.ErrorIs(t, reviews.Do(t.Context(), "10.0.0.9", "forged", review), ErrRefused)
		require.Equal(t, 2, asked, "after ten seconds it is reviewed again")
	})
}

func TestAReviewThatHangsEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := NewReviews().Do(t.Context(), "10.0.0.9", "token", func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}
