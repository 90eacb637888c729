package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/shardscaler/shardscaler/tools/bars/rounds"
)

const (
	answerRounds = 5
	// answerTime is how long one server is asked in one round.
	answerTime = 8 * time.Second
	// answerReads are read one by one of each server for the table.
	answerReads  = 200
	comparedPods = 1000
)

// answers are what the answers of one server cost, by round, in ms.
type answers struct{ cpu, p50, p99 []float64 }

// answersOf measures what an answer costs with that many pods, rate times a second: ours, and the
// library itself with a provider that returns ready-made lists, each in a process of its own. The
// value of every answer is checked.
func answersOf(pods int, rate float64) measure {
	return func(ctx context.Context, b *bench) (map[string]float64, error) {
		f, err := b.newField(ctx, pods)
		if err != nil {
			return nil, err
		}
		defer f.close()
		servers := [2]*contender{}
		for i, role := range []string{roleOurs, roleFloor} {
			if servers[i], err = f.start(ctx, role); err != nil {
				return nil, err
			}
		}
		costs, err := f.inTurns(ctx, servers, answerRounds, rate)
		if err != nil {
			return nil, err
		}
		ours, floor := costs[0], costs[1]
		return map[string]float64{
			"cpu_per_request_over_floor": rounds.Ratio(ours.cpu, floor.cpu),
			"p50_over_floor":             rounds.Ratio(ours.p50, floor.p50), "p99_over_floor": rounds.Ratio(ours.p99, floor.p99),
			"p50_ms": rounds.Median(ours.p50), "p99_ms": rounds.Median(ours.p99), "cpu_ms_per_request": rounds.Median(ours.cpu),
		}, nil
	}
}

// inTurns asks two servers so many times, rate times a second.
func (f *field) inTurns(ctx context.Context, servers [2]*contender, times int, rate float64) (costs [2]answers, err error) {
	for round := range times {
		ask := func(i int) func() {
			return func() { err = errors.Join(err, f.round(ctx, servers[i], rate, &costs[i])) }
		}
		if rounds.Alternate(round, ask(0), ask(1)); err != nil {
			return costs, err
		}
		for i, c := range costs {
			f.b.tell("round %d: %s %s ms CPU, p50 %s, p99 %s", round+1, servers[i].role,
				number(c.cpu[round]), number(c.p50[round]), number(c.p99[round]))
		}
	}
	return costs, nil
}

// round asks one server for a while.
func (f *field) round(ctx context.Context, c *contender, rate float64, into *answers) error {
	if _, err := f.ask(ctx, c, rate, time.Second); err != nil {
		// connections, and the reviews' answers kept for ten seconds
		return fmt.Errorf("warm up %s: %w", c.role, err)
	}
	before := c.cpu()
	took, err := f.ask(ctx, c, rate, answerTime)
	if err != nil {
		return fmt.Errorf("ask %s: %w", c.role, err)
	}
	into.cpu = append(into.cpu, (c.cpu()-before)*1e3/float64(len(took)))
	into.p50, into.p99 = append(into.p50, rounds.Median(took)), append(into.p99, rounds.Quantile(took, 0.99))
	return nil
}

// compare tells of ours, the library's floor and the library's test adapter side by side, and
// returns how many calls to the API server a read of ours makes, reviews of the caller apart.
func compare(ctx context.Context, b *bench) (map[string]float64, error) {
	f, err := b.newField(ctx, comparedPods)
	if err != nil {
		return nil, err
	}
	defer f.close()
	kube, err := kubernetes.NewForConfig(f.admin)
	if err != nil {
		return nil, err
	}
	if err := f.population.create(ctx, kube); err != nil {
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
		upstream, err := f.row(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("read from %s: %w", role, err)
		}
		if role == roleOurs {
			measured["upstream_calls_per_read"] = upstream
		}
		c.stop()
	}
	return measured, nil
}

// row tells what a server's reads cost, and returns how many calls to the API server each makes.
func (f *field) row(ctx context.Context, c *contender) (upstream float64, err error) {
	const warm = 10
	var took []float64
	var cpu float64
	var calls, reviews int64
	for i := range warm + answerReads {
		if i == warm {
			took, cpu, calls, reviews = nil, c.cpu(), c.upstream.calls.Load(), c.upstream.reviews.Load()
		}
		ms, err := f.read(ctx, c, time.Now())
		if err != nil {
			return 0, err
		}
		took = append(took, ms)
	}
	cpu = c.cpu() - cpu
	upstream = float64(c.upstream.calls.Load()-calls) / answerReads
	memory, err := rssAnon(c.server.Pid())
	reviewed := float64(c.upstream.reviews.Load()-reviews) / answerReads
	f.b.tell("%-14s %8s %8s %12s %12s %14s %14s", c.role, number(rounds.Median(took)),
		number(rounds.Quantile(took, 0.99)), number(cpu/answerReads*1e3), number(memory), number(upstream), number(reviewed))
	return upstream, err
}

// field is what the servers that are compared have in common.
type field struct {
	b          *bench
	dir        string // for logs and what they are told
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
