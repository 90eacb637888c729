package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

const (
	memoryInstances = 100
	// fullWorld are the Things for which it is promised that memory does not grow.
	fullWorld = 350_000
	// memoryBound is what the server may need beyond any metrics API server, at rest and at its peak, in MB (10⁶ bytes).
	memoryBound = 80
	// settleTime is how long nothing is asked of the server before it counts as at rest: Go collects garbage at the latest every
	// two minutes, and gives memory back after that. restTime is then looked at.
	settleTime = 130 * time.Second
	restTime   = 60 * time.Second
	// churnTime stands for an hour: what changes in it is what an hour changes.
	churnTime = 3 * time.Minute
	// churnShare is the part of the Things that an hour replaces: one in so many.
	churnShare = 10
	// afterRestart is how long the peak of a restart is looked for.
	afterRestart = 30 * time.Second
)

// memoryGroup tells the anonymous memory (RssAnon, so without the program's text) of the server with that many Things on 100
// instances, above that of the library's own test adapter, which runs beside it on the same API server: at rest, and at its peak
// over an import, an hour in which Things come and go, and a restart; and whether that hour lets it grow. Metrics are read all the
// while as an HPA and a Prometheus would.
func memoryGroup(things int) group {
	name := fmt.Sprintf("memory_%d", things)
	growthBound := atMost(quarterNoise)
	if things < fullWorld { // a small heap is still on its way to the size that it may reach
		growthBound = bound{}
	}
	rest, peak, growth := name+"_rest_above_test_adapter_MB", name+"_peak_above_test_adapter_MB", name+"_last_quarter_over_second"
	return group{
		name:    name,
		figures: []figure{{rest, atMost(memoryBound)}, {peak, atMost(memoryBound)}, {growth, growthBound}},
		measure: func(ctx context.Context, b *bench) (map[string]float64, error) {
			m, err := measureMemory(ctx, b, things)
			if err != nil {
				return nil, err
			}
			b.tell("RssAnon in MB: server %s at rest, %s at its peak; test adapter %s and %s",
				number(m.server.rest), number(m.server.peak), number(m.adapter.rest), number(m.adapter.peak))
			return map[string]float64{rest: m.server.rest - m.adapter.rest, peak: m.server.peak - m.adapter.peak, growth: m.growth}, nil
		},
	}
}

// footprint is in MB.
type footprint struct{ rest, peak float64 }

type memory struct {
	server, adapter footprint
	// growth is the last quarter of the churn over the second.
	growth float64
}

func measureMemory(ctx context.Context, b *bench, things int) (m memory, err error) {
	adapterProgram, err := b.buildTestAdapter(ctx)
	if err != nil {
		return m, err
	}
	w, err := b.start(ctx, memoryInstances, things)
	if err != nil {
		return m, err
	}
	defer func() { b.ended("close the world", w.close()) }()
	adapter, stopAdapter, err := w.startTestAdapter(ctx, adapterProgram)
	if err != nil {
		return m, err
	}
	defer stopAdapter()

	ours, theirs := newSampler(w.Servers[0].Pid), newSampler(func() int { return adapter })
	defer func() { _, _ = ours.stop(), theirs.stop() }() // on the way out early; the end below takes their errors
	stopReading := w.readMetrics(ctx)
	defer stopReading()

	ids := product.IDs(things, 3)
	took, err := w.importThings(ctx, ids, true)
	if err != nil {
		return m, err
	}
	b.tell("imported %d in %s (%s/s), peak so far %s MB; %d are replaced in %s", things, took.Round(10*time.Millisecond),
		number(float64(things)/took.Seconds()), number(ours.peak()), things/churnShare, churnTime)
	medians, err := ours.quarters(ctx, func(ctx context.Context) error { return w.churnThings(ctx, ids) })
	if err != nil {
		return m, err
	}
	m.growth = medians[quarters-1] / medians[1]
	if _, err := w.awaitListed(ctx, things, time.Minute); err != nil {
		return m, err
	}
	b.tell("RssAnon in MB: median of each quarter %.1f, peak so far %s; now at rest for %s", medians, number(ours.peak()), settleTime+restTime)
	if err := pause(ctx, settleTime); err != nil {
		return m, err
	}
	ours.mark()
	theirs.mark()
	if err := pause(ctx, restTime); err != nil {
		return m, err
	}
	m.server.rest, m.adapter.rest = ours.sinceMark(), theirs.sinceMark()
	b.tell("peak so far %s MB; now a restart", number(ours.peak()))
	if err := w.restart(ctx); err != nil {
		return m, err
	}
	m.server.peak, m.adapter.peak = ours.peak(), theirs.peak()
	return m, errors.Join(ours.stop(), theirs.stop(), w.check(ctx, things))
}

