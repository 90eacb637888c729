package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/internal/testbed/gocmd"
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
		out, err := gocmd.Command(ctx, filepath.Join(root, "tools", "bars"), args...).CombinedOutput()
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

// testAdapter is the library's test adapter as a process that takes values on a port; it is not
// started.
func (b *bench) testAdapter(ctx context.Context, dir string, port int, flags ...string) (*servers.Server, error) {
	program, err := b.buildTestAdapter(ctx)
	if err != nil {
		return nil, err
	}
	adapter := b.env.NewProcess(roleTestAdapter, dir, append([]string{program}, flags...)...)
	adapter.Env = append(adapter.Env, testAdapterPort+"="+strconv.Itoa(port))
	return adapter, nil
}

// startTestAdapter returns when the adapter answers.
func (w *world) startTestAdapter(ctx context.Context) (*servers.Server, error) {
	ports, err := servers.FreePorts(2)
	if err != nil {
		return nil, err
	}
	flags := libraryFlags(ports[0], w.Certs.ServerCert, w.Certs.ServerKey, w.Env.Kubernetes.Kubeconfig)
	adapter, err := w.b.testAdapter(ctx, w.Dir, ports[1], flags...)
	if err != nil {
		return nil, err
	}
	if err := adapter.Launch(); err != nil {
		return nil, err
	}
	err = product.Until(ctx, time.Minute, func(context.Context) error {
		conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0])))
		if err != nil {
			return err
		}
		return conn.Close()
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start test adapter: %w\n%s", err, adapter.Tail(20)), adapter.Kill())
	}
	return adapter, nil
}
