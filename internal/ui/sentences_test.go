package ui_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/shardscaler/shardscaler/internal/exact"
)

// spoken are the packages and files whose sentences the page may show.
var spoken = []string{
	"adapter/observed", "adapter/workload", "adapter/owners", "adapter/informer", "adapter/catalog", "adapter/notify/session.go", "adapter/notify/notify.go",
	"adapter/notify/queue.go", "adapter/notify/frames.go", "adapter/heartbeat/broker.go", "adapter/heartbeat/partition.go", "adapter/heartbeat/topic.go",
	"scaler", "scaler/actuate/actuate.go", "scaler/actuate/group.go", "scaler/decide", "scaler/decide/hpa", "scaler/outcome",
	"rebalancer", "rebalancer/inventory", "rebalancer/inventory/resync", "rebalancer/loop", "rebalancer/orders", "rebalancer/plan/describe.go", "rebalancer/plan/plan.go",
	"rebalancer/protocol", "rebalancer/release", "rebalancer/steps", "rebalancer/wave", "rebalancer/zk",
	"internal/api/access", "internal/api/api.go", "internal/api/forward.go", "internal/api/kinds", "internal/app/backend.go", "internal/app/configsource.go", "internal/app/drains.go",
	"internal/app/handler.go", "internal/app/live.go", "internal/app/operators.go", "internal/app/overrides.go",
	"internal/config", "internal/exact", "internal/limits", "internal/ops", "internal/ops/explain", "internal/previews", "internal/spans",
}

// Each sentence of the server has its Chinese, with the same verbs, and the catalogue has no other.
func TestEverySentenceOfTheServerIsInTheCatalogue(t *testing.T) {
	zh := map[string]string{}
	for _, name := range []string{"sentences", "faults"} {
		text, err := os.ReadFile("src/i18n/" + name + ".zh.json")
		require.NoError(t, err)
		var part map[string]string
		require.NoError(t, exact.JSON(text, &part))
		for format, chinese := range part {
			require.NotContains(t, zh, format, "it is in both files")
			zh[format] = chinese
		}
	}

	said := readSentences(t)
	for _, e := range []field.ErrorType{field.ErrorTypeInvalid, field.ErrorTypeForbidden, field.ErrorTypeRequired, field.ErrorTypeDuplicate, field.ErrorTypeNotSupported} {
		said[e.String()] = "Kubernetes' library of fields, which checks configurations"
	}
	var missing, unknown []string
	for format := range said {
		if _, has := zh[format]; !has && sentence.MatchString(format) && !spokenToPrograms.MatchString(format) && !decoder.MatchString(format) {
			missing = append(missing, format+"   <- "+said[format])
		}
	}
	for format := range zh {
		if said[format] == "" {
			unknown = append(unknown, format)
		}
	}
	slices.Sort(missing)
	slices.Sort(unknown)
	require.Empty(t, missing, "add them to src/i18n/sentences.zh.json, or faults.zh.json if few ever see them")
	require.Empty(t, unknown, "the server does not say them: take them out of src/i18n/*.zh.json")
	for format, chinese := range zh {
		require.Equal(t, verbs(format), verbs(chinese), "%s: %s", format, chinese)
	}
}

var (
	// sentence is two words or a word beside a verb. A single word is a code more often than not.
	sentence         = regexp.MustCompile(`[a-z]{2,}[,:;]? ["'(]?[a-zA-Z%]|[a-z)%] [a-z]{2,}`)
	spokenToPrograms = regexp.MustCompile(`^Bearer realm|^shardscaler (session v|reassign )|^default-src|^kubectl (shardscaler|-n) |^--(capacity|deletes) `)             // what programs read
	decoder          = regexp.MustCompile(`^(looking for beginning|after (object|array|top-level)|in (string|literal|\\u)|numeric literal|exceeded max|unexpected end)`) // is looked for, not said
	verb             = regexp.MustCompile(`%[+#]?(\[\d\])?[0-9.]*([a-zA-Z%])`)
)

// verbs are those of a format, by their arguments' places.
func verbs(format string) map[int]string {
	all, place := map[int]string{}, 0
	for _, v := range verb.FindAllStringSubmatch(format, -1) {
		if v[2] == "%" {
			continue
		}
		if place++; v[1] != "" {
			place, _ = strconv.Atoi(v[1][1:2])
		}
		all[place] = strings.ReplaceAll(v[0], v[1], "")
	}
	return all
}

