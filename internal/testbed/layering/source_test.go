package layering

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// source is a file of the product, as the other tests look at it.
type source struct {
	// path is from the module's root.
	path  string
	files *token.FileSet
	file  *ast.File
}

func (s source) position(n ast.Node) token.Position {
	p := s.files.Position(n.Pos())
	p.Filename = s.path
	return p
}

// sources parses what is below the folders, without tests and what is generated.
func sources(t *testing.T, folders ...string) (all []source) {
	t.Helper()
	for _, folder := range folders {
		root := filepath.Join("../../..", folder)
		require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if entry != nil && entry.Name() == "node_modules" { // what npm fetched is not ours
				return fs.SkipDir
			}
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") ||
				strings.HasSuffix(path, "_test.go") || strings.HasPrefix(entry.Name(), "zz_generated") {
				return err
			}
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			all = append(all, source{strings.TrimPrefix(filepath.ToSlash(path), "../../../"), files, file})
			return nil
		}))
	}
	require.NotEmpty(t, all)
	return all
}

// deps returns the packages that the packages matching pattern need, themselves included.
func deps(t *testing.T, pattern string) []string {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps", "./../../../"+pattern).Output()
	require.NoError(t, err, "list %s", pattern)
	list := strings.Fields(string(out))
	require.NotEmpty(t, list)
	return list
}
