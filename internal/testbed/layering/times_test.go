package layering

import (
	"go/ast"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A time that is not known is left out of answers and of what is kept: it is not 0001-01-01.
func TestTimesThatAreNotKnownAreLeftOut(t *testing.T) {
	times := 0
	for _, s := range sources(t, "adapter", "rebalancer", "scaler", "internal/api", "internal/app", "internal/config") {
		ast.Inspect(s.file, func(n ast.Node) bool {
			field, ok := n.(*ast.Field)
			if !ok || field.Tag == nil || !isTime(field.Type) {
				return true
			}
			times++
			text, err := strconv.Unquote(field.Tag.Value)
			require.NoError(t, err)
			if tag := reflect.StructTag(text).Get("json"); tag != "" && !strings.Contains(tag, ",omitzero") {
				t.Errorf("%s: a zero time is written as the year 1: want omitzero in %q", s.position(field), tag)
			}
			return true
		})
	}
	require.Greater(t, times, 20, "the test finds the times")
}

func isTime(e ast.Expr) bool {
	x, ok := e.(*ast.SelectorExpr)
	if !ok || x.Sel.Name != "Time" {
		return false
	}
	pkg, ok := x.X.(*ast.Ident)
	return ok && pkg.Name == "time"
}
