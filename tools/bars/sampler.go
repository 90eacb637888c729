package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/shardscaler/shardscaler/tools/bars/rounds"
)

// sampler looks at a process's memory all the time.
type sampler struct {
	quit context.CancelFunc
	done sync.WaitGroup

	mu     sync.Mutex
	high   float64
	marked []float64
	err    error // of the last look: between two runs of the process there is nothing to see
}

const (
	samplePeriod = 50 * time.Millisecond
	quarters     = 4 // of the churn
)

func newSampler(pid func() int) *sampler {
	ctx, quit := context.WithCancel(context.Background())
	s := &sampler{quit: quit}
	s.done.Go(func() {
		wait.UntilWithContext(ctx, func(context.Context) {
			if pid := pid(); pid != 0 {
				s.add(rssAnon(pid))
			}
		}, samplePeriod)
	})
	return s
}

func (s *sampler) add(mb float64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err = err; err != nil {
		return
	}
	s.high = max(s.high, mb)
	s.marked = append(s.marked, mb)
}

// mark forgets the samples, but not the peak.
func (s *sampler) mark() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marked = nil
}

// sinceMark is the median since then.
func (s *sampler) sinceMark() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return rounds.Median(s.marked)
}

// quarters lets change run for churnTime and returns the median of the samples in each quarter of
// it.
func (s *sampler) quarters(ctx context.Context, change func(context.Context) error) (medians []float64, err error) {
	group, ctx := errgroup.WithContext(ctx)
	ctx, stop := context.WithCancel(ctx)
	group.Go(func() error {
		if err := change(ctx); ctx.Err() == nil {
			return err
		}
		return nil
	})
	group.Go(func() error {
		defer stop()
		for range quarters {
			s.mark()
			if err := pause(ctx, churnTime/quarters); err != nil {
				return err
			}
			medians = append(medians, s.sinceMark())
		}
		return nil
	})
	return medians, group.Wait()
}

func (s *sampler) peak() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.high
}

// stop returns why the last look failed, such as that the process had ended.
func (s *sampler) stop() error {
	s.quit()
	s.done.Wait()
	return s.err
}

// rssAnon is a process's anonymous resident memory, without the program's text, in MB.
func rssAnon(pid int) (float64, error) {
	proc, err := procfs.NewProc(pid)
	if err != nil {
		return 0, fmt.Errorf("read memory: %w", err)
	}
	status, err := proc.NewStatus()
	if err == nil && status.RssAnon == 0 {
		err = errors.New("the process has ended")
	}
	return float64(status.RssAnon) / 1e6, err
}
