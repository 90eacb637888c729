// Package schemas names and describes the types that answers and requests have, in the OpenAPI
// document.
package schemas

import (
	"path"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// renamed are the types that share their name with a document of package ops, or of the old calls.
var renamed = map[string]string{
	"api.Instance":        "OrchestrationInstance",
	"api.Setting":         "OrchestrationSetting",
	"outcome.Report":      "Decision", // the name by which clients know it
	"ops.Decision":        "ExplainedDecision",
	"decide.Health":       "DecisionHealth",
	"decide.ShownVerdict": "Verdict",
	"delta.History":       "StreamHistory",
}

// apart are packages many of whose types have a name that others have too.
var apart = map[string]string{"observed": "Observed", "config": "Config", "pins": "Pin", "hpa": "Seen"}

// schemaName is the type's name, with its package's where another one has the same.
func schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name, from := huma.DefaultSchemaNamer(t, hint), path.Base(t.PkgPath())
	if other, ok := renamed[from+"."+name]; ok {
		return other
	}
	if prefix := apart[from]; prefix != "" && t.Name() != "" && !strings.HasPrefix(name, prefix) {
		return prefix + name
	}
	return name
}

// New is a registry of these names. Types that write their JSON themselves are described by what
// they write.
func New() huma.Registry {
	r := huma.NewMapRegistry("#/components/schemas/", schemaName)
	r.RegisterTypeAlias(reflect.TypeFor[config.Duration](), reflect.TypeFor[string]())
	r.RegisterTypeAlias(reflect.TypeFor[resource.Quantity](), reflect.TypeFor[string]())
	r.RegisterTypeAlias(reflect.TypeFor[decide.Verdict](), reflect.TypeFor[decide.ShownVerdict]())
	return r
}
