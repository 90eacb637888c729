// Command generate writes the files of kustomize that follow from the chart, which is the only
// source of what both install: `go generate ./manifests`.
//
// In: manifests/chart, rendered by Helm, the definition of InstanceGroups, the dashboards and the
// rules. Out: files below a folder like manifests, the chart's copies of these, and the JSON schemas of the tuning and of the chart's values.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

func main() {
	root := flag.String("root", "..", "the checkout")
	out := flag.String("out", ".", "the folder that is written to")
	flag.Parse()
	if err := generate(*root, *out); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

// generated is a file that follows from a template.
type generated struct {
	file, template string
	// with are what the chart is rendered with, as --set has it; of those documents it has that
	// contain has, or all.
	with []string
	has  string
}

var all = []generated{
	{file: "base/rbac.yaml", template: "rbac"},
	{file: "base/rbac-users.yaml", template: "rbac-users"},
	{file: "base/deployment.yaml", template: "deployment"},
	{file: "base/services.yaml", template: "services"},
	{file: "cluster/base/roles.yaml", template: "cluster-roles"},
	{file: "cluster/base/apiservices.yaml", template: "cluster-apiservices"},
	{file: "components/cert-manager/certificate.yaml", template: "certificate-cert-manager", with: []string{"certificate.mode=certManager"}},
	{file: "components/self-managed-cert/rbac.yaml", template: "certificate-self-managed", with: []string{"certificate.mode=selfManaged"}},
	{file: "components/prometheus-operator/podmonitor.yaml", template: "monitoring-podmonitor", with: []string{"monitoring.podMonitor=true"}},
	{file: "components/prometheus-operator/rules.yaml", template: "monitoring-rules", with: []string{"monitoring.rules=true"}},
	{file: "components/example-hpa/hpa.yaml", template: "example-hpa", with: []string{"examples.hpa=true"}},
	{file: "components/example-group/hpa.yaml", template: "example-group", with: []string{"examples.group=true"}, has: "kind: HorizontalPodAutoscaler\n"},
	{file: "components/example-group/instancegroup.yaml", template: "example-group", with: []string{"examples.group=true"}, has: "kind: InstanceGroup\nmetadata"},
	{file: "components/example-workload/iota-dac.yaml", template: "example-workload", with: []string{"examples.workload=true"}, has: "  name: iota-dac\n"},
	{file: "components/example-workload/iota-rules-engine.yaml", template: "example-workload", with: []string{"examples.workload=true"}, has: "  name: iota-rules-engine\n"},
}

// copied are files of the checkout that the chart has too, by where it has them: a chart holds all
// that it needs.
var copied = map[string]string{
	"chart/files/instancegroups.yaml":         "manifests/cluster/base/shardscaler.io_instancegroups.yaml",
	"chart/files/rules.yml":                   "dashboards/shardscaler.rules.yml",
	"chart/files/dashboards/overview.json":    "dashboards/overview.json",
	"chart/files/dashboards/kind.json":        "dashboards/kind.json",
	"chart/files/dashboards/instance.json":    "dashboards/instance.json",
	"chart/files/dashboards/rebalancing.json": "dashboards/rebalancing.json",
	"chart/files/dashboards/controller.json":  "dashboards/controller.json",
}

func generate(root, out string) error {
	built, err := exec.Command("go", "-C", filepath.Join(root, "tools/helm"), "tool", "-n", "helm").Output()
	if err != nil {
		return fmt.Errorf("build helm: %w", err)
	}
	for to, from := range copied {
		text, err := os.ReadFile(filepath.Join(root, from))
		if err != nil {
			return err
		}
		if err := write(out, to, text); err != nil {
			return err
		}
	}
	if err := schemas(root, out); err != nil {
		return err
	}
	for _, g := range all {
		text, err := g.render(strings.TrimSpace(string(built)), filepath.Join(root, "manifests/chart"))
		if err != nil {
			return fmt.Errorf("%s: %w", g.file, err)
		}
		if err := write(out, g.file, []byte(text)); err != nil {
			return err
		}
	}
	return nil
}

func write(out, file string, text []byte) error {
	file = filepath.Join(out, filepath.FromSlash(file))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o644)
}

// What kustomize sets itself: the namespace, the image's tag, the suffix of the addresses' name.
var (
	namespace = regexp.MustCompile(`(?m)^  namespace: shardscaler\n`)
	tag       = regexp.MustCompile(`(?m)^(\s+image: shardscaler):latest$`)
	suffix    = regexp.MustCompile(`shardscaler-addresses-\w{10}`)
	source    = regexp.MustCompile(`(?m)^# Source: .*\n`)
)

// render has Helm render a template.
func (g *generated) render(helm, chart string) (string, error) {
	args := []string{
		"template", "shardscaler", chart, "--namespace", "shardscaler",
		"--api-versions", "shardscaler.io/v1alpha1/InstanceGroup", "--show-only", "templates/" + g.template + ".yaml", "--set", "certificate.mode=existing",
	}
	for _, value := range g.with {
		args = append(args, "--set", value)
	}
	cmd := exec.Command(helm, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	rendered, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("helm: %w: %s", err, stderr.String())
	}
	var documents []string
	for document := range strings.SplitSeq("\n"+string(rendered), "\n---\n") {
		document = namespace.ReplaceAllString(strings.Trim(source.ReplaceAllString(document, ""), "\n")+"\n", "")
		document = suffix.ReplaceAllString(tag.ReplaceAllString(document, "$1"), "shardscaler-addresses")
		if document != "\n" && strings.Contains(document, g.has) {
			documents = append(documents, document)
		}
	}
	if len(documents) == 0 {
		return "", errors.New("the template has none of its documents")
	}
	return "# Generated from chart/templates/" + g.template + ".yaml by go generate ./manifests.\n" + strings.Join(documents, "---\n"), nil
}
