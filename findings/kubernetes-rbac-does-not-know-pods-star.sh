#!/usr/bin/env bash
# Kubernetes 1.37.1: "pods/*" in a list of resources means two things. In the rules of an admission webhook and of an audit policy, whose
# types write "'pods/*' means all subresources of pods", it matches these (and pods itself too, which they do not write). In the rule of a
# Role it matches nothing: RBAC knows "*", "*/log" and exact names only. The API server takes such a Role without a word, since its validation
# (pkg/apis/rbac/validation) wants only that the list is not empty; what the Role is for is then refused.
#
# Seen with the public packages that read the three: component-helpers (auth/rbac/validation; the authorizer compares with the same three
# cases), apiserver (admission/plugin/webhook/predicates/rules and audit/policy):
#
#	pods/*, asked for pods/log: RBAC false, webhook true, audit true
#	pods/*, asked for pods: RBAC false, webhook true, audit true
#	*/log, asked for pods/log: RBAC true, webhook true, audit true
#	*/log, asked for pods: RBAC false, webhook false, audit false
#	pods/log, asked for pods/log: RBAC true, webhook true, audit true
#
# Needs Go and a module proxy. Exits 1 if the behaviour is another one.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.26.0

require (
	k8s.io/api v0.37.1
	k8s.io/apimachinery v0.37.1
	k8s.io/apiserver v0.37.1
	k8s.io/component-helpers v0.37.1
)
MOD
cat >main.go <<'GO'
package main

import (
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/rules"
	"k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit/policy"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/component-helpers/auth/rbac/validation"
)

func rbac(pattern, resource string) bool {
	rule := func(resource string) []rbacv1.PolicyRule {
		return []rbacv1.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{resource}}}
	}
	covers, _ := validation.Covers(rule(pattern), rule(resource))
	return covers
}

func webhook(pattern, resource, subresource string) bool {
	matcher := rules.Matcher{
		Rule: admissionv1.RuleWithOperations{Operations: []admissionv1.OperationType{"*"}, Rule: admissionv1.Rule{
			APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{pattern}}},
		Attr: admission.NewAttributesRecord(nil, nil, schema.GroupVersionKind{Version: "v1", Kind: "Pod"}, "ns", "name",
			schema.GroupVersionResource{Version: "v1", Resource: resource}, subresource, admission.Update, nil, false, nil),
	}
	return matcher.Matches()
}

func audits(pattern, resource, subresource string) bool {
	evaluator := policy.NewPolicyRuleEvaluator(&audit.Policy{Rules: []audit.PolicyRule{
		{Level: audit.LevelMetadata, Resources: []audit.GroupResources{{Resources: []string{pattern}}}}}})
	return evaluator.EvaluatePolicyRule(authorizer.AttributesRecord{Verb: "get", Resource: resource, Subresource: subresource,
		ResourceRequest: true}).Level == audit.LevelMetadata
}

func main() {
	for _, c := range [][2]string{{"pods/*", "log"}, {"pods/*", ""}, {"*/log", "log"}, {"*/log", ""}, {"pods/log", "log"}} {
		pattern, subresource, asked := c[0], c[1], "pods"
		if subresource != "" {
			asked += "/" + subresource
		}
		fmt.Printf("%s, asked for %s: RBAC %t, webhook %t, audit %t\n", pattern, asked,
			rbac(pattern, asked), webhook(pattern, "pods", subresource), audits(pattern, "pods", subresource))
	}
}
GO
GOFLAGS=-mod=mod go run . 2>log | tee out || { cat log; exit 1; }
diff - out <<'WANT'
pods/*, asked for pods/log: RBAC false, webhook true, audit true
pods/*, asked for pods: RBAC false, webhook true, audit true
*/log, asked for pods/log: RBAC true, webhook true, audit true
*/log, asked for pods: RBAC false, webhook false, audit false
pods/log, asked for pods/log: RBAC true, webhook true, audit true
WANT
