package hpa_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Upstream's own tests of the HPA judge this package, and how adapter/workload computes requests.
// They run unchanged, in a copy of upstream's package that exists only for the compiler (an
// overlay). The functions below are cut from it and forwarded to ours by the files of
// testdata/upstream. Nothing of upstream's is kept here.

// module is the one that pins Kubernetes; the copy lives in a folder of it that only the overlay
// knows.
const module = "../../../tools/controlplane"

// forwarded are the functions that are cut, by file. Each has a seeded bug, which is off unless
// SEEDED_BUG names it, and the tests that must notice it.
var forwarded = map[string]map[string]string{
	"replica_calculator.go": {
		"isWithin":                        "TestReplicaCalcObjectMetric",
		"groupPods":                       "TestGroupPods",
		"calculateRequests":               "TestCalculateRequests",
		"GetResourceReplicas":             "TestReplicaCalcResourceTolerance",
		"calcPlainMetricReplicas":         "TestReplicaCalcPodMetric",
		"getUsageRatioReplicaCount":       "TestReplicaCalcExternalMetric",
		"GetObjectPerPodMetricReplicas":   "TestReplicaCalcObjectPerPodMetric",
		"GetExternalPerPodMetricReplicas": "TestReplicaCalcExternalPerPodMetric",
	},
	"horizontal.go": {
		"stabilizeRecommendation":                "TestNormalizeDesiredReplicas",
		"stabilizeRecommendationWithBehaviors":   "TestNormalizeDesiredReplicasWithBehavior",
		"normalizeDesiredReplicas":               "TestScaleCPU",
		"convertDesiredReplicasWithBehaviorRate": "TestScalingWithRules",
		"convertDesiredReplicasWithRules":        "TestConvertDesiredReplicasWithRules",
		"calculateScaleUpLimit":                  "TestScaleUpCM",
		"calculateScaleUpLimitWithScalingRules":  "TestCalculateScaleUpLimitWithScalingRules",
		"calculateScaleDownLimitWithBehaviors":   "TestCalculateScaleDownLimitWithBehaviors",
		"getReplicasChangePerPeriod":             "TestStoreScaleEvents",
	},
}

// Cut too, without a bug of its own: what the forwarders have no use for.
var dropped = map[string][]string{"replica_calculator.go": {"removeMetricsForPods"}}

// differing are the cases in which we decide otherwise on purpose, and why. They must fail. That
// ratios are exact here is the one difference there is, and no case of v1.37.1 shows it: none has a
// use whose whole percent leads to another size.
var differing = map[string]string{}

