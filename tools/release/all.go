package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

const imageFile = "shardscaler-image.tar"

// all makes a folder of what a release hands out, or leaves nothing there.
func (s source) all(out, repository, only string) (err error) {
	if err := os.Mkdir(out, 0o755); err != nil {
		return fmt.Errorf("-out: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(out))
		}
	}()
	arches := []string{"amd64", "arm64"}
	if only != "" {
		arches = []string{filepath.Base(only)}
	}
	digest, err := s.images(arches, filepath.Join(out, imageFile))
	if err != nil {
		return err
	}
	if err := s.manifests(filepath.Join(out, "manifests.tar.gz"), repository, digest.String()); err != nil {
		return err
	}
	if err := s.chart(out, repository, digest.String()); err != nil {
		return err
	}
	plugin := []string{"-C", filepath.Join(s.root, "tools/krew"), "run", "."}
	folder, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	if _, err := run(".", nil, "go", append(plugin, "-version", s.version, "-out", folder, "-only", only)...); err != nil {
		return err
	}
	return sums(out)
}

// manifests packs the folder of that name, in which every use of the image is by its digest.
func (s source) manifests(to, repository, digest string) error {
	folder := filepath.Join(s.root, "manifests")
	files, err := filesBelow(folder)
	if err != nil {
		return err
	}
	uses := 0
	for i := range files {
		f := &files[i]
		if filepath.Ext(f.name) == ".yaml" {
			n := 0
			f.text, n = byDigest(f.text, repository, digest)
			uses += n
		}
		f.name = "manifests/" + f.name
	}
	if uses == 0 {
		return errors.New("manifests: none names the image")
	}
	return s.packed(to, files)
}

// packed writes files into a compressed archive.
func (s source) packed(to string, files []file) error {
	archive, err := pack(files, s.commit.at)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	_, err = zip.Write(archive)
	if err := errors.Join(err, zip.Close()); err != nil {
		return err
	}
	return write(to, b.Bytes())
}

// chart packs Helm's chart, with the version and the image's digest in it, under the name that Helm
// gives an archive.
func (s source) chart(out, repository, digest string) error {
	files, err := filesBelow(filepath.Join(s.root, "manifests/chart"))
	if err != nil {
		return err
	}
	version := strings.TrimPrefix(s.version, "v")
	filled := map[string][][2]string{
		"Chart.yaml":  {{"\nversion: 0.0.0\n", "\nversion: " + version + "\n"}, {"\nappVersion: v0.0.0\n", "\nappVersion: " + s.version + "\n"}},
		"values.yaml": {{"\n  repository: shardscaler\n", "\n  repository: " + repository + "\n"}, {"\n  digest: \"\"\n", "\n  digest: " + digest + "\n"}},
	}
	for i := range files {
		f := &files[i]
		for _, change := range filled[f.name] {
			if !bytes.Contains(f.text, []byte(change[0])) {
				return fmt.Errorf("chart: %s has no %q", f.name, change[0])
			}
			f.text = bytes.Replace(f.text, []byte(change[0]), []byte(change[1]), 1)
		}
		f.name = "shardscaler/" + f.name
	}
	return s.packed(filepath.Join(out, "shardscaler-"+version+".tgz"), files)
}

// What names the image: a container, and a kustomization that says what the name stands for.
var (
	imageLine = regexp.MustCompile(`(?m)^(\s*image: )shardscaler$`)
	imageTag  = regexp.MustCompile(`(?m)^- name: shardscaler\n  newTag: latest$`)
)

// byDigest has a manifest name the image by its digest, and says how often.
func byDigest(text []byte, repository, digest string) (filled []byte, uses int) {
	uses = len(imageLine.FindAll(text, -1)) + len(imageTag.FindAll(text, -1))
	text = imageLine.ReplaceAll(text, []byte("${1}"+repository+"@"+digest))
	return imageTag.ReplaceAll(text, []byte("- name: "+repository+"\n  digest: "+digest)), uses
}

// sums writes checksums.txt, as sha256sum reads it.
func sums(folder string) error {
	files, err := filesBelow(folder)
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, f := range files {
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256(f.text), f.name)
	}
	return write(filepath.Join(folder, "checksums.txt"), []byte(b.String()))
}
