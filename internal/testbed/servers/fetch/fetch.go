// Package fetch builds and downloads the servers' programs, once, into the user's cache folder.
//
// In: the sources that this checkout pins, and the registries. Out: folders, each under a hash of
// what it is made from: a second clone of the project finds it there. Invariant: a folder that has
// its name is whole.
package fetch

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/ulikunitz/xz"

	"github.com/shardscaler/shardscaler/internal/testbed/gocmd"
)

// The Kubernetes that is built. Its version is the one in tools/controlplane/go.mod; the linker is
// told it as well, because a build from the module cache has no tag to read.
const (
	kubernetesVersion = "v1.37.1"
	versionPackage    = "k8s.io/component-base/version"
	buildLinkerFlags  = "-s -w -X " + versionPackage + ".gitVersion=" + kubernetesVersion +
		" -X " + versionPackage + ".gitMajor=1 -X " + versionPackage + ".gitMinor=37"
)

// buildPackages are built by one go build, which shares what they have in common.
var buildPackages = []string{
	"k8s.io/kubernetes/cmd/kube-apiserver",
	"k8s.io/kubernetes/cmd/kube-controller-manager",
	"k8s.io/kubernetes/cmd/kube-scheduler",
	"k8s.io/kubernetes/cmd/kubectl",
	"sigs.k8s.io/kwok/cmd/kwok",
	"sigs.k8s.io/kwok/cmd/kwokctl",
	"sigs.k8s.io/metrics-server/cmd/metrics-server",
	"go.etcd.io/etcd/server/v3",
}

// ControlPlane returns a folder with bin/ and metrics-server/.
func ControlPlane(ctx context.Context, p *Progress) (string, error) {
	source, inputs, err := readSources("tools/controlplane", "go.mod", "go.sum", "tools.go")
	if err != nil {
		return "", err
	}
	inputs = append(inputs, []byte(buildLinkerFlags), []byte(strings.Join(buildPackages, " ")), []byte(runtime.Version()))
	return Cached(p, "controlplane", inputs, func(dir string) error {
		var total int
		build := packageCounter{}
		listing := func() error {
			out, err := goOutput(ctx, source, append([]string{"list", "-deps"}, buildPackages...)...)
			total = strings.Count(out, "\n")
			return err
		}
		if err := p.During("downloading the sources of Kubernetes, etcd and kwok", nothing, listing); err != nil {
			return err
		}
		howFar := func() string { return fmt.Sprintf("(%d of at most %d packages)", build.compiled.Load(), total) }
		building := func() error {
			cmd := goCommand(ctx, source, append([]string{
				"build", "-v", "-trimpath", "-buildvcs=false", "-ldflags", buildLinkerFlags, "-o", filepath.Join(dir, "bin") + "/",
			}, buildPackages...)...)
			cmd.Stderr = &build
			if err := cmd.Run(); err != nil {
				return fmt.Errorf("%w\n%s", err, build.last)
			}
			return nil
		}
		if err := p.During("building the control plane (once; about 7 minutes on 2 cores)", howFar, building); err != nil {
			return err
		}
		// go build names a program after the last folder of its package that is not a version.
		if err := os.Rename(filepath.Join(dir, "bin", "server"), filepath.Join(dir, "bin", "etcd")); err != nil {
			return err
		}
		metricsServer, err := goOutput(ctx, source, "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/metrics-server")
		if err != nil {
			return err
		}
		manifests := filepath.Join(strings.TrimSpace(metricsServer), "manifests", "base")
		return os.CopyFS(filepath.Join(dir, "metrics-server"), os.DirFS(manifests))
	})
}

// packageCounter counts the packages that a verbose go build names as it compiles them, a line
// each, and keeps the last of what was written, for the error message.
type packageCounter struct {
	compiled atomic.Int64
	last     []byte
}

func (c *packageCounter) Write(p []byte) (int, error) {
	const keep = 4096
	c.compiled.Add(int64(bytes.Count(p, []byte("\n"))))
	c.last = append(c.last, p...)
	c.last = c.last[max(0, len(c.last)-keep):]
	return len(p), nil
}

func goCommand(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := gocmd.Command(ctx, dir, args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-mod=readonly")
	return cmd
}

// goOutput is what a go command prints; an error has what it said on standard error.
func goOutput(ctx context.Context, dir string, args ...string) (string, error) {
	out, err := goCommand(ctx, dir, args...).Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = fmt.Errorf("%w\n%s", err, exit.Stderr)
	}
	return string(out), err
}