// notOurs are tests, or single cases, that judge nothing of ours, and why. They must pass, and are
// not counted as passed.
var notOurs = reasons(map[string][]string{
	"the selector store of its controller": {
		"TestHPASelectorStorePutIfAbsent", "TestHPASelectorStorePutIfPresent", "TestHPASelectorStoreDeleteCleansUpNamespace",
		"TestHPASelectorStoreHPAsMatchingPodsLimit", "TestHPASelectorStoreHPAsMatchingPodsNamespaceIsolation",
	},
	"selectors that are missing, wrong or shared with another HPA": {
		"TestConditionInvalidSelectorMissing", "TestConditionInvalidSelectorUnparsable",
		"TestConditionNoAmbiguousSelectorWhenNoSelectorOverlapBetweenHPAs",
		"TestConditionAmbiguousSelectorWhenFullSelectorOverlapBetweenHPAs",
		"TestConditionAmbiguousSelectorWhenPartialSelectorOverlapBetweenHPAs",
	},
	"its queue, informers and stale caches": {
		"TestMultipleHPAs", "TestEnqueueHPAAddsImmediately", "TestEnqueueHPARegistersSelectorBeforeQueueAdd",
		"TestUpdateHPAEnqueueBehavior", "TestUpdateHPAFallsBackWhenFeatureDisabled", "TestUpdateStatusPopulatesConsistencyStore",
		"TestReconcileKeyEnsureReadyStaleCache", "TestDeleteHPAClearsConsistencyStore",
	},
	"its events, conditions, status and writes of /scale": {
		"TestEventCreated", "TestEventNotCreated", "TestConditionFailedGetMetrics", "TestConditionInvalidSourceType",
		"TestConditionFailedGetScale", "TestConditionFailedUpdateScale", "TestAvoidUnnecessaryUpdates",
		"TestHPARescaleWithSuccessfulConflictRetry", "TestBuildQuantity",
	},
	"its own metrics": {
		"TestReconciliationDurationIsRecorded", "TestReconciliationDurationIsRecordedOnError",
		"TestReconciliationsTotalCountMultipleReconciliations",
	},
	"no target of ours is for one container": {
		"TestCalculateRequests/Container:_if_a_container_name_is_specified,_calculate_requests_only_for_that_container",
		"TestCalculateRequests/Container:_if_a_container_name_is_specified,_calculate_requests_only_for_that_container_and_ignore_pod-level_requests",
		"TestCalculatePodRequestsFromContainers_NonExistentContainer",
	},
	"without pods nothing is requested": {"TestCalculateRequests/void"},
	"several metrics are joined by its controller, and the valid one asks for no change": {
		"TestNoScaleDownOneMetricEmpty", "TestNoScaleDownOneMetricInvalid",
	},
	"at size 0 its controller stops before it computes a size": {
		"TestScaleUpCMObject/scale_up_from_zero_with_HPAScaleToZero_disabled",
		"TestScaleUpCMObject/scale_up_from_zero_ignores_tolerance_with_HPAScaleToZero_disabled",
		"TestScaleWithOneInvalidMetric/from_zero_with_invalid_metric,_HPAScaleToZero_enabled",
		"TestScaleWithOneInvalidMetric/from_zero_with_invalid_metric,_HPAScaleToZero_disabled",
		"TestScaleToZeroBehavior/from_zero_without_condition,_HPAScaleToZero_enabled",
		"TestScaleToZeroBehavior/from_zero_without_condition,_HPAScaleToZero_disabled",
		"TestScaleToZeroBehavior/minReplicas_increased_with_ScaledToZero_condition,_HPAScaleToZero_disabled",
		"TestScaleToZeroBehavior/manual_scale_to_zero_disables_HPA,_HPAScaleToZero_enabled",
		"TestScaleToZeroBehavior/manual_scale_to_zero_disables_HPA,_HPAScaleToZero_disabled",
		"TestReplicaLimits/no_scaling_when_spec_replicas_is_zero",
	},
	"out of its bounds its controller moves without computing a size": {
		"TestReplicaLimits/scale_up_to_min_when_below_min_replicas",
		"TestReplicaLimits/scale_down_to_max_when_above_max_replicas",
		"TestReplicaLimits/scale_up_to_min_immediately_even_with_recent_scale_time",
		"TestReplicaLimits/scale_down_to_max_immediately_even_with_recent_scale_time",
	},
	"an error before there is a size, in its words": {
		"TestMetricsEdgeCases/empty_metrics_from_all_pods",
		"TestMetricsEdgeCases/empty_CPU_requests",
		"TestReplicaCalcResourceMissingMetrics/disjoint_pod_and_metric_names",
		"TestReplicaCalcResourceMissingMetrics/no_metrics_returned_from_metrics_API",
		"TestReplicaCalcResourceMissingMetrics/missing_CPU_request_on_container",
	},
})

func reasons(names map[string][]string) map[string]string {
	out := map[string]string{}
	for reason, of := range names {
		for _, name := range of {
			out[name] = reason
		}
	}
	return out
}

func TestUpstream(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: upstream's tests take a minute")
	}
	program := build(t)
	clean := program.run(t, "", ".")
	verdict := judge(clean, program.run(t, "all", "."), differing, notOurs)
	require.Empty(t, verdict.faults)
	red := 0
	for _, functions := range forwarded {
		for function, test := range functions {
			require.NotContains(t, notOurs, test)
			n := 0
			for name, outcome := range program.run(t, function, "^"+test+"$") {
				if outcome == "fail" && clean[name] == "pass" {
					n++
				}
			}
			require.Positive(t, n, "a bug in %s turns no case of %s red", function, test)
			red++
		}
	}
	report(t, "hpa.txt", fmt.Sprintf("the HPA's own cases on our arithmetic: %d passed, %d differing on purpose, %d not ours; %d of %d seeded bugs noticed\n",
		verdict.passed, verdict.differing, verdict.notOurs, red, red))
}

