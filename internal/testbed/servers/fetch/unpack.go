package fetch

import (
	"archive/zip"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/ulikunitz/xz"
)

// unpackPostgres unpacks the PostgreSQL jar among jars (a zip around one .txz) into dir, and removes the
// jar: it is no Java. Not every system's tar can read xz.
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
