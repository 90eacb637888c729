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
	"golang.org/x/time/rate"
	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Authorizer says who a bearer token belongs to and whether they may change a kind.
type Authorizer interface {
	Authorize(ctx context.Context, token, kind string) (user string, err error)
}

// What an Authorizer refuses with; any other error means that it could not be asked.
var (
	ErrUnauthenticated = errors.New("the token is not valid")
	ErrForbidden       = errors.New("not allowed")
)

// The virtual resource that callers of POST need the verb update on (manifests/base has a Role for it).
const (
	authGroup    = "shardscaler.io"
	authResource = "orchestrations"
	authVerb     = "update"
)

// kubernetesAuthorizer asks the API server: TokenReview, then SubjectAccessReview.
type kubernetesAuthorizer struct {
	client    kubernetes.Interface
	namespace string
	// limit keeps a flood of forged tokens from becoming a flood of reviews.
	limit *rate.Limiter
}

// NewKubernetesAuthorizer returns an Authorizer that asks Kubernetes on every call, at most 20 times a second.
func NewKubernetesAuthorizer(client kubernetes.Interface, namespace string) Authorizer {
	return &kubernetesAuthorizer{client: client, namespace: namespace, limit: rate.NewLimiter(20, 40)}
}

func (a *kubernetesAuthorizer) Authorize(ctx context.Context, token, kind string) (string, error) {
	if err := a.limit.Wait(ctx); err != nil {
		return "", fmt.Errorf("wait for a token review: %w", err)
	}
	review, err := a.client.AuthenticationV1().TokenReviews().Create(ctx,
		&authentication.TokenReview{Spec: authentication.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("review token: %w", err)
	}
	if !review.Status.Authenticated {
		return "", ErrUnauthenticated
	}
	user := review.Status.User
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
	user, err := g.auth.Authorize(ctx.Context(), token, ctx.Param("kind"))
	switch {
	case err == nil:
		next(huma.WithValue(ctx, userKey{}, user))
	case errors.Is(err, ErrUnauthenticated):
		ctx.SetHeader("WWW-Authenticate", `Bearer realm="shardscaler", error="invalid_token"`)
		g.refuse(ctx, http.StatusUnauthorized, err.Error())
	case errors.Is(err, ErrForbidden):
		g.refuse(ctx, http.StatusForbidden, fmt.Sprintf("user %q may not %s %s.%s %q", user, authVerb, authResource, authGroup, ctx.Param("kind")))
	default:
		g.log.Error("caller not checked", "error", err)
		g.refuse(ctx, http.StatusServiceUnavailable, "the caller could not be checked with Kubernetes")
	}
}

// forwarded marks a request that another replica passed on, so that two replicas that each take the other for the leader do not
// pass it back and forth.
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
				g.refuse(ctx, http.StatusServiceUnavailable, fmt.Sprintf("the leader at %s does not answer: %v", addr, err))
			},
		}
		proxy.ServeHTTP(w, r)
	}
}

func (g *guard) refuse(ctx huma.Context, status int, detail string) {
	if err := huma.WriteErr(g.api, ctx, status, detail); err != nil {
		g.log.Debug("answer not written", "error", err)
	}
}
