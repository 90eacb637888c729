package main

import (
	"bytes"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// commit is what a checkout has.
type commit struct {
	hash string
	at   time.Time
}

// lastCommit is the commit of the checkout: all times in what is built are its time.
func lastCommit(root string) (commit, error) {
	out, err := run(root, nil, "git", "log", "-1", "--format=%H %ct")
	if err != nil {
		return commit{}, err
	}
	hash, seconds, _ := strings.Cut(strings.TrimSpace(out), " ")
	at, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return commit{}, fmt.Errorf("time of commit %s: %w", hash, err)
	}
	return commit{hash: hash, at: time.Unix(at, 0).UTC()}, nil
}

// programs are those of one architecture's image.
type programs struct {
	source
	arch                 string
	shardscaler, prestop []byte
	info                 *buildinfo.BuildInfo // of shardscaler
}

// build builds the programs: static, without the names of this machine's folders, and of a size
// that pods pull often.
func (s source) build(arch string) (p *programs, err error) {
	folder, err := os.MkdirTemp("", "shardscaler-build-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	env := []string{"CGO_ENABLED=0", "GOOS=" + system, "GOARCH=" + arch, "GOFLAGS=", "GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT="}
	flags := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version=" + s.version, "-o", folder + "/"}
	if _, err := run(s.root, env, "go", append(flags, "./cmd/shardscaler", "./cmd/prestop")...); err != nil {
		return nil, err
	}
	p = &programs{source: s, arch: arch}
	if p.shardscaler, err = os.ReadFile(filepath.Join(folder, "shardscaler")); err != nil {
		return nil, err
	}
	if p.prestop, err = os.ReadFile(filepath.Join(folder, "prestop")); err != nil {
		return nil, err
	}
	p.info, err = buildinfo.Read(bytes.NewReader(p.shardscaler))
	return p, err
}

// run runs a program in the checkout and returns what it printed; its errors are printed at once.
func run(root string, env []string, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stderr, cmd.Env = root, os.Stderr, append(os.Environ(), env...)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", name, args[0], err)
	}
	return string(out), nil
}