// sentences are the formats of a file's texts: those of fmt as they are, and of concatenations with
// %s for what is no text.
type sentences map[string]string

func readSentences(t *testing.T) sentences {
	t.Helper()
	all := sentences{}
	for _, place := range spoken {
		files := []string{filepath.Join("../..", place)}
		if !strings.HasSuffix(place, ".go") {
			var err error
			files, err = filepath.Glob(filepath.Join("../..", place, "*.go"))
			require.NoError(t, err)
		}
		require.NotEmpty(t, files, place)
		for _, name := range files {
			// a probe speaks to terminals alone
			if strings.HasSuffix(name, "_test.go") || slices.Contains([]string{"metrics.go", "probe.go"}, filepath.Base(name)) {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			require.NoError(t, err)
			found := sentences{}
			for _, d := range file.Decls {
				found.decl(d)
			}
			for format := range maps.Keys(found) {
				all[format] = strings.TrimPrefix(name, "../../")
			}
		}
	}
	return all
}

// forTerminals are the functions whose texts the page does not show. Logs, panics and what describes
// the operations of the API are no sentences either.
var (
	forTerminals = map[string]bool{"Decision.String": true, "Signal.String": true, "Health.print": true, "Drain.String": true, "newMetrics": true}
	forLogs      = map[string]bool{"Debug": true, "Info": true, "Warn": true, "Error": true, "panic": true}
	forOthers    = map[string]bool{"read": true, "write": true, "put": true, "Counters": true}
)

func (s sentences) decl(d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if !forTerminals[receiver(d)+d.Name.Name] && d.Body != nil {
			s.see(d.Body)
		}
	case *ast.GenDecl:
		if d.Tok == token.VAR || d.Tok == token.CONST {
			s.see(d)
		}
	}
}

// receiver is the type that a method is of, with a dot; "" for a function.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	of := d.Recv.List[0].Type
	if star, is := of.(*ast.StarExpr); is {
		of = star.X
	}
	if name, plain := of.(*ast.Ident); plain {
		return name.Name + "."
	}
	return "" // of a type with parameters
}

func (s sentences) see(n ast.Node) {
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.StructType:
			return false
		case *ast.CaseClause:
			for _, stmt := range n.Body {
				s.see(stmt)
			}
			for _, e := range n.List {
				if _, literal := e.(*ast.BasicLit); !literal {
					s.see(e)
				}
			}
			return false
		case *ast.AssignStmt:
			if field, is := n.Lhs[0].(*ast.SelectorExpr); is && field.Sel.Name == "Description" {
				return false // of an operation of the API
			}
			if n.Tok == token.ADD_ASSIGN {
				s.add("%s" + s.format(n.Rhs[0]))
				return false
			}
		case *ast.CallExpr, *ast.BinaryExpr, *ast.BasicLit:
			if format := s.format(n.(ast.Expr)); format != "%s" {
				s.add(format)
			}
			return false
		}
		return true
	})
}

// add takes a format. Clauses are translated one by one: where one begins with its semicolon, that
// is no part of it.
func (s sentences) add(format string) {
	s[strings.TrimPrefix(strings.TrimPrefix(format, "%s; "), "; ")] = "here"
}

// format is the format of an expression: %s for what is no text. What stands in arguments is seen
// for itself.
func (s sentences) format(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			text, _ := strconv.Unquote(e.Value)
			return text
		}
	case *ast.ParenExpr:
		return s.format(e.X)
	case *ast.BinaryExpr:
		if e.Op == token.ADD {
			return s.format(e.X) + s.format(e.Y)
		}
		for _, side := range []ast.Expr{e.X, e.Y} {
			if _, literal := side.(*ast.BasicLit); !literal {
				s.see(side)
			}
		}
	case *ast.CallExpr:
		return s.call(e)
	default:
		s.see(e)
	}
	return "%s"
}

func (s sentences) call(e *ast.CallExpr) string {
	name := ""
	switch fun := e.Fun.(type) {
	case *ast.Ident:
		name = fun.Name
	case *ast.SelectorExpr:
		name = fun.Sel.Name
		s.see(fun.X)
	case *ast.FuncLit:
		s.see(fun)
	}
	args := e.Args
	if (forLogs[name] || forOthers[name]) && len(args) > 0 {
		return "%s"
	}
	format := "%s"
	if name == "Sprintf" && len(args) > 0 {
		format, args = s.format(args[0]), args[1:]
	}
	for _, a := range args {
		if f := s.format(a); f != "%s" {
			s.add(f)
		}
	}
	return format
}
