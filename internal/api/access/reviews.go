package access

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	authorization "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/client-go/kubernetes"

	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/limits"
)

// Reviews say who callers are, and whether they may. source is the address that a request came
// from, host:port; key is a hash of what proves who the user is. All fail with limits.ErrBusy, or
// because Kubernetes could not be asked.
type Reviews interface {
	// Authenticate says whose a token is; limits.ErrRefused: it is not valid for the audience. An
	// empty audience is that of the API server.
	Authenticate(ctx context.Context, source, token, audience string) (User, error)
	// Allowed says whether the user has the right.
	Allowed(ctx context.Context, source, key string, user User, r Right) (bool, error)
	// AllowedFormerly says whether the user has the right that stood for all writes before there
	// were several: the verb update on orchestrations.shardscaler.io.
	AllowedFormerly(ctx context.Context, source, key string, user User, kind string) (bool, error)
}

const (
	// rememberedFor is how long the answer of a review counts, whatever it is.
	rememberedFor = 10 * time.Second
	maxRemembered = 4096
)

// Reviewer implements Reviews by TokenReviews and SubjectAccessReviews.
type Reviewer struct {
	client    kubernetes.Interface
	namespace string
	limit     *limits.Reviews

	users, verdicts *cache.LRUExpireCache // User, bool; by hash
}

// NewReviewer returns a Reviewer for callers of a namespace's API. limit bounds both reviews.
func NewReviewer(client kubernetes.Interface, namespace string, limit *limits.Reviews) *Reviewer {
	return &Reviewer{
		client: client, namespace: namespace, limit: limit,
		users: cache.NewLRUExpireCache(maxRemembered), verdicts: cache.NewLRUExpireCache(maxRemembered),
	}
}

// hash is a key that tells nothing of its parts.
func hash(parts ...string) string {
	text, _ := json.Marshal(parts) // text
	sum := sha256.Sum256(text)
	return string(sum[:])
}

// Authenticate implements Reviews. A refusal is remembered by the limit.
func (r *Reviewer) Authenticate(ctx context.Context, source, token, audience string) (user User, err error) {
	key := hash("token", token, audience)
	if known, ok := r.users.Get(key); ok {
		return known.(User), nil
	}
	err = r.limit.Do(ctx, limits.Source(source), key, func(ctx context.Context) error {
		user, err = r.reviewToken(ctx, token, audience)
		return err
	})
	if errors.Is(err, limits.ErrRefused) {
		return User{}, r.explained(err, token, audience)
	}
	if err == nil {
		r.users.Add(key, user, rememberedFor)
	}
	return user, err
}

func (r *Reviewer) reviewToken(ctx context.Context, token, audience string) (User, error) {
	u, err := limits.ReviewToken(ctx, r.client, token, audience)
	if err != nil {
		return User{}, err
	}
	user := User{Name: u.Username, UID: u.UID, Groups: u.Groups, Extra: map[string][]string{}}
	for k, v := range u.Extra {
		user.Extra[k] = v
	}
	return user, nil
}

// explained says how to make a token of the right audience, if that is what is wrong with this one.
func (r *Reviewer) explained(err error, token, audience string) error {
	claims := struct {
		Aud json.RawMessage `json:"aud"`
	}{}
	if audience == "" || decodeClaims(token, &claims) != nil || len(claims.Aud) == 0 {
		return err
	}
	var all []string
	if exact.JSON(claims.Aud, &all) != nil {
		all = make([]string, 1)
		_ = exact.JSON(claims.Aud, &all[0]) // neither: it is for no audience
	}
	if slices.Contains(all, audience) {
		return err
	}
	return fmt.Errorf("%w here: it is not for the audience %s; make one with: kubectl -n %s create token NAME --audience %s",
		err, audience, r.namespace, audience)
}

// decodeClaims reads what a JSON Web Token says of itself. Nothing is checked by that.
func decodeClaims(token string, into any) error {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return errors.New("no JSON Web Token")
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return err
	}
	return exact.JSON(text, into)
}

// Allowed implements Reviews.
func (r *Reviewer) Allowed(ctx context.Context, source, key string, user User, right Right) (bool, error) {
	return r.allowed(ctx, source, key, user, authorization.ResourceAttributes{
		Namespace: right.Namespace, Verb: right.Verb, Group: Group, Version: Version,
		Resource: right.Resource, Subresource: right.Subresource, Name: right.Name,
	})
}

// AllowedFormerly implements Reviews.
func (r *Reviewer) AllowedFormerly(ctx context.Context, source, key string, user User, kind string) (bool, error) {
	return r.allowed(ctx, source, key, user, authorization.ResourceAttributes{
		Namespace: r.namespace, Verb: "update", Group: "shardscaler.io", Resource: "orchestrations", Name: kind,
	})
}

func (r *Reviewer) allowed(ctx context.Context, source, key string, user User, what authorization.ResourceAttributes) (allowed bool, err error) {
	key = hash("access", key, user.Name, what.Namespace, what.Verb, what.Group, what.Resource, what.Subresource, what.Name)
	if known, ok := r.verdicts.Get(key); ok {
		return known.(bool), nil
	}
	extra := map[string]authorization.ExtraValue{}
	for k, v := range user.Extra {
		extra[k] = v
	}
	err = r.limit.Do(ctx, limits.Source(source), key, func(ctx context.Context) error {
		review, err := r.client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorization.SubjectAccessReview{
			Spec: authorization.SubjectAccessReviewSpec{User: user.Name, UID: user.UID, Groups: user.Groups, Extra: extra, ResourceAttributes: &what},
		}, metav1.CreateOptions{})
		if err != nil {
			return fmt.Errorf("review access: %w", err)
		}
		allowed = review.Status.Allowed && !review.Status.Denied
		return nil
	})
	if err == nil {
		r.verdicts.Add(key, allowed, rememberedFor)
	}
	return allowed, err
}
