package layering

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A time that is not known is left out of answers and of what is kept: it is not 0001-01-01.
func TestTimesThatAreNotKnownAreLeftOut(t *testing.T) {
	times := 0
	for _, folder := range []string{"adapter", "rebalancer", "scaler", "internal/api", "internal/app", "internal/config"} {
		require.NoError(t, filepath.WalkDir(filepath.Join("../..", folder), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				field, ok := n.(*ast.Field)
				if !ok || field.Tag == nil {
					return true
				}
				x, isTime := field.Type.(*ast.SelectorExpr)
				if !isTime || x.Sel.Name != "Time" {
					return true
				}
				if pkg, ok := x.X.(*ast.Ident); !ok || pkg.Name != "time" {
					return true
				}
				times++
				text, err := strconv.Unquote(field.Tag.Value)
				require.NoError(t, err)
				if tag := reflect.StructTag(text).Get("json"); tag != "" && !strings.Contains(tag, ",omitzero") {
					t.Errorf("%s: a zero time is written as the year 1: want omitzero in %q", files.Position(field.Pos()), tag)
				}
				return true
			})
			return nil
		}))
	}
	require.Greater(t, times, 20, "the test finds the times")
}