// report shows what a passing test has to say: in the log, and in a file for `make test`, as go
// test shows no logs of many packages.
func report(t *testing.T, file, text string) {
	t.Helper()
	t.Log(text)
	if folder := os.Getenv("SHARDSCALER_REPORTS"); folder != "" {
		require.NoError(t, os.WriteFile(filepath.Join(folder, file), []byte(text), 0o600))
	}
}

type verdict struct {
	passed, differing, notOurs int
	faults                     []string
}

// judge sorts the cases. clean is their outcome, buggy the one with a bug in every forwarded
// function: what stays green even then would be upstream tested against itself.
func judge(clean, buggy, differing, notOurs map[string]string) (v verdict) {
	fault := func(format string, args ...any) { v.faults = append(v.faults, fmt.Sprintf(format, args...)) }
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(clean)) {
		outcome, test := clean[name], name
		if _, listed := notOurs[test]; !listed {
			test, _, _ = strings.Cut(name, "/")
		}
		_, differs := differing[name]
		_, others := notOurs[test]
		seen[name], seen[test] = true, true
		switch {
		case differs && others:
			fault("%s is listed twice", name)
		case outcome != "pass" && outcome != "fail":
			fault("%s: %s", name, outcome)
		case differs && outcome == "pass":
			fault("%s is listed as differing and passes", name)
		case differs:
			v.differing++
		case outcome == "fail":
			fault("%s fails", name)
		case others:
			v.notOurs++
		case buggy[name] != "fail":
			fault("%s is no judge of ours: with a bug in every function its outcome is %q", name, buggy[name])
		default:
			v.passed++
		}
	}
	for _, list := range []map[string]string{differing, notOurs} {
		for _, name := range slices.Sorted(maps.Keys(list)) {
			if !seen[name] {
				fault("%s is listed and is no case", name)
			}
		}
	}
	return v
}

func TestJudge(t *testing.T) {
	list := func(names ...string) map[string]string { return reasons(map[string][]string{"a reason": names}) }
	clean := map[string]string{"TestA/one": "pass", "TestA/two": "pass", "TestB": "fail", "TestC/x": "pass"}
	buggy := map[string]string{"TestA/one": "fail", "TestA/two": "pass", "TestB": "fail", "TestC/x": "fail"}

	v := judge(clean, buggy, list("TestB"), list("TestA/two", "TestC"))
	require.Equal(t, verdict{passed: 1, differing: 1, notOurs: 2}, v)
	for want, v := range map[string]verdict{
		"TestB fails": judge(clean, buggy, nil, list("TestA/two")),
		"TestA/two is no judge of ours: with a bug in every function its outcome is \"pass\"": judge(clean, buggy, list("TestB"), nil),
		"TestC/x is listed as differing and passes":                                           judge(clean, buggy, list("TestB", "TestC/x"), list("TestA/two")),
		"TestD is listed and is no case":                                                      judge(clean, buggy, list("TestB"), list("TestA/two", "TestD")),
		"TestB is listed twice":                                                               judge(clean, buggy, list("TestB"), list("TestA/two", "TestB")),
		"TestS: skip":                                                                         judge(map[string]string{"TestS": "skip"}, nil, nil, list("TestS")),
	} {
		require.Equal(t, []string{want}, v.faults)
	}
}

// program is upstream's test program.
type program string