// churnThings lets Things go and as many come, one by one, over churnTime. A step that has begun is finished: half of one would leave a
// catalogue that no message told of.
func (w *world) churnThings(ctx context.Context, ids []string) error {
	gone := ids[:len(ids)/churnShare]
	come := product.IDs(len(gone), 9)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for each := max(1, len(gone)/int(churnTime/time.Second)); len(gone) > 0; {
		n := min(each, len(gone))
		if err := w.replaceThings(context.WithoutCancel(ctx), gone[:n], come[:n]); err != nil {
			return err
		}
		gone, come = gone[n:], come[n:]
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
	return nil
}

func (w *world) replaceThings(ctx context.Context, gone, come []string) error {
	if err := w.Platform.Remove(ctx, thing, gone...); err != nil {
		return err
	}
	if err := w.Platform.Insert(ctx, thing, come...); err != nil {
		return err
	}
	var messages []product.Notification
	for i := range gone {
		messages = append(messages, product.Deleted(thing, gone[i]), product.Created(thing, come[i]))
	}
	return w.Platform.Publish(ctx, messages...)
}

// restart makes the server load everything at once.
func (w *world) restart(ctx context.Context) error {
	server := w.Servers[0]
	if err := server.Stop(ctx); err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		return err
	}
	if err := w.AwaitReady(ctx, server); err != nil {
		return err
	}
	return pause(ctx, afterRestart)
}

// readMetrics reads as an HPA and a Prometheus do, every 15 s.
func (w *world) readMetrics(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() {
		for pause(ctx, 15*time.Second) == nil {
			_, _ = w.Metric(ctx, "pods/*", "resources_per_instance") // while the server restarts there is no answer
			_ = w.Servers[0].REST(ctx, "GET", "/metrics", "", nil, nil)
		}
	})
	return func() {
		cancel()
		group.Wait()
	}
}

const testAdapterPackage = "sigs.k8s.io/custom-metrics-apiserver/test-adapter"

// testAdapterPort names, in the test adapter's environment, the port on which it takes values; unset: any.
const testAdapterPort = "BARS_TEST_ADAPTER_PORT"

// buildTestAdapter builds the library's test adapter as it is, but for one address: it listens on port 8080 of every interface for
// fake values, which neither we want to offer nor may be free.
func (b *bench) buildTestAdapter(ctx context.Context) (program string, err error) {
	if err := b.prepare(ctx); err != nil {
		return "", err
	}
	program = filepath.Join(b.dir, "test-adapter")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	b.tell("building the library's test adapter")
	root, err := servers.ModuleRoot()
	if err != nil {
		return "", err
	}
	run := func(args ...string) ([]byte, error) {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir = filepath.Join(root, "tools", "bars")
		out, err := cmd.CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("build test adapter: go %s: %w\n%s", args[0], err, out)
		}
		return out, nil
	}
	dir, err := run("list", "-f", "{{.Dir}}", testAdapterPackage)
	if err != nil {
		return "", err
	}
	source, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "main.go"))
	if err != nil {
		return "", fmt.Errorf("build test adapter: %w", err)
	}
	const address, instead = `":8080"`, `"127.0.0.1:" + os.Getenv("` + testAdapterPort + `")`
	if bytes.Count(source, []byte(address)) != 1 {
		return "", fmt.Errorf("build test adapter: its main.go no longer names %s once", address)
	}
	file := filepath.Join(b.dir, "testadapter.go")
	if err := os.WriteFile(file, bytes.Replace(source, []byte(address), []byte(instead), 1), 0o644); err != nil {
		return "", fmt.Errorf("build test adapter: %w", err)
	}
	_, err = run("build", "-o", program, file)
	return program, err
}

// startTestAdapter returns when the adapter answers.
func (w *world) startTestAdapter(ctx context.Context, program string) (pid int, stop func(), err error) {
	ports, err := servers.FreePorts(1)
	if err != nil {
		return 0, nil, err
	}
	log, err := os.Create(filepath.Join(w.Dir, "test-adapter.log"))
	if err != nil {
		return 0, nil, err
	}
	defer log.Close()
	kubeconfig := w.Env.Kubernetes.Kubeconfig
	cmd := w.Env.Command(context.Background(), program, "--secure-port", strconv.Itoa(ports[0]), "--bind-address", "127.0.0.1",
		"--cert-dir", filepath.Join(w.Dir, "test-adapter-certs"),
		"--lister-kubeconfig", kubeconfig, "--authentication-kubeconfig", kubeconfig, "--authorization-kubeconfig", kubeconfig)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return 0, nil, fmt.Errorf("start test adapter: %w", err)
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	err = product.Until(ctx, time.Minute, func(context.Context) error {
		conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0])))
		if err != nil {
			return err
		}
		return conn.Close()
	})
	if err != nil {
		stop()
		return 0, nil, fmt.Errorf("start test adapter: %w; its log is %s", err, log.Name())
	}
	return cmd.Process.Pid, stop, nil
}

// pause waits, or says that the run was interrupted.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
