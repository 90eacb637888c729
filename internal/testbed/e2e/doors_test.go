package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/shardscaler/shardscaler/internal/api/access"
	"github.com/shardscaler/shardscaler/internal/testbed/httpcall"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// call is one operation of the API for operators, as the OpenAPI document has it.
type call struct {
	method, path string // path is filled in, for one kind
	right        access.Right
}

// caller is one row of the table.
type caller struct {
	name    string
	secure  string       // token for the secure port; "": none
	through *rest.Config // to the API server
	// may says what the user's rights come to, on either door.
	may, mayThrough func(access.Right) bool
	// status is the answer to a token that is none, by door; 0: it is one.
	status, statusThrough int
}

// TestDoors holds the table users × calls against the real API server: every operation for
// operators, through the secure port of a replica that does not lead, and through kubectl's way.
func TestDoors(t *testing.T) {
	w := start(t, func(_ *servers.Env, o *product.Options) { o.Replicas = 2 })
	leader := w.leader()
	follower := w.Servers[0]
	if follower == leader {
		follower = w.Servers[1]
	}
	calls, callers := w.calls(), w.callers()
	began := time.Now()
	var all errgroup.Group
	for i, u := range callers {
		// each from an address of its own: reviews have a budget for each
		all.Go(func() error { return w.tries(follower, fmt.Sprintf("127.0.0.%d", i+2), u, calls) })
	}
	require.NoError(t, all.Wait())
	t.Logf("%d users × %d calls × 2 doors in %s", len(callers), len(calls), time.Since(began).Round(time.Millisecond))
	w.plainHTTPTakesNoToken(follower)
	w.isKnownToKubectl()
	w.streamsOneKind()
	operator := slices.IndexFunc(callers, func(c caller) bool { return c.name == "operator" })
	w.isWatchedByKubectl(callers[operator].through)
	w.streamsThroughTheAPIServer(callers[operator].through)
}

// tries has a user try every call through both doors.
func (w *world) tries(v *product.Server, from string, u caller, calls []call) error {
	ctx := w.t.Context()
	client, err := v.TLSClient(ctx, from)
	if err != nil {
		return err
	}
	through, err := rest.HTTPClientFor(u.through)
	if err != nil {
		return err
	}
	var wrong []error
	for _, c := range calls {
		below := strings.TrimPrefix(c.path, access.Prefix)
		_, direct := httpcall.Do(ctx, client, c.method, "https://"+v.Secure+c.path, u.secure, broken(c))
		_, aggregated := httpcall.Do(ctx, through, c.method, u.through.Host+access.AggregatedPath(w.Namespace, below), "", broken(c))
		wrong = append(wrong,
			verdict(u.name+", secure port", c, direct, u.status, u.may(c.right)),
			verdict(u.name+", API server", c, aggregated, u.statusThrough, may(u.mayThrough, u.may)(c.right)))
	}
	return errors.Join(wrong...)
}

func may(one, other func(access.Right) bool) func(access.Right) bool {
	if one != nil {
		return one
	}
	return other
}

// broken is a body that no operation takes: who may call it is told so, and nothing is done.
func broken(c call) any {
	if c.method == http.MethodGet || c.method == http.MethodDelete {
		return nil
	}
	return map[string]string{"nonsense": "nonsense"}
}

// verdict is nil if an answer is what the user should get.
func verdict(who string, c call, answer error, wanted int, may bool) error {
	status := statusOf(answer)
	refused := status == http.StatusUnauthorized || status == http.StatusForbidden
	switch {
	case answer != nil && status == 0:
		return fmt.Errorf("%s: %s %s: %w", who, c.method, c.path, answer)
	case wanted != 0 && status != wanted, wanted == 0 && may && refused, wanted == 0 && !may && status != http.StatusForbidden:
		return fmt.Errorf("%s: %s %s: answered %d, may %v, want %d: %w", who, c.method, c.path, status, may, wanted, answer)
	}
	return nil
}

// calls are the operations for operators, from the document that the product serves: each for
// Thing, and for Rule where that tells users apart.
func (w *world) calls() (all []call) {
	var document struct {
		Paths map[string]map[string]any
	}
	require.NoError(w.t, w.Servers[0].REST(w.t.Context(), http.MethodGet, "/v1/api/openapi.json", "", nil, &document))
	for path, methods := range document.Paths {
		if !strings.HasPrefix(path, "/v1/api/kinds") && !strings.HasPrefix(path, "/v1/api/nodes") {
			continue
		}
		for method := range methods {
			kinds := []string{thing}
			if path == "/v1/api/kinds/{kind}" || strings.HasSuffix(path, "/pause") {
				kinds = []string{thing, rule}
			}
			for _, kind := range kinds {
				at := strings.NewReplacer("{kind}", kind, "{ordinal}", "0", "{node}", "some-node", "{id}", "none").Replace(path)
				require.NotContains(w.t, at, "{", "a parameter that this test does not know")
				c := call{method: strings.ToUpper(method), path: at}
				var err error
				c.right, err = access.RightOf(c.method, &url.URL{Path: at}, w.Namespace)
				require.NoError(w.t, err)
				all = append(all, c)
			}
		}
	}
	require.NotEmpty(w.t, all)
	return all
}