// build compiles upstream's package with our forwarders in place of what is cut.
func build(t *testing.T) program {
	t.Helper()
	kubernetes := strings.TrimSpace(string(command(t, "go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes")))
	root, err := filepath.Abs(module)
	require.NoError(t, err)
	scratch, overlay := t.TempDir(), map[string]string{}
	put := func(folder, name, source string) {
		real, err := filepath.Abs(source)
		require.NoError(t, err)
		overlay[filepath.Join(root, folder, name)] = real
	}
	for _, source := range glob(t, filepath.Join(kubernetes, "pkg/controller/podautoscaler/*.go")) {
		name := filepath.Base(source)
		if functions := forwarded[name]; functions != nil {
			put("podautoscaler", "forwarded_"+name, filepath.Join("testdata/upstream", name+".in"))
			names := slices.Clone(dropped[name])
			for function := range functions {
				names = append(names, function)
			}
			source = cut(t, source, filepath.Join(scratch, name), names)
		}
		put("podautoscaler", name, source)
	}
	for _, source := range glob(t, "*.go") {
		if !strings.HasSuffix(source, "_test.go") {
			put("hpa", source, source)
		}
	}
	put("workload", "requests.go", "../../../adapter/workload/requests.go")
	described, err := json.Marshal(map[string]any{"Replace": overlay})
	require.NoError(t, err)
	file := filepath.Join(scratch, "overlay.json")
	require.NoError(t, os.WriteFile(file, described, 0o600))
	binary := filepath.Join(scratch, "upstream.test")
	// A copy of go.mod: upstream's package is a part of the module here, and may need a line that
	// the module itself does not.
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(module, name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(scratch, name), text, 0o600))
	}
	command(t, "go", "test", "-c", "-vet=off", "-trimpath", "-mod=mod", "-modfile", filepath.Join(scratch, "go.mod"), "-overlay", file, "-o", binary, "./podautoscaler")
	return program(binary)
}

// command runs a command in the module that pins Kubernetes, with the settings the sandbox builds
// with: their cache is shared.
func command(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-mod=readonly")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s %s\n%s", name, strings.Join(args, " "), &stderr)
	return out
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	require.NoError(t, err)
	require.NotEmpty(t, files, pattern)
	return files
}

// cut writes source to target without the functions named, and without the imports that only they
// used. Each must be there.
func cut(t *testing.T, source, target string, names []string) string {
	t.Helper()
	text, err := os.ReadFile(source)
	require.NoError(t, err)
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, source, text, parser.SkipObjectResolution)
	require.NoError(t, err)
	before := used(file)
	blank := func(from, to token.Pos) { // lines stay where they are
		for i := set.Position(from).Offset; i < set.Position(to).Offset; i++ {
			if text[i] != '\n' {
				text[i] = ' '
			}
		}
	}
	found := map[string]bool{}
	file.Decls = slices.DeleteFunc(file.Decls, func(d ast.Decl) bool {
		function, is := d.(*ast.FuncDecl)
		if !is || !slices.Contains(names, function.Name.Name) {
			return false
		}
		require.False(t, found[function.Name.Name], "%s has two functions %s", source, function.Name.Name)
		found[function.Name.Name] = true
		blank(function.Pos(), function.End())
		return true
	})
	for _, name := range names {
		require.True(t, found[name], "%s has no function %s", source, name)
	}
	after := used(file)
	for _, spec := range file.Imports {
		name := strings.Trim(spec.Path.Value, `"`)
		name = name[strings.LastIndex(name, "/")+1:]
		if spec.Name != nil {
			name = spec.Name.Name
		}
		if before[name] && !after[name] {
			blank(spec.Pos(), spec.End())
		}
	}
	require.NoError(t, os.WriteFile(target, text, 0o600))
	return target
}

// used are the names before a dot: every package that file uses is among them.
func used(file *ast.File) map[string]bool {
	names := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if s, is := n.(*ast.SelectorExpr); is {
			if x, is := s.X.(*ast.Ident); is {
				names[x.Name] = true
			}
		}
		return true
	})
	return names
}

// run runs the tests that match with one bug, or none, and returns the outcome of each case, that
// is, of each test without subtests.
func (p program) run(t *testing.T, bug, tests string) map[string]string {
	t.Helper()
	cmd := exec.Command("go", "tool", "test2json", string(p), "-test.v=test2json", "-test.run", tests)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "SEEDED_BUG="+bug)
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); err != nil {
		require.ErrorAs(t, err, &exit)
	}
	outcomes := map[string]string{}
	for line := range bytes.Lines(out) {
		var event struct{ Action, Test string }
		require.NoError(t, json.Unmarshal(line, &event))
		switch event.Action {
		case "pass", "fail", "skip":
			outcomes[event.Test] = event.Action
		case "run":
			outcomes[event.Test] = "never ended"
		}
	}
	for name := range outcomes {
		if parent := name[:max(0, strings.LastIndex(name, "/"))]; parent != "" {
			delete(outcomes, parent)
		}
	}
	return outcomes
}
