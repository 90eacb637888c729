package api

import (
	"context"
	"errors"
	"fmt"
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

// ErrForbidden is what an Authorizer refuses with, beside limits.ErrRefused and limits.ErrBusy; any
// other error means that it could not be asked.
var ErrForbidden = errors.New("not allowed")

// The virtual resource that callers of POST need the verb update on (Role: manifests/base).
const (
	authGroup    = "shardscaler.io"
	authResource = "orchestrations"
	authVerb     = "update"
)

// KubernetesAuthorizer asks the API server: TokenReview, then SubjectAccessReview.
type KubernetesAuthorizer struct {
	Client    kubernetes.Interface
	Namespace string
	// Reviews keep a flood of forged tokens from becoming a flood of reviews.
	Reviews *limits.Reviews
}

// Authorize implements Authorizer.
func (a *KubernetesAuthorizer) Authorize(ctx context.Context, source, token, kind string) (user string, err error) {
	err = a.Reviews.Do(ctx, limits.Source(source), token, func(ctx context.Context) error {
		user, err = a.review(ctx, token, kind)
		return err
	})
	return user, err
}

// review asks who the token belongs to, and whether that user may change the kind.
func (a *KubernetesAuthorizer) review(ctx context.Context, token, kind string) (string, error) {
	user, err := limits.ReviewToken(ctx, a.Client, token)
	if err != nil {
		return "", err
	}
	extra := map[string]authorization.ExtraValue{}
	for k, v := range user.Extra {
		extra[k] = authorization.ExtraValue(v)
	}
	access, err := a.Client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorization.SubjectAccessReview{
		Spec: authorization.SubjectAccessReviewSpec{
			User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
			ResourceAttributes: &authorization.ResourceAttributes{
				Namespace: a.Namespace, Group: authGroup, Resource: authResource, Verb: authVerb, Name: kind,
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

type userKey struct{}

// UserFrom is the caller of a change that was let in; "": there is none.
func UserFrom(ctx context.Context) string {
	user, _ := ctx.Value(userKey{}).(string)
	return user
}

// authorize lets only callers pass who may change the kind.
func (h *handlers) authorize(ctx huma.Context, next func(huma.Context)) {
	if h.insecure {
		next(huma.WithValue(ctx, userKey{}, "insecure-local"))
		return
	}
	token, ok := strings.CutPrefix(ctx.Header("Authorization"), "Bearer ")
	if !ok || token == "" {
		ctx.SetHeader("WWW-Authenticate", `Bearer realm="shardscaler"`)
		h.refuse(ctx, http.StatusUnauthorized, "a bearer token is needed")
		return
	}
	user, err := h.auth.Authorize(ctx.Context(), ctx.RemoteAddr(), token, ctx.Param("kind"))
	switch {
	case err == nil:
		next(huma.WithValue(ctx, userKey{}, user))
	case errors.Is(err, limits.ErrRefused):
		ctx.SetHeader("WWW-Authenticate", `Bearer realm="shardscaler", error="invalid_token"`)
		h.refuse(ctx, http.StatusUnauthorized, err.Error())
	case errors.Is(err, limits.ErrBusy):
		ctx.SetHeader("Retry-After", "1")
		h.refuse(ctx, http.StatusTooManyRequests, err.Error())
	case errors.Is(err, ErrForbidden):
		h.refuse(ctx, http.StatusForbidden, fmt.Sprintf("user %q may not %s %s.%s %q", user, authVerb, authResource, authGroup, ctx.Param("kind")))
	default:
		h.log.Error("caller not checked", "error", err)
		h.refuse(ctx, http.StatusServiceUnavailable, "the caller could not be checked with Kubernetes")
	}
}

// forwarded marks a request that another replica passed on, so that two replicas that each take the
// other for the leader do not pass it back and forth.
const forwarded = "X-Shardscaler-Forwarded"

// forward lets the leader answer writes.
func (h *handlers) forward(ctx huma.Context, next func(huma.Context)) {
	self, addr := h.backend.Leader()
	switch {
	case self:
		next(ctx)
	case addr == "" || ctx.Header(forwarded) != "":
		h.refuse(ctx, http.StatusServiceUnavailable, "no leader is known at the moment; try again in a few seconds")
	default:
		r, w := humago.Unwrap(ctx)
		proxy := &httputil.ReverseProxy{
			Rewrite: func(p *httputil.ProxyRequest) {
				p.SetURL(&url.URL{Scheme: "http", Host: addr})
				p.Out.Header.Set(forwarded, "true")
			},
			ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) {
				h.unanswered(ctx, addr, err)
			},
		}
		proxy.ServeHTTP(w, r)
	}
}
