package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/shardscaler/shardscaler/tools/bars/rounds"
)

const (
	answerRounds = 5
	// answerTime is how long one server is asked in one round.
	answerTime = 8 * time.Second
	// answerReads are read one by one of each server for the table.
	answerReads = 200
)

// answersOf measures what an answer costs with that many pods, rate times a second: ours, and the
// library itself with a provider that returns ready-made lists, each in a process of its own. The
// value of every answer is checked.
func answersOf(pods int, rate float64) measure {
	return func(ctx context.Context, b *bench) (map[string]float64, error) {
		ours, floor, err := measureAnswers(ctx, b, pods, rate)
		if err != nil {
			return nil, err
		}
		return map[string]float64{
			"cpu_per_request_over_floor": rounds.Ratio(ours.cpu, floor.cpu),
			"p50_over_floor":             rounds.Ratio(ours.p50, floor.p50), "p99_over_floor": rounds.Ratio(ours.p99, floor.p99),
			"p50_ms": rounds.Median(ours.p50), "p99_ms": rounds.Median(ours.p99), "cpu_ms_per_request": rounds.Median(ours.cpu),
		}, nil
	}
}

// answers are one server's figures by round, in ms.
type answers struct{ cpu, p50, p99 []float64 }

func measureAnswers(ctx context.Context, b *bench, pods int, rate float64) (ours, floor answers, err error) {
	f, err := b.newField(ctx, pods)
	if err != nil {
		return ours, floor, err
	}
	defer f.close()
	a, err := f.start(ctx, roleOurs)
	if err != nil {
		return ours, floor, err
	}
	z, err := f.start(ctx, roleFloor)
	if err != nil {
		return ours, floor, err
	}
	for round := range answerRounds {
		rounds.Alternate(round, func() {
			err = errors.Join(err, f.round(ctx, a, rate, &ours))
		}, func() {
			err = errors.Join(err, f.round(ctx, z, rate, &floor))
		})
		if err != nil {
			return ours, floor, err
		}
		b.tell("round %d: ours %s ms CPU, p50 %s, p99 %s; floor %s ms CPU, p50 %s, p99 %s", round+1,
			number(ours.cpu[round]), number(ours.p50[round]), number(ours.p99[round]),
			number(floor.cpu[round]), number(floor.p50[round]), number(floor.p99[round]))
	}
	return ours, floor, nil
}

// round asks one server for a while.
func (f *field) round(ctx context.Context, c *contender, rate float64, into *answers) error {
	if _, err := f.ask(ctx, c, rate, time.Second); err != nil { // connections, and the reviews' answers kept for ten seconds
		return fmt.Errorf("warm up %s: %w", c.role, err)
	}
	before, err := c.cpu()
	if err != nil {
		return err
	}
	took, err := f.ask(ctx, c, rate, answerTime)
	if err != nil {
		return fmt.Errorf("ask %s: %w", c.role, err)
	}
	after, err := c.cpu()
	if err != nil {
		return err
	}
	into.cpu = append(into.cpu, (after-before)*1e3/float64(len(took)))
	into.p50, into.p99 = append(into.p50, rounds.Median(took)), append(into.p99, rounds.Quantile(took, 0.99))
	return nil
}

const comparedPods = 1000

// compare tells of ours, the library's floor and the library's test adapter side by side, and
// returns how many calls to the API server a read of ours makes, reviews of who asks apart.
func compare(ctx context.Context, b *bench) (map[string]float64, error) {
	f, err := b.newField(ctx, comparedPods)
	if err != nil {
		return nil, err
	}
	defer f.close()
	if err := f.createPods(ctx); err != nil {
		return nil, err
	}
	b.tell("%d reads of %d of %d pods, one by one", answerReads, comparedPods/2, comparedPods)
	b.tell("%-14s %8s %8s %12s %12s %14s %14s", "", "p50 ms", "p99 ms", "CPU s/1000", "RssAnon MB", "upstream/read", "reviews/read")
	measured := map[string]float64{}
	for _, role := range []string{roleOurs, roleFloor, roleTestAdapter} {
		c, err := f.start(ctx, role)
		if err != nil {
			return nil, err
		}
		row, err := f.row(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("read from %s: %w", role, err)
		}
		b.tell("%-14s %8s %8s %12s %12s %14s %14s", role, number(row.p50), number(row.p99), number(row.cpu), number(row.memory),
			number(row.upstream), number(row.reviews))
		if role == roleOurs {
			measured["upstream_calls_per_read"] = row.upstream
		}
		c.stop()
	}
	return measured, nil
}

type row struct{ p50, p99, cpu, memory, upstream, reviews float64 }

func (f *field) row(ctx context.Context, c *contender) (r row, err error) {
	const warm = 10
	for range warm {
		if _, err := f.read(ctx, c); err != nil {
			return r, err
		}
	}
	before, err := c.cpu()
	if err != nil {
		return r, err
	}
	upstream, reviews := c.upstream.counts()
	var took []float64
	for range answerReads {
		ms, err := f.read(ctx, c)
		if err != nil {
			return r, err
		}
		took = append(took, ms)
	}
	after, err := c.cpu()
	if err != nil {
		return r, err
	}
	upstreamAfter, reviewsAfter := c.upstream.counts()
	r = row{
		p50: rounds.Median(took), p99: rounds.Quantile(took, 0.99), cpu: (after - before) / answerReads * 1e3,
		upstream: float64(upstreamAfter-upstream) / answerReads, reviews: float64(reviewsAfter-reviews) / answerReads,
	}
	r.memory, err = rssAnon(c.pid)
	return r, err
}

// field is what the servers that are compared have in common.
type field struct {
	b          *bench
	dir        string
	population population
	reader     *rest.Config // a service account that may read metrics, and nothing else
	admin      *rest.Config
	contenders []*contender
}

func (b *bench) newField(ctx context.Context, pods int) (f *field, err error) {
	if err := b.prepare(ctx); err != nil {
		return nil, err
	}
	b.worlds++
	namespace := fmt.Sprintf("bars-%d-%d", os.Getpid(), b.worlds)
	f = &field{b: b, dir: filepath.Join(b.dir, namespace), population: population{Namespace: namespace, Pods: pods}}
	if err := os.Mkdir(f.dir, 0o755); err != nil {
		return nil, err
	}
	kube := b.env.Kubernetes
	if _, err := kube.Run(ctx, "create", "namespace", namespace); err != nil {
		return nil, err
	}
	file := filepath.Join(f.dir, "reader")
	err = kube.ServiceAccountKubeconfig(ctx, namespace, "reader", file)
	for _, args := range [][]string{
		{"create", "role", "reader", "-n", namespace, "--verb=get,list", "--resource=*.custom.metrics.k8s.io"},
		{"create", "rolebinding", "reader", "-n", namespace, "--role=reader", "--serviceaccount=" + namespace + ":reader"},
	} {
		if err == nil {
			_, err = kube.Run(ctx, args...)
		}
	}
	if err == nil {
		f.reader, err = clientcmd.BuildConfigFromFlags("", file)
	}
	if err == nil {
		f.admin, err = kube.Config()
	}
	if err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (f *field) close() {
	for _, c := range f.contenders {
		c.stop()
	}
	_, err := f.b.env.Kubernetes.Run(context.Background(), "delete", "namespace", f.population.Namespace, "--wait=false")
	f.b.ended("delete the namespace", err)
}

var errAnswer = errors.New("the answer is not what was observed")
