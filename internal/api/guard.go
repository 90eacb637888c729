package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	authorization "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/shardscaler/shardscaler/internal/limits"
)

// Authorizer says who a bearer token belongs to and whether they may change a kind. source is the
// address that the token came from, host:port.
type Authorizer interface {
	Authorize(ctx context.Context, source, token, kind string) (user string, err error)
}

// What an Authorizer refuses with; any other error means that it could not be asked.
var (
	ErrUnauthenticated = limits.ErrRefused
	ErrForbidden       = errors.New("not allowed")
	// ErrBusy: so many tokens wait for a review that this one was not taken. 429.
	ErrBusy = limits.ErrBusy
)

// The virtual resource that callers of POST need the verb update on (Role: manifests/base).
const (
	authGroup    = "shardscaler.io"
	authResource = "orchestrations"
	authVerb     = "update"
)

// kubernetesAuthorizer asks the API server: TokenReview, then SubjectAccessReview.
type kubernetesAuthorizer struct {
	client    kubernetes.Interface
	namespace string
	// reviews keep a flood of forged tokens from becoming a flood of reviews.
	reviews *limits.Reviews
}

// NewKubernetesAuthorizer returns an Authorizer that asks Kubernetes as often as reviews allow.
func NewKubernetesAuthorizer(client kubernetes.Interface, namespace string, reviews *limits.Reviews) Authorizer {
	return &kubernetesAuthorizer{client: client, namespace: namespace, reviews: reviews}
}

func (a *kubernetesAuthorizer) Authorize(ctx context.Context, source, token, kind string) (user string, err error) {
	err = a.reviews.Do(ctx, limits.Source(source), token, func(ctx context.Context) error {
		user, err = a.review(ctx, token, kind)
		return err
	})
	return user, err
}

// review asks who the token belongs to, and whether that user may change the kind.
func (a *kubernetesAuthorizer) review(ctx context.Context, token, kind string) (string, error) {
	user, err := limits.ReviewToken(ctx, a.client, token)
	if err != nil {
		return "", err
	}
	extra := map[string]authorization.ExtraValue{}
	for k, v := range user.Extra {
		extra[k] = authorization.ExtraValue(v)
	}
	access, err := a.client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorization.SubjectAccessReview{
		Spec: authorization.SubjectAccessReviewSpec{
			User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
			ResourceAttributes: &authorization.ResourceAttributes{
				Namespace: a.namespace, Group: authGroup, Resource: authResource, Verb: authVerb, Name: kind,
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("review access: %w", err)
	}
	if !access.Status.Allowed {
		return user.Username, ErrForbidden
	}
	return user.Username, nil
}

// guard stands before every write: first the caller's right, then the way to the leader.
type guard struct {
	api      huma.API
	insecure bool
	auth     Authorizer
	backend  Backend
	log      *slog.Logger
}

type userKey struct{}

func userFrom(ctx context.Context) string {
	user, _ := ctx.Value(userKey{}).(string)
	return user
}

func (g *guard) authorize(ctx huma.Context, next func(huma.Context)) {
	if g.insecure {
		next(huma.WithValue(ctx, userKey{}, "insecure-local"))
		return
	}
	token, ok := strings.CutPrefix(ctx.Header("Authorization"), "Bearer ")
	if !ok || token == "" {
		ctx.SetHeader("WWW-Authenticate", `Bearer realm="shardscaler"`)
		g.refuse(ctx, http.StatusUnauthorized, "a bearer token is needed")
		return
	}
	user, err := g.auth.Authorize(ctx.Context(), ctx.RemoteAddr(), token, ctx.Param("kind"))
	switch {
	case err == nil:
		next(huma.WithValue(ctx, userKey{}, user))
	case errors.Is(err, ErrUnauthenticated):
		ctx.SetHeader("WWW-Authenticate", `Bearer realm="shardscaler", error="invalid_token"`)
		g.refuse(ctx, http.StatusUnauthorized, err.Error())
	case errors.Is(err, ErrBusy):
		ctx.SetHeader("Retry-After", "1")
		g.refuse(ctx, http.StatusTooManyRequests, err.Error())
	case errors.Is(err, ErrForbidden):
		g.refuse(ctx, http.StatusForbidden, fmt.Sprintf("user %q may not %s %s.%s %q", user, authVerb, authResource, authGroup, ctx.Param("kind")))
	default:
		g.log.Error("caller not checked", "error", err)
		g.refuse(ctx, http.StatusServiceUnavailable, "the caller could not be checked with Kubernetes")
	}
}

// forwarded marks a request that another replica passed on, so that two replicas that each take the
// other for the leader do not pass it back and forth.
const forwarded = "X-Shardscaler-Forwarded"

// forward lets the leader answer writes.
func (g *guard) forward(ctx huma.Context, next func(huma.Context)) {
	self, addr := g.backend.Leader()
	switch {
	case self:
		next(ctx)
	case addr == "" || ctx.Header(forwarded) != "":
		g.refuse(ctx, http.StatusServiceUnavailable, "no leader is known at the moment; try again in a few seconds")
	default:
		r, w := humago.Unwrap(ctx)
		proxy := &httputil.ReverseProxy{
			Rewrite: func(p *httputil.ProxyRequest) {
				p.SetURL(&url.URL{Scheme: "http", Host: addr})
				p.Out.Header.Set(forwarded, "true")
			},
			ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) {
				g.unanswered(ctx, addr, err)
			},
		}
		proxy.ServeHTTP(w, r)
	}
}

func (g *guard) refuse(ctx huma.Context, status int, detail string) {
	refuse(g.api, ctx, g.log, status, detail)
}
