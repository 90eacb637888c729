package servers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/shardscaler/shardscaler/internal/testbed/servers/certs"
	"github.com/shardscaler/shardscaler/internal/testbed/servers/proc"
)

// place is where servers are started: the folder of a sandbox, and the programs.
type place struct {
	Dir   string `json:"dir"`
	Tools Tools  `json:"tools"`
}

// File is the path of sandbox.json.
func (e *place) File() string { return filepath.Join(e.Dir, "sandbox.json") }

// Command is exec.CommandContext for a process that shall end with the sandbox, whatever becomes of
// the caller; in its environment FileVar names sandbox.json. Every test that starts the product or a
// workload starts it so.
func (e *place) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = e.environ(os.Environ())
	return cmd
}

// environ marks an environment as that of a process of this sandbox.
func (e *place) environ(base []string) []string {
	return append(proc.WithoutOwner(base), proc.OwnerVar+"="+e.Dir, FileVar+"="+e.File())
}

// newDir makes a fresh folder for a server; a second try of the same server gets another one.
func (e *place) newDir(name string) (string, error) {
	dir, err := openDir(e.Dir, name)
	if err != nil {
		return "", fmt.Errorf("make folder for %s: %w", name, err)
	}
	return dir, nil
}

// newRoom is a folder of a server's own, and n ports that were free a moment ago.
func (e *place) newRoom(name string, n int) (dir string, ports []int, err error) {
	if ports, err = FreePorts(n); err == nil {
		dir, err = e.newDir(name)
	}
	return dir, ports, err
}

func (e *place) newServer(name, dir string, port int, speaks protocol) *Server {
	return &Server{
		Name: name, Addr: loopback(port), Speaks: speaks, WorkDir: dir, owner: e.Dir,
		Log: filepath.Join(dir, name+".log"), PidFile: filepath.Join(dir, name+".pid"),
	}
}

// NewProcess is a program that runs beside the servers and ends with the sandbox; its log is kept in dir.
func (e *place) NewProcess(name, dir string, argv ...string) *Server {
	s := e.newServer(name, dir, 0, "")
	s.Argv, s.Env, s.WorkDir = argv, []string{FileVar + "=" + e.File()}, ""
	return s
}

// newSecure is what a server needs that also listens for TLS: the certificates, and n ports.
func (e *place) newSecure(name, subject string, n int) (*certs.Files, []int, error) {
	dir, ports, err := e.newRoom(name+"-tls", n)
	if err != nil {
		return nil, nil, err
	}
	files, err := certs.Write(dir, subject)
	return files, ports, err
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