// Servers returns a folder with jars/ and postgres/, and what finish, which depends on settings,
// adds to it.
func Servers(ctx context.Context, p *Progress, settings string, finish func(dir, java string) error) (string, error) {
	source, inputs, err := readSources("tools/servers", "pom.xml")
	if err != nil {
		return "", err
	}
	platform, known := map[string]string{"amd64": "linux-amd64", "arm64": "linux-arm64v8"}[runtime.GOARCH]
	if !known {
		return "", fmt.Errorf("fetch servers: no PostgreSQL binaries for %s", runtime.GOARCH)
	}
	return Cached(p, "servers", append(inputs, []byte(platform), []byte(settings)), func(dir string) error {
		maven, java, err := Maven(ctx, p)
		if err != nil {
			return err
		}
		jars := filepath.Join(dir, "jars")
		fetching := func() error {
			cmd := exec.CommandContext(ctx, maven, "-q", "-B", "-f", filepath.Join(source, "pom.xml"), "dependency:copy-dependencies",
				"-DoutputDirectory="+jars, "-Dpostgres.platform="+platform)
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("%w\n%s", err, out)
			}
			return nil
		}
		if err := p.During("fetching ZooKeeper, Kafka and PostgreSQL with Maven", nothing, fetching); err != nil {
			return err
		}
		if err := unpackPostgres(ctx, jars, filepath.Join(dir, "postgres")); err != nil {
			return fmt.Errorf("unpack postgres: %w", err)
		}
		return finish(dir, java)
	})
}

// unpackPostgres unpacks the PostgreSQL jar among jars (a zip around one .txz) into dir, and
// removes the jar: it is no Java. Not every system's tar can read xz.
func unpackPostgres(ctx context.Context, jars, dir string) error {
	found, err := filepath.Glob(filepath.Join(jars, "embedded-postgres-binaries-*.jar"))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("%d PostgreSQL jars in %s, expected one", len(found), jars)
	}
	archive, err := zip.OpenReader(found[0])
	if err != nil {
		return err
	}
	defer archive.Close()
	names, err := fs.Glob(archive, "*.txz")
	if err != nil || len(names) == 0 {
		return fmt.Errorf("no .txz in %s", found[0])
	}
	packed, err := archive.Open(names[0])
	if err != nil {
		return err
	}
	defer packed.Close()
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	tar := exec.CommandContext(ctx, "tar", "--extract", "--no-same-owner", "--file=-", "--directory="+dir)
	if tar.Stdin, err = xz.NewReader(packed); err != nil {
		return err
	}
	if out, err := tar.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return os.Remove(found[0])
}

// Cached returns the folder that make filled, now or in an earlier run, also of another clone.
func Cached(p *Progress, name string, inputs [][]byte, make func(dir string) error) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, name+"-"+hashOf(inputs))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	unlock, err := Lock(filepath.Join(cache, name+".lock"), syscall.LOCK_EX, func() {
		p.Printf("another process is making %s; waiting for it", dir)
	})
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	temp, err := os.MkdirTemp(cache, name+"-unfinished-")
	if err == nil {
		defer os.RemoveAll(temp)
		err = make(temp)
	}
	if err == nil {
		err = errors.Join(os.Chmod(temp, 0o755), os.Rename(temp, dir))
	}
	if err != nil {
		return "", fmt.Errorf("make %s: %w", name, err)
	}
	return dir, nil
}

// Lock takes a lock on a file, as flock(2) does in that mode; before it waits, it calls waiting.
func Lock(file string, mode int, waiting func()) (unlock func(), err error) {
	handle, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", file, err)
	}
	err = syscall.Flock(int(handle.Fd()), mode|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		waiting()
		err = syscall.Flock(int(handle.Fd()), mode)
	}
	if err != nil {
		handle.Close()
		return nil, fmt.Errorf("lock %s: %w", file, err)
	}
	return func() { handle.Close() }, nil
}

// cacheDir is where everything lies that outlives a run.
func cacheDir() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find cache folder: %w", err)
	}
	dir := filepath.Join(cache, "shardscaler")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make cache folder: %w", err)
	}
	return dir, nil
}

func hashOf(inputs [][]byte) string {
	hash := sha256.New()
	for _, input := range append(inputs, []byte(runtime.GOOS), []byte(runtime.GOARCH)) {
		_ = binary.Write(hash, binary.BigEndian, int64(len(input)))
		hash.Write(input)
	}
	return hex.EncodeToString(hash.Sum(nil))[:12]
}

// readSources reads files of a folder of the checkout that we run in.
func readSources(folder string, names ...string) (dir string, contents [][]byte, err error) {
	root, err := ModuleRoot()
	if err != nil {
		return "", nil, err
	}
	dir = filepath.Join(root, filepath.FromSlash(folder))
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return "", nil, fmt.Errorf("read %s: %w", folder, err)
		}
		contents = append(contents, content)
	}
	return dir, contents, nil
}

// ModuleRoot is the top folder of the checkout that the current folder is in.
func ModuleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find checkout: %w", err)
	}
	for here := dir; ; here = filepath.Dir(here) {
		content, err := os.ReadFile(filepath.Join(here, "go.mod"))
		if err == nil && bytes.HasPrefix(content, []byte("module github.com/shardscaler/shardscaler\n")) {
			return here, nil
		}
		if here == filepath.Dir(here) {
			return "", fmt.Errorf("find checkout: %s is not in a checkout of shardscaler", dir)
		}
	}
}
