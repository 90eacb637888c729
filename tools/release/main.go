// Command release makes what is handed out.
//
//	release image  the container image: an OCI archive of one architecture, or of several
//	release all    the image, the manifests with its digest, the plugin of kubectl, their sums
//
// In: this checkout and a version. One commit gives the same bytes each time, in every folder. No
// container engine is needed, and nothing is fetched but Go modules.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func main() {
	if err := command(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// source is what a release is made of: a checkout, its last commit, and what that calls itself.
type source struct {
	root, version string
	commit        commit
}

var errUsage = errors.New("want: release image|all -out PATH, see -h")

func command(args []string, stdout io.Writer) error {
	if len(args) == 0 {
		return errUsage
	}
	f := flag.NewFlagSet("release "+args[0], flag.ContinueOnError)
	root := f.String("root", "../..", "the checkout")
	version := f.String("version", "", "what it calls itself; empty: as git describes the commit")
	arches, repository, only := new(string), new(string), new(string)
	out := f.String("out", "", "the archive that is written")
	switch args[0] {
	case "image":
		arches = f.String("arch", runtime.GOARCH, "architectures, with commas between them")
	case "all":
		f.Lookup("out").Usage = "the folder that is made"
		repository = f.String("repository", "shardscaler", "where the image will be, without tag: the manifests name it by its digest")
		only = f.String("only", "", "for tests: only the image and the plugin of this platform, such as linux/amd64")
	default:
		return fmt.Errorf("%q: %w", args[0], errUsage)
	}
	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	if *out == "" || f.NArg() > 0 {
		return fmt.Errorf("want -out PATH and no arguments, got %q and %q", *out, f.Args())
	}
	s, err := sourceOf(*root, *version)
	if err != nil {
		return err
	}
	if args[0] == "all" {
		return s.all(*out, *repository, *only)
	}
	digest, err := s.images(strings.Split(*arches, ","), *out)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(stdout, digest)
	return err
}

func sourceOf(root, version string) (s source, err error) {
	if version == "" {
		described, err := run(root, nil, "git", "describe", "--tags", "--always", "--dirty")
		if err != nil {
			return s, err
		}
		version = strings.TrimSpace(described)
	}
	of, err := lastCommit(root)
	return source{root, version, of}, err
}

// images builds the image for each architecture and writes all into one archive. It returns the
// digest.
func (s source) images(arches []string, out string) (v1.Hash, error) {
	all := map[string]v1.Image{}
	for _, arch := range arches {
		p, err := s.build(arch)
		if err != nil {
			return v1.Hash{}, fmt.Errorf("%s/%s: %w", system, arch, err)
		}
		if all[arch], err = p.image(); err != nil {
			return v1.Hash{}, fmt.Errorf("%s/%s: %w", system, arch, err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return v1.Hash{}, err
	}
	return archive(out, s.version, all)
}
