package access

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"
)

const (
	// Group and Version name the aggregated API.
	Group, Version = "ops.shardscaler.io", "v1"
	// Prefix is what paths of the API begin with; what follows is the same in the aggregated API.
	Prefix = "/v1/api/"
)

// Right is what Kubernetes is asked about: a verb on a resource of Group.
type Right struct{ Verb, Resource, Subresource, Name, Namespace string }

// String is the right as sentences name it: create kinds/pause.ops.shardscaler.io "Thing" in …
func (r Right) String() string {
	what := r.Resource
	if r.Subresource != "" {
		what += "/" + r.Subresource
	}
	text := r.Verb + " " + what + "." + Group
	if r.Name != "" {
		text += fmt.Sprintf(" %q", r.Name)
	}
	return text + " in namespace " + r.Namespace
}

// infos reads paths as the API server does.
var infos = &request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}

// errOdd refuses what two readers may read as two paths.
var errOdd = errors.New("the path has an escaped character, an empty segment or dots: ids are query parameters, and no path needs one")

// RightOf is the right that a request below Prefix needs: exactly the one that the API server
// derives from the same call to the aggregated API.
func RightOf(method string, u *url.URL, namespace string) (Right, error) {
	below, ok := strings.CutPrefix(u.Path, Prefix)
	if !ok || u.RawPath != "" || path.Clean(u.Path) != u.Path {
		return Right{}, errOdd
	}
	info, err := infos.NewRequestInfo(&http.Request{Method: method, URL: &url.URL{Path: AggregatedPath(namespace, below), RawQuery: counts(u.Query()).Encode()}})
	if err != nil {
		return Right{}, fmt.Errorf("read path: %w", err)
	}
	right := Right{Verb: info.Verb, Resource: info.Resource, Subresource: info.Subresource, Name: info.Name, Namespace: info.Namespace}
	if right.Resource != "kinds" && right.Resource != "nodes" || right.Namespace != namespace || right.Verb == "" {
		return Right{}, fmt.Errorf("%s %s is no call of this API", method, u.Path)
	}
	return right, nil
}

// counts is what of a query a right depends on: whether it asks for a stream, and then of which
// kind. A list shows all that the caller may see, whatever it selects. The API server's reader gets
// nothing else, since it logs all of what it cannot read.
func counts(query url.Values) url.Values {
	out := url.Values{}
	watch, asked := query["watch"]
	if !asked {
		return out
	}
	out.Set("watch", watch[0])
	text := query.Get("fieldSelector")
	if _, err := fields.ParseSelector(text); err == nil && !slices.Contains([]string{"false", "0"}, strings.ToLower(watch[0])) {
		out.Set("fieldSelector", text)
	}
	return out
}

// AggregatedPath is the path of a call in the aggregated API; below is what follows Prefix.
func AggregatedPath(namespace, below string) string {
	return "/apis/" + Group + "/" + Version + "/namespaces/" + namespace + "/" + below
}

// old are what the calls below /v1/api/orchestrations/ ask for, by operation.
var old = map[string]Right{
	"get-orchestration": {Verb: "get", Resource: "kinds"},
	"find-resource":     {Verb: "get", Resource: "kinds", Subresource: "resource"},
	"get-decision":      {Verb: "get", Resource: "kinds", Subresource: "decision"},
	"get-snapshot":      {Verb: "list", Resource: "kinds"},

	"orchestrate":     {Verb: "update", Resource: "kinds", Subresource: "limits"},
	"confirm-deletes": {Verb: "create", Resource: "kinds", Subresource: "confirm"},
	"pause":           {Verb: "create", Resource: "kinds", Subresource: "pause"},
	"resume":          {Verb: "delete", Resource: "kinds", Subresource: "pause"},
	"rollback":        {Verb: "create", Resource: "kinds", Subresource: "rollback"},
	"reassign":        {Verb: "create", Resource: "kinds", Subresource: "reassign"},
}

// covered are the writes that the former right covers too: those that it covered before there were
// others. It was one for all of them: the verb update on orchestrations.shardscaler.io.
var covered = map[[2]string]bool{
	{"update", "limits"}: true, {"create", "orchestrate"}: true, {"create", "confirm"}: true, {"create", "pause"}: true,
	{"delete", "pause"}: true, {"create", "rollback"}: true, {"create", "reassign"}: true,
}

func (r Right) coveredByFormer() bool {
	return r.Resource == "kinds" && covered[[2]string{r.Verb, r.Subresource}]
}
