package servers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/shardscaler/shardscaler/internal/testbed/servers/proc"
)

// File is the path of sandbox.json.
func (e *Env) File() string { return filepath.Join(e.Dir, "sandbox.json") }

// Command is exec.CommandContext for a process that shall end with the sandbox, whatever becomes of
// the caller; in its environment FileVar names sandbox.json. Every test that starts the product or
// a workload starts it so.
func (e *Env) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = proc.Environ(e.Dir, FileVar+"="+e.File())
	return cmd
}

// newRoom is a fresh folder of a server's own, and n ports that were free a moment ago.
func (e *Env) newRoom(name string, n int) (dir string, ports []int, err error) {
	if ports, err = FreePorts(n); err != nil {
		return "", nil, err
	}
	if dir, err = openDir(e.Dir, name); err != nil {
		return "", nil, fmt.Errorf("make folder for %s: %w", name, err)
	}
	return dir, ports, nil
}

// newServer is a server in a room of its own that has no files and no command line yet. Its clients
// dial the first of its n ports.
func (e *Env) newServer(name string, speaks protocol, n int) (*Server, []int, error) {
	dir, ports, err := e.newRoom(name, n)
	if err != nil {
		return nil, nil, err
	}
	s := e.NewProcess(name, dir)
	s.Addr, s.Speaks, s.WorkDir = loopback(ports[0]), speaks, dir
	return s, ports, nil
}

// NewProcess is a program that runs beside the servers and ends with the sandbox; its log is kept
// in dir.
func (e *Env) NewProcess(name, dir string, argv ...string) *Server {
	return &Server{
		Name: name, Argv: argv, Env: []string{FileVar + "=" + e.File()}, owner: e.Dir,
		Log: filepath.Join(dir, name+".log"), PidFile: filepath.Join(dir, name+".pid"),
	}
}

// writeFiles writes files, by their names below dir.
func writeFiles(dir string, files map[string]string) error {
	for name, content := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}
