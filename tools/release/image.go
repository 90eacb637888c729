package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	// uid is the user and the group that the image's process runs as.
	uid = "65532:65532"
	// sbomFile is where scanners of images look for the list of what an image is made of.
	sbomFile = "var/lib/db/sbom/shardscaler.cdx.json"
	// system is the only operating system that there are images for.
	system = "linux"
)

// image is an image of one architecture: two static programs and the list of what they are made
// of, over nothing.
func (p *programs) image() (v1.Image, error) {
	sbom, err := p.sbom()
	if err != nil {
		return nil, err
	}
	layers := make([]v1.Layer, 0, 2)
	for _, files := range [][]file{{{"prestop", p.prestop, 0o755}, {"shardscaler", p.shardscaler, 0o755}}, {{sbomFile, sbom, 0o644}}} {
		packed, err := pack(files, p.commit.at)
		if err != nil {
			return nil, err
		}
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed)), nil },
			tarball.WithMediaType(types.OCILayer))
		if err != nil {
			return nil, fmt.Errorf("layer of %s: %w", files[0].name, err)
		}
		layers = append(layers, layer)
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.AppendLayers(base, layers...)
	if err != nil {
		return nil, fmt.Errorf("append layers: %w", err)
	}
	return mutate.ConfigFile(img, p.config(img))
}

// config is how a container of the image starts.
func (p *programs) config(img v1.Image) *v1.ConfigFile {
	c, err := img.ConfigFile()
	if err != nil {
		panic(err) // it was made here
	}
	c = c.DeepCopy()
	c.OS, c.Architecture, c.Created = system, p.arch, v1.Time{Time: p.commit.at}
	c.Config.User, c.Config.WorkingDir = uid, "/"
	c.Config.Entrypoint, c.Config.Env = []string{"/shardscaler"}, []string{"PATH=/"}
	c.Config.Labels = map[string]string{
		"org.opencontainers.image.title":    "shardscaler",
		"org.opencontainers.image.version":  p.version,
		"org.opencontainers.image.revision": p.commit.hash,
		"org.opencontainers.image.licenses": "Apache-2.0",
	}
	return c
}

// archive writes images into an OCI archive, under one index where there are several; it returns
// the digest by which a registry knows them.
func archive(to, version string, images map[string]v1.Image) (digest v1.Hash, err error) {
	folder, err := os.MkdirTemp("", "shardscaler-image-")
	if err != nil {
		return digest, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	root, err := index(version, images)
	if err != nil {
		return digest, err
	}
	if _, err := layout.Write(folder, root); err != nil {
		return digest, fmt.Errorf("write the layout: %w", err)
	}
	manifest, err := root.IndexManifest()
	if err != nil {
		return digest, err
	}
	files, err := filesBelow(folder)
	if err != nil {
		return digest, err
	}
	packed, err := pack(files, time.Unix(0, 0))
	if err != nil {
		return digest, err
	}
	return manifest.Manifests[0].Digest, write(to, packed)
}

// index has one entry, named by the version: the image, or the index of those of several
// architectures.
func index(version string, images map[string]v1.Image) (v1.ImageIndex, error) {
	all := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	entry := mutate.IndexAddendum{}
	for _, arch := range slices.Sorted(maps.Keys(images)) {
		entry = mutate.IndexAddendum{Add: images[arch], Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: system, Architecture: arch}}}
		all = mutate.AppendManifests(all, entry)
	}
	if len(images) > 1 {
		entry = mutate.IndexAddendum{Add: all}
	}
	entry.Annotations = map[string]string{"org.opencontainers.image.ref.name": version}
	root := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), entry)
	if m, err := root.IndexManifest(); err != nil || len(m.Manifests) != 1 {
		return nil, fmt.Errorf("index has not one entry: %w", err)
	}
	return root, nil
}

// file is one of an archive.
type file struct {
	name string
	text []byte
	mode int64
}

// pack is an uncompressed archive of files and the folders above them, all of one time and of root.
func pack(files []file, at time.Time) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	made := map[string]bool{".": true}
	for _, f := range files {
		for _, dir := range above(f.name) {
			if made[dir] {
				continue
			}
			made[dir] = true
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, ModTime: at, Format: tar.FormatPAX}); err != nil {
				return nil, err
			}
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Size: int64(len(f.text)), ModTime: at, Format: tar.FormatPAX}); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.text); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// above are the folders that a file lies in, the outermost first.
func above(name string) (folders []string) {
	for dir := filepath.Dir(name); dir != "."; dir = filepath.Dir(dir) {
		folders = append([]string{dir}, folders...)
	}
	return folders
}

// filesBelow are all files below a folder, in the order of their names.
func filesBelow(folder string) (files []file, err error) {
	err = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		mode := int64(0o644)
		if info.Mode()&0o111 != 0 {
			mode = 0o755
		}
		name, err := filepath.Rel(folder, path)
		files = append(files, file{filepath.ToSlash(name), text, mode})
		return err
	})
	return files, err
}

// write writes a file that is whole or not there.
func write(name string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".unfinished-")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}
