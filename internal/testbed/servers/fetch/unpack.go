package fetch

import (
	"archive/tar"
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ulikunitz/xz"
)

// unpackPostgres unpacks the PostgreSQL jar among jars (a zip around one .txz) into dir, and removes the
// jar: it is no Java.
func unpackPostgres(jars, dir string) error {
	found, err := filepath.Glob(filepath.Join(jars, "embedded-postgres-binaries-*.jar"))
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("%d PostgreSQL jars in %s, expected one", len(found), jars)
	}
	if err != nil {
		return fmt.Errorf("unpack postgres: %w", err)
	}
	if err := unpackJar(found[0], dir); err != nil {
		return fmt.Errorf("unpack postgres: %w", err)
	}
	return os.Remove(found[0])
}

func unpackJar(jar, dir string) error {
	archive, err := zip.OpenReader(jar)
	if err != nil {
		return err
	}
	defer archive.Close()
	names, err := fs.Glob(archive, "*.txz")
	if err != nil || len(names) == 0 {
		return fmt.Errorf("no .txz in %s", jar)
	}
	packed, err := archive.Open(names[0])
	if err != nil {
		return err
	}
	defer packed.Close()
	plain, err := xz.NewReader(packed)
	if err != nil {
		return err
	}
	return untar(plain, dir)
}

func untar(r io.Reader, dir string) error {
	archive := tar.NewReader(r)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if !filepath.IsLocal(header.Name) {
			return fmt.Errorf("archive entry %q leaves the folder", header.Name)
		}
		if err := untarEntry(archive, header, filepath.Join(dir, header.Name)); err != nil {
			return err
		}
	}
}

func untarEntry(content io.Reader, header *tar.Header, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeDir:
		return os.MkdirAll(path, 0o755)
	case tar.TypeSymlink:
		return os.Symlink(header.Linkname, path)
	case tar.TypeReg:
		file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, header.FileInfo().Mode().Perm()|0o444)
		if err != nil {
			return err
		}
		_, err = io.Copy(file, content) //nolint:gosec // the archive is pinned by its coordinates in pom.xml
		return errors.Join(err, file.Close())
	default:
		return fmt.Errorf("archive entry %q has type %q, expected file, folder or link", header.Name, header.Typeflag)
	}
}
