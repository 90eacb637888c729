package layering

import (
	"go/ast"
	"go/types"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// guarded are the folders in which a lock is let go of by defer alone: what a kind's loops and
// those who ask them share. A panic is caught around a request and around a kind, so a lock that
// one has kept would be kept for ever.
var guarded = []string{"rebalancer", "scaler", "internal/app", "internal/api"}

func TestLocksAreLetGoOfByDefer(t *testing.T) {
	locks := 0
	for _, s := range sources(t, guarded...) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			for i, statement := range statements(n) {
				lock, op := called(statement)
				if op != "Lock" && op != "RLock" {
					continue
				}
				locks++
				var next ast.Stmt
				if rest := statements(n)[i+1:]; len(rest) > 0 {
					next = rest[0]
				}
				deferred, unlock := calledLater(next)
				if deferred != lock || unlock != strings.Replace(op, "L", "Unl", 1) {
					t.Errorf("%s: %s.%s() is not followed by the defer that lets go of it", s.position(statement), lock, op)
				}
			}
			return true
		})
	}
	require.Greater(t, locks, 50, "the test finds the locks")
}

func statements(n ast.Node) []ast.Stmt {
	switch n := n.(type) {
	case *ast.BlockStmt:
		return n.List
	case *ast.CaseClause:
		return n.Body
	case *ast.CommClause:
		return n.Body
	}
	return nil
}

// called is x and f where the statement is x.f().
func called(s ast.Stmt) (x, f string) {
	if e, ok := s.(*ast.ExprStmt); ok {
		return selected(e.X)
	}
	return "", ""
}

// calledLater is the same of defer x.f().
func calledLater(s ast.Stmt) (x, f string) {
	if d, ok := s.(*ast.DeferStmt); ok {
		return selected(d.Call)
	}
	return "", ""
}

func selected(e ast.Expr) (x, f string) {
	call, ok := e.(*ast.CallExpr)
	if !ok || len(call.Args) > 0 {
		return "", ""
	}
	if s, ok := call.Fun.(*ast.SelectorExpr); ok {
		return types.ExprString(s.X), s.Sel.Name
	}
	return "", ""
}
