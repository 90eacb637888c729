package preflight

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/shardscaler/shardscaler/internal/kubectl/doctor"
	"github.com/shardscaler/shardscaler/manifests"
)

// statefulSetsRole is the Role that names the StatefulSets.
const statefulSetsRole = "shardscaler-statefulsets"

// granted is a rule of a Role, in which namespace; "": of a ClusterRole.
type granted struct {
	role, namespace string
	rbacv1.PolicyRule
}

// needed are the rules that the manifests grant the server, with the StatefulSets of the
// configuration.
func (l *look) needed() ([]granted, error) {
	files := []string{"base/rbac.yaml", "cluster/base/roles.yaml"}
	if l.TLSSelfManaged {
		files = append(files, "components/self-managed-cert/rbac.yaml")
	}
	var roles []rbacv1.Role // ClusterRoles too, without a namespace
	bound := map[string]bool{}
	for _, name := range files {
		text, err := manifests.Rights.ReadFile(name)
		if err != nil {
			return nil, err
		}
		for document := range strings.SplitSeq(string(text), "\n---\n") {
			var o struct {
				rbacv1.Role `json:",inline"`
				RoleRef     rbacv1.RoleRef `json:"roleRef"`
			}
			if err := yaml.Unmarshal([]byte(document), &o); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			switch o.Kind {
			case "Role", "ClusterRole":
				roles = append(roles, o.Role)
			case "RoleBinding", "ClusterRoleBinding":
				bound[o.RoleRef.Name] = true
			}
		}
	}
	all := []granted{
		// the rules of Kubernetes' own ClusterRole system:auth-delegator
		{role: "system:auth-delegator", PolicyRule: rbacv1.PolicyRule{APIGroups: []string{"authentication.k8s.io"}, Resources: []string{"tokenreviews"}, Verbs: []string{"create"}}},
		{role: "system:auth-delegator", PolicyRule: rbacv1.PolicyRule{APIGroups: []string{"authorization.k8s.io"}, Resources: []string{"subjectaccessreviews"}, Verbs: []string{"create"}}},
	}
	for _, r := range roles {
		if !bound[r.Name] {
			continue // for persons and their programs
		}
		for _, rule := range r.Rules {
			g := granted{role: r.Name, PolicyRule: rule}
			if r.Kind == "Role" {
				g.namespace = l.Namespace
			}
			if r.Name == statefulSetsRole {
				g.ResourceNames = l.statefulSets()
			}
			all = append(all, g)
		}
	}
	return all, nil
}

func (l *look) statefulSets() (names []string) {
	for _, k := range l.kinds() {
		names = append(names, k.StatefulSet)
	}
	return names
}

// attributes are what a rule grants, each by itself.
func (g *granted) attributes() (all []authorizationv1.ResourceAttributes) {
	names := g.ResourceNames
	if len(names) == 0 && g.role != statefulSetsRole {
		names = []string{""}
	}
	for _, group := range g.APIGroups {
		for _, resource := range g.Resources {
			resource, subresource, _ := strings.Cut(resource, "/")
			for _, verb := range g.Verbs {
				for _, name := range names {
					all = append(all, authorizationv1.ResourceAttributes{
						Namespace: g.namespace, Verb: verb, Group: group, Resource: resource, Subresource: subresource, Name: name,
					})
				}
			}
		}
	}
	return all
}

// rights asks the API server for each right that the manifests grant.
func (l *look) rights(ctx context.Context, f *findings) {
	needed, err := l.needed()
	if err != nil {
		f.add("rights", doctor.Unknown, "", "%v", err)
		return
	}
	var mu sync.Mutex
	var asking sync.WaitGroup
	var asked int
	var failed error
	denied := map[string][]string{} // by Role
	for _, g := range needed {
		for _, a := range g.attributes() {
			asked++
			asking.Go(func() {
				allowed, err := l.may(ctx, a)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err != nil:
					failed = err
				case !allowed:
					denied[g.role] = append(denied[g.role], rightText(a))
				}
			})
		}
	}
	asking.Wait()
	for _, g := range needed {
		if rights := denied[g.role]; len(rights) > 0 {
			slices.Sort(rights)
			f.add("rights: "+g.role, doctor.Critical, cureOf(&g), "%s may not %s", l.who(), strings.Join(rights, "; "))
			delete(denied, g.role)
		}
	}
	switch {
	case failed != nil:
		f.add("rights", doctor.Unknown, "ask an administrator", "not all could be asked for: %v", failed)
	case len(*f) == 0:
		f.add("rights", doctor.OK, "", "%s has all %d", l.who(), asked)
	}
}

func (l *look) who() string {
	if l.ServiceAccount == "" {
		return "who asks"
	}
	return "service account " + l.Namespace + "/" + l.ServiceAccount
}

func cureOf(g *granted) string {
	switch {
	case g.role == statefulSetsRole:
		return "name each StatefulSet in the chart's value statefulSets, or in both rules of Role " + statefulSetsRole
	case g.namespace == "":
		return "kubectl apply -k manifests/cluster/base, or the chart's value cluster.roles; then its ClusterRoleBinding in the installation"
	}
	return "apply the installation's manifests again: Role and RoleBinding " + g.role
}

func rightText(a authorizationv1.ResourceAttributes) string {
	resource := a.Resource
	if a.Subresource != "" {
		resource += "/" + a.Subresource
	}
	if a.Group != "" {
		resource += "." + a.Group
	}
	text := a.Verb + " " + resource
	if a.Name != "" {
		text += " " + a.Name
	}
	return text
}

// may asks whether who is looked at may do something. An answer that is no answer is an error.
func (l *look) may(ctx context.Context, a authorizationv1.ResourceAttributes) (bool, error) {
	if l.ServiceAccount == "" {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &a}}
		answer, err := l.kube.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		return err == nil && answer.Status.Allowed, err
	}
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		ResourceAttributes: &a, User: "system:serviceaccount:" + l.Namespace + ":" + l.ServiceAccount,
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + l.Namespace, "system:authenticated"},
	}}
	answer, err := l.kube.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	return err == nil && answer.Status.Allowed, err
}
