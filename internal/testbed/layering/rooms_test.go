package layering

import (
	"fmt"
	"go/ast"
	"path"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// The bounds of a room: what is larger is two rooms.
const (
	maxMethods  = 25 // of a type
	manyMethods = 8
	maxFields   = 15 // of a type with more than manyMethods methods
	maxFiles    = 18 // of a package
	maxLines    = 400
)

// values are documents, configurations and the like, which may have any number of fields.
var values = []string{"internal/app.Options", "scaler/decide.Decision", "scaler/decide.History"}

func TestRoomsAreSmall(t *testing.T) {
	all := sources(t, "adapter", "cmd", "internal", "rebalancer", "scaler", "dashboards")
	require.Greater(t, len(all), 200, "the test finds the files")
	found := map[string]string{}
	files := map[string]int{}
	for _, s := range all {
		files[path.Dir(s.path)]++
		if lines := s.files.Position(s.file.End()).Line; lines > maxLines {
			found[s.path] = fmt.Sprintf("%d lines, at most %d", lines, maxLines)
		}
	}
	for name, n := range files {
		if n > maxFiles {
			found[name] = fmt.Sprintf("%d files, at most %d", n, maxFiles)
		}
	}
	methods, fields := members(all)
	for name, n := range methods {
		if n > maxMethods || n > manyMethods && fields[name] > maxFields && !slices.Contains(values, name) {
			found[name] = fmt.Sprintf("%d methods and %d fields: at most %d, and with more than %d methods at most %d fields",
				n, fields[name], maxMethods, manyMethods, maxFields)
		}
	}
	for name, why := range found {
		t.Errorf("%s: %s", name, why)
	}
}

// members counts the methods and the fields of every type, by folder and name.
func members(all []source) (methods, fields map[string]int) {
	methods, fields = map[string]int{}, map[string]int{}
	for _, s := range all {
		folder := path.Dir(s.path) + "."
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Recv != nil {
					methods[folder+receiver(n.Recv.List[0].Type)]++
				}
				return false
			case *ast.TypeSpec:
				if st, ok := n.Type.(*ast.StructType); ok {
					fields[folder+n.Name.Name] = st.Fields.NumFields()
				}
			}
			return true
		})
	}
	return methods, fields
}

// receiver is the name of a method's type.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}
