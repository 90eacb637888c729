// Package container runs containers of pods as processes of this machine, exactly as the objects
// say: the image's root, arguments, environment, mounts, token and user. There is no container
// engine, and the network is this machine's.
//
// In: an OCI archive of an image, and a pod template that the API server holds. Out: a process, what
// it printed, and its exit code.
package container

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/shardscaler/shardscaler/internal/exact"
)

// Image is an image of one architecture, unpacked.
type Image struct {
	Digest string
	Config Config
	Root   string // the folder of its files
}

// Config is what an image says of itself and of how it starts.
type Config struct {
	Architecture string    `json:"architecture"`
	OS           string    `json:"os"`
	Created      time.Time `json:"created"`
	Config       struct {
		User       string            `json:"User"`
		WorkingDir string            `json:"WorkingDir"`
		Entrypoint []string          `json:"Entrypoint"`
		Env        []string          `json:"Env"`
		Labels     map[string]string `json:"Labels"`
	} `json:"config"`
}

// descriptor names a part of an image.
type descriptor struct {
	Digest string `json:"digest"`
}

// Open unpacks the image of an archive into a folder. Every part has the digest by which it is
// named.
func Open(archive []byte, root string) (*Image, error) {
	blobs, err := Unpack(archive)
	if err != nil {
		return nil, err
	}
	read := func(d descriptor, into any) ([]byte, error) {
		text := blobs["blobs/"+strings.Replace(d.Digest, ":", "/", 1)]
		if sum := fmt.Sprintf("sha256:%x", sha256.Sum256(text)); sum != d.Digest {
			return nil, fmt.Errorf("%s has the digest %s", d.Digest, sum)
		}
		if into == nil {
			return text, nil
		}
		return text, exact.JSON(text, into)
	}
	var index struct {
		Manifests []descriptor `json:"manifests"`
	}
	if err := exact.JSON(blobs["index.json"], &index); err != nil || len(index.Manifests) != 1 {
		return nil, fmt.Errorf("index.json: %d images: %w", len(index.Manifests), err)
	}
	im := &Image{Digest: index.Manifests[0].Digest, Root: root}
	var manifest struct {
		Config descriptor   `json:"config"`
		Layers []descriptor `json:"layers"`
	}
	if _, err := read(index.Manifests[0], &manifest); err != nil {
		return nil, err
	}
	if _, err := read(manifest.Config, &im.Config); err != nil {
		return nil, err
	}
	for _, layer := range manifest.Layers {
		text, err := read(layer, nil)
		if err != nil {
			return nil, err
		}
		files, err := Unpack(text)
		if err != nil {
			return nil, err
		}
		for name, text := range files {
			if err := im.write(name, text); err != nil {
				return nil, err
			}
		}
	}
	return im, nil
}

func (im *Image) write(name string, text []byte) error {
	file := filepath.Join(im.Root, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o755)
}

// Unpack are the files of a tar archive, which may be compressed by gzip.
func Unpack(archive []byte) (map[string][]byte, error) {
	if bytes.HasPrefix(archive, []byte{0x1f, 0x8b}) {
		zip, err := gzip.NewReader(bytes.NewReader(archive))
		if err != nil {
			return nil, err
		}
		if archive, err = io.ReadAll(zip); err != nil {
			return nil, err
		}
	}
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			return nil, err
		}
	}
}

// Command is a program of the image, in its root, with its environment and more, and as its user.
func (im *Image) Command(ctx context.Context, env []string, args ...string) (*exec.Cmd, error) {
	uid, gid := 0, 0
	if _, err := fmt.Sscanf(im.Config.Config.User, "%d:%d", &uid, &gid); err != nil {
		return nil, fmt.Errorf("user %q: %w", im.Config.Config.User, err)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Env = im.Config.Config.WorkingDir, slices.Concat(im.Config.Config.Env, env)
	cmd.SysProcAttr = within(im.Root, uid, gid)
	return cmd, nil
}

// within has a process start in another root, as another user: this machine's, or where that is not
// allowed one of a namespace of its own. It ends with this program.
func within(root string, uid, gid int) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Chroot: root, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() == 0 {
		a.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)} //nolint:gosec // ids are small
		return a
	}
	a.Cloneflags = syscall.CLONE_NEWUSER
	a.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Getuid(), Size: 1}}
	a.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: os.Getgid(), Size: 1}}
	return a
}
