// Package aggregated serves the API for operators as an API group of Kubernetes.
//
// In: calls to /apis/ops.shardscaler.io/v1/…, whose callers the API server has authenticated and
// allowed. Out: the same calls to the same operations, their kinds as objects and as tables that
// kubectl shows, their errors as Status. Invariant: what is called is what was allowed.
package aggregated

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/shardscaler/shardscaler/internal/api/access"
)

// Handler serves the group's calls by next, which has the operations below access.Prefix. It finds
// the user and the request info in the request's context.
func Handler(guard *access.Guard, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to, right, err := translate(r, guard.Namespace)
		if err != nil {
			writeError(w, r, http.StatusNotFound, err.Error())
			return
		}
		user, ok := request.UserFrom(r.Context())
		if !ok {
			writeError(w, r, http.StatusUnauthorized, "the caller is not known")
			return
		}
		a := &answer{ResponseWriter: w, request: r, objects: right.Subresource == "" && right.Verb != "watch"}
		ctx := r.Context()
		if right.Verb == "list" || right.Verb == "watch" {
			last, err := a.selects(guard.Namespace)
			if err != nil {
				writeError(w, r, http.StatusBadRequest, err.Error())
				return
			}
			if last > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, last)
				defer cancel()
			}
		}
		inner := r.Clone(ctx)
		inner.URL, inner.RequestURI = to, to.RequestURI()
		if a.frames != nil {
			inner.Header.Del("Accept-Encoding") // the stream is read here
		}
		guard.Aggregated(a, inner, access.User{Name: user.GetName(), UID: user.GetUID(), Groups: user.GetGroups(), Extra: user.GetExtra()}, right, next)
		a.finish(guard.Namespace)
	})
}

// translate is the URL of the same call below access.Prefix, and the right that was asked for.
func translate(r *http.Request, namespace string) (*url.URL, access.Right, error) {
	unknown := fmt.Errorf("%s %s is no call of this API in namespace %s", r.Method, r.URL.Path, namespace)
	info, ok := request.RequestInfoFrom(r.Context())
	if !ok || !info.IsResourceRequest || info.APIGroup != access.Group || info.APIVersion != access.Version ||
		r.URL.RawPath != "" || path.Clean(r.URL.Path) != r.URL.Path {
		return nil, access.Right{}, unknown
	}
	allowed := access.Right{Verb: info.Verb, Resource: info.Resource, Subresource: info.Subresource, Name: info.Name, Namespace: info.Namespace}
	// What is listed in all namespaces is in this one.
	everywhere := info.Namespace == "" && info.Resource == "kinds" && (info.Name == "" || info.Verb == "list")
	if info.Namespace != namespace && !everywhere {
		return nil, access.Right{}, fmt.Errorf("the installation that serves %s is of namespace %s, not %q", access.Group, namespace, info.Namespace)
	}
	to := &url.URL{Path: access.Prefix + strings.Join(info.Parts, "/"), RawQuery: r.URL.RawQuery}
	needed, err := access.RightOf(r.Method, to, namespace)
	if info.Verb == "list" { // a field selector may have narrowed it to one kind: so does selection
		needed.Name = allowed.Name
	}
	if needed.Namespace = allowed.Namespace; err != nil || needed != allowed {
		return nil, access.Right{}, unknown
	}
	return to, allowed, nil
}

// Resources are what the group has, for discovery. The verbs are those of the calls: kubectl auth
// can-i and roles name them.
func Resources() []metav1.APIResource {
	all := []metav1.APIResource{
		{Name: "kinds", SingularName: "kind", Kind: "Kind", Verbs: metav1.Verbs{"get", "list", "watch"}, Categories: []string{"shardscaler"}},
		{Name: "nodes", SingularName: "node", Kind: "NodeInstances", Verbs: metav1.Verbs{"get"}},
	}
	for _, sub := range []struct {
		name, kind string
		verbs      metav1.Verbs
	}{
		{"instances", "InstanceList", metav1.Verbs{"get"}},
		{"resource", "Resource", metav1.Verbs{"get"}},
		{"resources", "ResourceList", metav1.Verbs{"get"}},
		{"decision", "Decision", metav1.Verbs{"get"}},
		{"config", "Settings", metav1.Verbs{"get"}},
		{"history", "EntryList", metav1.Verbs{"get"}},
		{"overrides", "OverrideList", metav1.Verbs{"get"}},
		{"plans", "Plan", metav1.Verbs{"create"}},
		{"apply", "Applied", metav1.Verbs{"create"}},
		{"drains", "Applied", metav1.Verbs{"create", "delete"}},
		{"pins", "Applied", metav1.Verbs{"create", "delete"}},
		{"moves", "Applied", metav1.Verbs{"create"}},
		{"size", "Applied", metav1.Verbs{"update", "delete"}},
		{"limits", "Applied", metav1.Verbs{"update"}},
		{"orchestrate", "Applied", metav1.Verbs{"create"}},
		{"pause", "Applied", metav1.Verbs{"create", "delete"}},
		{"rollback", "Applied", metav1.Verbs{"create"}},
		{"confirm", "Applied", metav1.Verbs{"create"}},
		{"reassign", "Applied", metav1.Verbs{"create"}},
	} {
		all = append(all, metav1.APIResource{Name: "kinds/" + sub.name, Kind: sub.kind, Verbs: sub.verbs})
	}
	for i := range all {
		all[i].Namespaced = true
	}
	return all
}