// callers makes the users.
func (w *world) callers() []caller {
	w.t.Helper()
	ctx := w.t.Context()
	admin, err := w.Env.Kubernetes.Config()
	require.NoError(w.t, err)
	anonymous := rest.AnonymousClientConfig(admin)
	// user makes a service account, bound to a role, and returns its row.
	user := func(name string, ref rbacv1.RoleRef, may, mayThrough func(access.Right) bool) caller {
		theirs, err := w.Env.Kubernetes.Token(ctx, w.Namespace, name)
		require.NoError(w.t, err)
		ours, err := w.Env.Kubernetes.Token(ctx, w.Namespace, name, product.Audience)
		require.NoError(w.t, err)
		through := rest.CopyConfig(anonymous)
		through.BearerToken = theirs
		if ref.Name != "" {
			ref.APIGroup = rbacv1.GroupName
			_, err = w.Kube.RbacV1().RoleBindings(w.Namespace).Create(ctx, &rbacv1.RoleBinding{
				ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: ref, Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: name, Namespace: w.Namespace}},
			}, metav1.CreateOptions{})
			require.NoError(w.t, err)
		}
		return caller{name: name, secure: ours, through: through, may: may, mayThrough: mayThrough}
	}
	none := func(access.Right) bool { return false }
	reads := func(r access.Right) bool {
		return r.Verb == "get" || r.Verb == "list" || r.Verb == "watch" || r.Subresource == "plans"
	}
	all := func(access.Right) bool { return true }
	ofThing := func(r access.Right) bool { return r.Name == thing }
	// Who may not list all is shown what they may get; the API server knows no such answer.
	alsoLists := func(r access.Right) bool { return ofThing(r) || r.Resource == "kinds" && r.Name == "" }
	_, err = w.Kube.RbacV1().Roles(w.Namespace).Create(ctx, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "of-thing"}, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{access.Group}, Resources: []string{"*"}, ResourceNames: []string{thing}, Verbs: []string{"*"},
	}}}, metav1.CreateOptions{})
	require.NoError(w.t, err)

	stranger := user("stranger", rbacv1.RoleRef{}, none, nil)
	operator := user("operator", rbacv1.RoleRef{Kind: "Role", Name: "shardscaler-operator"}, all, nil)
	rows := []caller{
		stranger, operator,
		user("viewer", rbacv1.RoleRef{Kind: "ClusterRole", Name: "view"}, reads, nil),
		user("operator-of-thing", rbacv1.RoleRef{Kind: "Role", Name: "of-thing"}, alsoLists, ofThing),
		user("root", rbacv1.RoleRef{Kind: "ClusterRole", Name: "cluster-admin"}, all, nil),
		{name: "no token", through: anonymous, may: none, status: http.StatusUnauthorized},
	}
	forged := rest.CopyConfig(anonymous)
	forged.BearerToken = "forged"
	rows = append(rows, caller{name: "forged token", secure: "forged", through: forged, may: none, status: http.StatusUnauthorized, statusThrough: http.StatusUnauthorized})
	// What is for the API server is not for us, and the other way round.
	crossed := caller{name: "token of another audience", secure: operator.through.BearerToken, through: rest.CopyConfig(anonymous), may: none, status: http.StatusUnauthorized, statusThrough: http.StatusUnauthorized}
	crossed.through.BearerToken = operator.secure
	rows = append(rows, crossed)
	for _, name := range []string{"operator", "operator-of-thing", "root"} {
		w.mayPauseThing(name)
	}
	return rows
}

// mayPauseThing waits until the API server has the roles: it remembers what it refused.
func (w *world) mayPauseThing(account string) {
	w.t.Helper()
	w.until(account+" may pause", func(ctx context.Context) error {
		review, err := w.Kube.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: "system:serviceaccount:" + w.Namespace + ":" + account,
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: w.Namespace, Group: access.Group, Resource: "kinds", Subresource: "pause", Name: thing, Verb: "create",
			},
		}}, metav1.CreateOptions{})
		if err == nil && !review.Status.Allowed {
			err = errors.New("not yet")
		}
		return err
	})
}

// plainHTTPTakesNoToken: what carries one is told where to go, whatever it is.
func (w *world) plainHTTPTakesNoToken(v *product.Server) {
	w.t.Helper()
	for _, c := range [][2]string{
		{http.MethodPost, "/v1/api/orchestrations/Thing/pause"}, {http.MethodGet, "/v1/api/orchestrations/Thing"}, {http.MethodGet, "/v1/api/kinds"},
	} {
		_, err := httpcall.Do(w.t.Context(), httpcall.Once, c[0], "http://"+v.Addr+c[1], "a-token", nil)
		require.Equal(w.t, http.StatusForbidden, statusOf(err), c[1])
		require.ErrorContains(w.t, err, "use https://shardscaler-metrics."+w.Namespace+".svc"+c[1])
	}
	_, err := httpcall.Do(w.t.Context(), httpcall.Once, http.MethodGet, "http://"+v.Addr+"/v1/api/drains/"+w.Namespace+"/"+podName(thingSet, 0), "a-token", nil)
	require.NoError(w.t, err, "the hook would give up")
	log, err := os.ReadFile(v.Log)
	require.NoError(w.t, err)
	require.NotContains(w.t, string(log), "a-token")
}

