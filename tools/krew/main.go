// Command krew makes the archives of the kubectl plugin and the manifest by which krew installs
// them.
//
// In: this checkout, a version, and manifests/krew/shardscaler.yaml. Out: a folder with an archive
// for each platform of that file, and the file with the version and each archive's sum in it. The
// archives of one commit are the same each time. Krew's own commands, which are tools of this
// module, check both: tools/krew_test.go.
package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

const (
	manifest = "manifests/krew/shardscaler.yaml"
	program  = "kubectl-shardscaler"
	// unreleased is the version in the manifest of this checkout, none its sums.
	unreleased = "v0.0.0"
)

var none = strings.Repeat("0", 64)

func main() {
	version := flag.String("version", "", "the release: v1.2.3")
	out := flag.String("out", "", "the folder for archives and manifest")
	only := flag.String("only", "", "for tests: only this platform, the machine's own, built with what the machine has compiled already")
	root := flag.String("root", "../..", "the checkout")
	flag.Parse()
	if err := release(*root, *version, *out, *only); err != nil {
		fmt.Fprintln(os.Stderr, "krew:", err)
		os.Exit(1)
	}
}

var versions = regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`)

func release(root, version, out, only string) error {
	if !versions.MatchString(version) || version == unreleased || out == "" {
		return fmt.Errorf("want -version v1.2.3 and -out FOLDER, got %q and %q", version, out)
	}
	text, err := os.ReadFile(filepath.Join(root, manifest))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	filled, err := fill(string(text), version, func(archive string) (string, error) {
		system, arch, err := platform(archive, version)
		if err != nil || only != "" && only != system+"/"+arch {
			return none, err
		}
		return pack(root, version, system, arch, filepath.Join(out, archive), only == "")
	})
	if err != nil {
		return err
	}
	if only == "" && strings.Contains(filled, none) {
		return errors.New("a platform of the manifest has no archive")
	}
	return os.WriteFile(filepath.Join(out, path.Base(manifest)), []byte(filled), 0o644)
}

var (
	uriLine = regexp.MustCompile(`^\s*uri: (\S+)$`)
	sumLine = regexp.MustCompile(`^(\s*sha256: )"0{64}"$`)
)

// fill is the manifest with the version, and after each address the sum of its archive.
func fill(text, version string, sumOf func(archive string) (string, error)) (string, error) {
	if !strings.Contains(text, "version: "+unreleased+"\n") {
		return "", fmt.Errorf("the manifest does not have the version %s", unreleased)
	}
	var b strings.Builder
	archive := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue // the comment is about what is not released
		}
		line = strings.ReplaceAll(line, unreleased, version)
		if m := uriLine.FindStringSubmatch(line); m != nil {
			archive = path.Base(m[1])
		}
		if m := sumLine.FindStringSubmatch(line); m != nil {
			if archive == "" {
				return "", errors.New("a sum comes before its address")
			}
			sum, err := sumOf(archive)
			if err != nil {
				return "", fmt.Errorf("%s: %w", archive, err)
			}
			line, archive = m[1]+`"`+sum+`"`, ""
		}
		b.WriteString(line + "\n")
	}
	return b.String(), nil
}

// platform is what the name of an archive says.
func platform(archive, version string) (system, arch string, err error) {
	name, ok := strings.CutPrefix(archive, program+"_"+version+"_")
	name, _, _ = strings.Cut(name, ".")
	system, arch, both := strings.Cut(name, "_")
	if !ok || !both {
		return "", "", errors.New("the name says no platform")
	}
	return system, arch, nil
}

// pack builds the plugin for a platform and packs it with the licence; it returns the sum. What is
// not reproducible is built as any go build here builds it.
func pack(root, version, system, arch, archive string, reproducible bool) (sum string, err error) {
	folder, err := os.MkdirTemp("", "krew-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(folder)
	bin := program
	if system == "windows" {
		bin += ".exe"
	}
	build := exec.Command("go", "build", "-buildvcs=false", "-ldflags", "-s -w -X main.version="+version, "-o", filepath.Join(folder, bin), "./cmd/"+program)
	build.Dir, build.Stderr = root, os.Stderr
	if reproducible {
		build.Args = append(build.Args[:2:2], append([]string{"-trimpath"}, build.Args[2:]...)...)
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+arch)
	}
	if err := build.Run(); err != nil {
		return "", fmt.Errorf("build: %w", err)
	}
	file, err := os.Create(archive)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	hash := sha256.New()
	write := writeTar
	if strings.HasSuffix(archive, ".zip") {
		write = writeZip
	}
	err = write(io.MultiWriter(file, hash), []entry{{bin, filepath.Join(folder, bin), 0o755}, {"LICENSE", filepath.Join(root, "LICENSE"), 0o644}})
	return fmt.Sprintf("%x", hash.Sum(nil)), err
}

type entry struct {
	name, file string
	mode       os.FileMode
}

func writeTar(out io.Writer, entries []entry) error {
	packed := gzip.NewWriter(out)
	archive := tar.NewWriter(packed)
	for _, e := range entries {
		text, err := os.ReadFile(e.file)
		if err != nil {
			return err
		}
		if err := archive.WriteHeader(&tar.Header{Name: e.name, Mode: int64(e.mode), Size: int64(len(text)), Format: tar.FormatUSTAR, ModTime: time.Unix(0, 0)}); err != nil {
			return err
		}
		if _, err := archive.Write(text); err != nil {
			return err
		}
	}
	return errors.Join(archive.Close(), packed.Close())
}

func writeZip(out io.Writer, entries []entry) error {
	archive := zip.NewWriter(out)
	for _, e := range entries {
		text, err := os.ReadFile(e.file)
		if err != nil {
			return err
		}
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		h.SetMode(e.mode)
		w, err := archive.CreateHeader(h)
		if err != nil {
			return err
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
	}
	return archive.Close()
}
