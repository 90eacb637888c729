package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"github.com/shardscaler/shardscaler/internal/testbed/httpcall"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
)

const (
	readPeriod = 200 * time.Millisecond
	// readLimit is how long an answer may take; a Prometheus and an HPA would wait longer.
	readLimit = 2 * time.Second
	// toldFails is how many failed reads are told one by one.
	toldFails = 20
)

// readers read of every replica but one, all the time, as clients do: metrics of all instances as
// an HPA, /metrics, and over REST where a resource runs.
type readers struct {
	f    *fleet
	all  map[*product.Server][]read
	quit context.CancelFunc
	done sync.WaitGroup

	mu           sync.Mutex
	spared       *product.Server
	reads, fails int
}

func (f *fleet) newReaders(ctx context.Context) (*readers, error) {
	r := &readers{f: f, all: map[*product.Server][]read{}}
	for _, v := range f.Servers {
		cfg, err := f.DirectConfig(ctx, v)
		if err != nil {
			return nil, err
		}
		trusted, err := rest.HTTPClientFor(cfg)
		if err != nil {
			return nil, err
		}
		r.all[v] = []read{
			{trusted, cfg.Host + "/apis/custom.metrics.k8s.io/v1beta2/namespaces/" + f.Namespace + "/pods/*/" + theMetric + "?labelSelector=app%3D" + thingSet, "describedObject", f.instances},
			{http.DefaultClient, "http://" + v.Addr + "/metrics", "\nshardscaler_leading ", 1},
			{http.DefaultClient, "http://" + v.Addr + "/v1/api/orchestrations/" + thing + "/" + importedIDs(1)[0] + "/instances", `"runIn":"`, 1},
		}
		if err := r.await(ctx, v); err != nil {
			return nil, err
		}
	}
	ctx, r.quit = context.WithCancel(ctx)
	for _, v := range f.Servers {
		r.done.Go(func() { r.each(ctx, v) })
	}
	return r, nil
}

// await returns when a replica answers every question: one that was started or given back is ready
// before its metrics are young enough.
func (r *readers) await(ctx context.Context, v *product.Server) error {
	return product.Until(ctx, product.Patience, func(ctx context.Context) error {
		for _, q := range r.all[v] {
			if err := q.do(ctx); err != nil {
				return fmt.Errorf("read of %s: %w", v.Name, err)
			}
		}
		return nil
	})
}

// read is one question, and how often its answer has a text.
type read struct {
	client        *http.Client
	address, text string
	times         int
}

func (q read) do(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	body, err := httpcall.Do(ctx, q.client, http.MethodGet, q.address, "", nil)
	if got := bytes.Count(body, []byte(q.text)); err == nil && got != q.times {
		err = fmt.Errorf("%d times %s, want %d: %.200s", got, q.text, q.times, body)
	}
	return err
}

// each asks one replica.
func (r *readers) each(ctx context.Context, v *product.Server) {
	tick := time.NewTicker(readPeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, q := range r.all[v] {
			if !r.isSpared(v) {
				r.count(ctx, v, q, q.do(ctx))
			}
		}
	}
}

// spare leaves one replica alone from now on, as it is about to be struck, and no other.
func (r *readers) spare(v *product.Server) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spared = v
}

func (r *readers) isSpared(v *product.Server) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.spared == v
}

// count counts a read; one of a replica that was struck meanwhile is none.
func (r *readers) count(ctx context.Context, v *product.Server, q read, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ctx.Err() != nil || r.spared == v {
		return
	}
	r.reads++
	if err == nil {
		return
	}
	if r.fails++; r.fails <= toldFails {
		r.f.b.tell("a read of %s failed: %s: %v", v.Name, q.address, err)
	}
}

// stop returns how many reads failed.
func (r *readers) stop() int {
	r.quit()
	r.done.Wait()
	r.f.b.tell("%d of %d reads of the other replicas failed", r.fails, r.reads)
	return r.fails
}