// streamsOneKind: through the API server, which derives the right from the field selector.
func (w *world) streamsOneKind() {
	w.t.Helper()
	admin, err := w.Env.Kubernetes.Config()
	require.NoError(w.t, err)
	client, err := rest.HTTPClientFor(admin)
	require.NoError(w.t, err)
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, admin.Host+access.AggregatedPath(w.Namespace, "kinds")+"?watch=true&fieldSelector=metadata.name%3D"+rule, http.NoBody)
	require.NoError(w.t, err)
	resp, err := client.Do(req)
	require.NoError(w.t, err)
	defer resp.Body.Close()
	require.Equal(w.t, http.StatusOK, resp.StatusCode)
	lines := bufio.NewReader(resp.Body)
	for {
		line, err := lines.ReadString('\n')
		require.NoError(w.t, err)
		if data, found := strings.CutPrefix(line, "data: "); found {
			require.Contains(w.t, data, `"name":"`+rule+`"`)
			require.NotContains(w.t, data, `"name":"`+thing+`"`)
			return
		}
	}
}

// isWatchedByKubectl: `kubectl get --watch` shows the kinds once, and then what changes.
func (w *world) isWatchedByKubectl(through *rest.Config) {
	w.t.Helper()
	client, err := rest.HTTPClientFor(through)
	require.NoError(w.t, err)
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	cmd := w.Env.Kubernetes.Command(ctx, "--namespace", w.Namespace, "get", "kinds", rule, "--watch", "-o", "jsonpath={.metadata.name} {.status.paused.value}{\"\\n\"}")
	documents, err := cmd.StdoutPipe()
	require.NoError(w.t, err)
	cmd.Stderr = os.Stderr
	require.NoError(w.t, cmd.Start())
	tables := w.Env.Kubernetes.Command(ctx, "--namespace", w.Namespace, "get", "kinds", "--watch", "-o", "wide")
	rows, err := tables.StdoutPipe()
	require.NoError(w.t, err)
	tables.Stderr = os.Stderr
	require.NoError(w.t, tables.Start())
	document, row := bufio.NewScanner(documents), bufio.NewScanner(rows)
	next := func(s *bufio.Scanner) string {
		require.True(w.t, s.Scan(), s.Err())
		return s.Text()
	}
	require.Equal(w.t, rule+" false", next(document))
	require.Contains(w.t, next(row), "REPLICAS")
	for _, kind := range []string{thing, rule} {
		require.Equal(w.t, kind, strings.Fields(next(row))[0])
	}
	for _, change := range []struct{ method, paused string }{{http.MethodPost, "true"}, {http.MethodDelete, "false"}} {
		_, err := httpcall.Do(ctx, client, change.method, through.Host+access.AggregatedPath(w.Namespace, "kinds/"+rule+"/pause"), "", nil)
		require.NoError(w.t, err)
		for next(document) != rule+" "+change.paused { // what else changes comes too
		}
		for text := next(row); !strings.HasPrefix(text, rule+" ") || !strings.Contains(text, " "+change.paused+" "); {
			text = next(row)
		}
	}
	cancel()
	_, _ = cmd.Wait(), tables.Wait() // killed
}

// isKnownToKubectl: discovery, tables and objects are as kubectl wants them.
func (w *world) isKnownToKubectl() {
	w.t.Helper()
	kubectl := func(args ...string) string {
		out, err := w.Env.Kubernetes.Run(w.t.Context(), append([]string{"--namespace", w.Namespace}, args...)...)
		require.NoError(w.t, err)
		return out
	}
	require.Contains(w.t, kubectl("api-resources", "--api-group", access.Group), "kinds")
	require.Contains(w.t, kubectl("get", "kinds.ops.shardscaler.io", "-o", "wide"), thingSet)
	require.Equal(w.t, thing, strings.TrimSpace(kubectl("get", "kinds", thing, "-o", "jsonpath={.metadata.name}")))
	require.Equal(w.t, thingSet, strings.TrimSpace(kubectl("get", "kinds", thing, "-o", "jsonpath={.status.groups[0].statefulSet}")))
	require.Equal(w.t, "yes", strings.TrimSpace(kubectl("auth", "can-i", "create", "kinds.ops.shardscaler.io/"+thing, "--subresource", "pause",
		"--as", "system:serviceaccount:"+w.Namespace+":operator")))
	_, err := w.Env.Kubernetes.Run(w.t.Context(), "--namespace", w.Namespace, "get", "kinds", "Nothing")
	require.ErrorContains(w.t, err, "is not configured; there are Thing, Rule")
}
