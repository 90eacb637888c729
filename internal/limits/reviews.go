package limits

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	authentication "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/client-go/kubernetes"
)

const (
	// reviewsPerSecond, reviewsAtOnce are of all sources, sourcePerSecond and sourceAtOnce of one.
	reviewsPerSecond, reviewsAtOnce = 20, 20
	sourcePerSecond, sourceAtOnce   = 10, 10
	// maxWaiting is how many callers of one source wait for their turn at most.
	maxWaiting = 20
	// ReviewTimeout bounds one review.
	ReviewTimeout = 5 * time.Second
	// refusedFor is how long a refused token is refused again without a review.
	refusedFor = 10 * time.Second
	// maxRemembered bounds the tokens and the sources that are remembered.
	maxRemembered = 4096
)

var (
	// ErrRefused marks a review's answer that the token is not valid.
	ErrRefused = errors.New("the token is not valid")
	// ErrBusy says that too many callers of one source wait for a review.
	ErrBusy = errors.New("too many callers of this address wait for a review")
)

// Reviews bounds how often Kubernetes is asked whose a token is, and what a user may: any caller
// can cause that.
type Reviews struct {
	all     *Line
	refused *cache.LRUExpireCache // of hashes of tokens
	mu      sync.Mutex
	sources *cache.LRUExpireCache // of *source, by name
}

type source struct {
	line    *Line
	waiting chan struct{}
}

// NewReviews returns Reviews of 20 a second in all and of 10 a second for one source.
func NewReviews() *Reviews {
	return &Reviews{
		all:     NewLine(reviewsPerSecond, reviewsAtOnce),
		refused: cache.NewLRUExpireCache(maxRemembered),
		sources: cache.NewLRUExpireCache(maxRemembered),
	}
}

// Do calls review when it is its turn, for at most ReviewTimeout, and returns its error. What is
// reviewed is a token, or a text that is another one for each question. ErrRefused is returned
// again for ten seconds without a call. ErrBusy: nothing was asked.
func (r *Reviews) Do(ctx context.Context, from, token string, review func(context.Context) error) error {
	hash := sha256.Sum256([]byte(token))
	if _, refused := r.refused.Get(hash); refused {
		return fmt.Errorf("%w, as it was when it was last reviewed less than %s ago", ErrRefused, refusedFor)
	}
	if err := r.wait(ctx, r.source(from)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, ReviewTimeout)
	defer cancel()
	err := review(ctx)
	if errors.Is(err, ErrRefused) {
		r.refused.Add(hash, struct{}{}, refusedFor)
	}
	return err
}

// wait returns when it is the turn of this source, and then of all.
func (r *Reviews) wait(ctx context.Context, s *source) error {
	select {
	case s.waiting <- struct{}{}:
		defer func() { <-s.waiting }()
	default:
		return ErrBusy
	}
	for _, line := range []*Line{s.line, r.all} {
		if err := line.Wait(ctx); err != nil {
			return fmt.Errorf("wait for a token review: %w", err)
		}
	}
	return nil
}

// sourceMemory is how long a source is remembered: longer than its budget takes to be full again.
const sourceMemory = time.Minute

func (r *Reviews) source(name string) *source {
	r.mu.Lock()
	defer r.mu.Unlock()
	kept, ok := r.sources.Get(name)
	if !ok {
		kept = &source{line: NewLine(sourcePerSecond, sourceAtOnce), waiting: make(chan struct{}, maxWaiting)}
	}
	r.sources.Add(name, kept, sourceMemory)
	return kept.(*source)
}

// ReviewToken asks Kubernetes whose a token is; "" is the audience of the API server. ErrRefused:
// it is not valid for the audience.
func ReviewToken(ctx context.Context, client kubernetes.Interface, token, audience string) (authentication.UserInfo, error) {
	spec := authentication.TokenReviewSpec{Token: token}
	if audience != "" {
		spec.Audiences = []string{audience}
	}
	review, err := client.AuthenticationV1().TokenReviews().Create(ctx, &authentication.TokenReview{Spec: spec}, metav1.CreateOptions{})
	switch {
	case err != nil:
		return authentication.UserInfo{}, fmt.Errorf("review token: %w", err)
	case !review.Status.Authenticated, audience != "" && !slices.Contains(review.Status.Audiences, audience):
		// One that knows no audiences leaves them out: the token is then for the API server.
		return authentication.UserInfo{}, ErrRefused
	}
	return review.Status.User, nil
}
