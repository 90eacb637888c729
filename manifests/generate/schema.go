package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"
	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/pins"
)

// Where the schemas are: of the tuning, which editors read, and of the chart's values, which Helm
// reads.
const (
	tuningSchema = "tuning/schema.json"
	valuesSchema = "chart/values.schema.json"
)

func schemas(root, out string) error {
	tuning, err := schemaOfTuning(root)
	if err != nil {
		return fmt.Errorf("%s: %w", tuningSchema, err)
	}
	values, err := schemaOfValues(filepath.Join(root, "manifests/chart/values.yaml"), tuning)
	if err != nil {
		return fmt.Errorf("%s: %w", valuesSchema, err)
	}
	for file, schema := range map[string]*jsonschema.Schema{tuningSchema: tuning, valuesSchema: values} {
		text, err := json.MarshalIndent(schema, "", "  ")
		if err != nil {
			return err
		}
		if err := write(out, file, append(text, '\n')); err != nil {
			return err
		}
	}
	return nil
}

// schemaOfTuning follows from the Go types of the configuration, and their comments. What it takes
// is a little more than the configuration is: bounds that depend on other fields are not in it.
func schemaOfTuning(root string) (*jsonschema.Schema, error) {
	r := &jsonschema.Reflector{Mapper: mapped, Anonymous: true}
	for _, folder := range []string{"internal/config", "internal/pins"} {
		if err := addComments(r, root, folder); err != nil {
			return nil, err
		}
	}
	s := r.Reflect(config.Config{})
	s.Title = "What operators tune: config.yaml of the ConfigMap shardscaler"
	for of, enum := range map[[2]string][]any{
		{"ScalingRules", "selectPolicy"}: anyOf(config.SelectPolicies), {"ScalingPolicy", "type"}: anyOf(config.PolicyTypes),
		{"Replicas", "mode"}: anyOf(config.SizeModes),
	} {
		field, ok := s.Definitions[of[0]].Properties.Get(of[1])
		if !ok {
			return nil, fmt.Errorf("%s has no %s", of[0], of[1])
		}
		field.Enum = enum
	}
	return s, nil
}

// addComments reads the comments of a folder's Go files, which are found from the module's root.
func addComments(r *jsonschema.Reflector, root, folder string) (err error) {
	back, err := os.Getwd()
	if err != nil {
		return err
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	defer func() {
		if e := os.Chdir(back); err == nil {
			err = e
		}
	}()
	return r.AddGoComments("github.com/shardscaler/shardscaler", "./"+folder)
}

// mapped are types that JSON has in another form than Go, and those with few values.
func mapped(t reflect.Type) *jsonschema.Schema {
	enum := map[reflect.Type][]any{
		reflect.TypeFor[config.Owner](): anyOf(config.Owners), reflect.TypeFor[config.Mode](): anyOf(config.Modes),
		reflect.TypeFor[config.HandOff](): anyOf(config.HandOffs), reflect.TypeFor[config.Action](): anyOf(config.Actions),
		reflect.TypeFor[config.Balance](): anyOf(config.Balances), reflect.TypeFor[pins.Operator](): anyOf(pins.Operators),
	}
	switch {
	case enum[t] != nil:
		return &jsonschema.Schema{Type: "string", Enum: enum[t]}
	case t == reflect.TypeFor[config.Duration]():
		return &jsonschema.Schema{Type: "string", Pattern: `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$|^0$`}
	case t == reflect.TypeFor[resource.Quantity]():
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "string"}, {Type: "number"}}}
	}
	return nil
}

func anyOf[T ~string](values []T) (all []any) {
	for _, value := range values {
		all = append(all, string(value))
	}
	return all
}

// schemaOfValues follows from the default values and the comments above them: each has the type that
// it has there, and no other name is known.
func schemaOfValues(file string, tuning *jsonschema.Schema) (*jsonschema.Schema, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, err
	}
	s := schemaOfNode(document.Content[0])
	s.Version = tuning.Version
	s.Definitions = tuning.Definitions
	at := func(path ...string) *jsonschema.Schema {
		of := s
		for _, name := range path {
			of, _ = of.Properties.Get(name)
		}
		return of
	}
	at("certificate", "mode").Enum = []any{"selfManaged", "certManager", "files", "existing"}
	at("mode").Enum = anyOf(config.Modes)
	at("image", "pullPolicy").Enum = []any{"", "Always", "IfNotPresent", "Never"}
	at("image", "digest").Pattern = `^(sha256:[0-9a-f]{64})?$`
	at("replicas").Minimum = "0"
	as := at("tuning", "config")
	as.Type, as.OneOf = "", []*jsonschema.Schema{{Type: "string"}, {Ref: tuning.Ref}}
	// Helm gives each chart the values that are global.
	s.Properties.Set("global", &jsonschema.Schema{Type: "object"})
	return s, nil
}

// schemaOfNode is a group's where it has members, and else says the type alone.
func schemaOfNode(node *yaml.Node) *jsonschema.Schema {
	types := map[string]string{"!!str": "string", "!!int": "integer", "!!bool": "boolean", "!!seq": "array", "!!map": "object"}
	s := &jsonschema.Schema{Type: types[node.ShortTag()]}
	if node.Kind != yaml.MappingNode || len(node.Content) == 0 || node.Style == yaml.FlowStyle {
		return s
	}
	s.Properties, s.AdditionalProperties = jsonschema.NewProperties(), jsonschema.FalseSchema
	for i := 0; i < len(node.Content); i += 2 {
		name, value := node.Content[i], node.Content[i+1]
		member := schemaOfNode(value)
		member.Description = strings.TrimSpace(strings.ReplaceAll("\n"+name.HeadComment, "\n# ", " "))
		if name.Value == "requests" || name.Value == "limits" { // Kubernetes' own
			member = &jsonschema.Schema{Type: "object"}
		}
		s.Properties.Set(name.Value, member)
	}
	return s
}
