package main

import (
	"bytes"
	"context"
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

const testAdapterPackage = "sigs.k8s.io/custom-metrics-apiserver/test-adapter"

// testAdapterPort names, in the test adapter's environment, the port on which it takes values;
// unset: any.
const testAdapterPort = "BARS_TEST_ADAPTER_PORT"

// buildTestAdapter builds the library's test adapter as it is, but for one address: it listens on
// port 8080 of every interface for fake values, which neither we want to offer nor may be free.
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
func (w *world) startTestAdapter(ctx context.Context) (pid int, stop func(), err error) {
	program, err := w.b.buildTestAdapter(ctx)
	if err != nil {
		return 0, nil, err
	}
	ports, err := servers.FreePorts(1)
	if err != nil {
		return 0, nil, err
	}
	kubeconfig := w.Env.Kubernetes.Kubeconfig
	cmd := w.Env.Command(context.Background(), program, "--secure-port", strconv.Itoa(ports[0]), "--bind-address", "127.0.0.1",
		"--cert-dir", filepath.Join(w.Dir, "test-adapter-certs"),
		"--lister-kubeconfig", kubeconfig, "--authentication-kubeconfig", kubeconfig, "--authorization-kubeconfig", kubeconfig)
	log := filepath.Join(w.Dir, "test-adapter.log")
	if stop, err = launch(cmd, log); err != nil {
		return 0, nil, err
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
		return 0, nil, fmt.Errorf("start test adapter: %w; its log is %s", err, log)
	}
	return cmd.Process.Pid, stop, nil
}

// launch starts a process that the terminal's signals do not reach; stop ends it.
func launch(cmd *exec.Cmd, logFile string) (stop func(), err error) {
	log, err := os.Create(logFile)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(cmd.Path), err)
	}
	return sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}), nil
}
