package metricsapi

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/client-go/kubernetes"

	"github.com/shardscaler/shardscaler/internal/limits"
)

const (
	// acceptedFor is how long an accepted token needs no turn: the library remembers it as long.
	acceptedFor = 10 * time.Second
	maxAccepted = 1024
)

// tokens stands before the library's authentication, which reviews every bearer token and logs each
// that is refused. Callers without one, such as the API server with its certificate, pass.
type tokens struct {
	Reviews
	accepted *cache.LRUExpireCache // of hashes of tokens
	log      *slog.Logger
}

// Reviews say how bearer tokens are reviewed before the library reviews valid ones again.
type Reviews struct {
	// Limit bounds how often; it may be shared with other servers of the process.
	Limit *limits.Reviews
	// Client asks Kubernetes.
	Client kubernetes.Interface
}

// check answers 401 to a token that is not valid and 429 to one that cannot be reviewed now.
func (t *tokens) check(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch err := t.authenticate(r); {
		case err == nil:
			next.ServeHTTP(w, r)
		case errors.Is(err, limits.ErrRefused):
			w.Header().Set("WWW-Authenticate", `Bearer realm="shardscaler", error="invalid_token"`)
			writeStatus(w, apierrors.NewUnauthorized(err.Error()))
		case errors.Is(err, limits.ErrBusy):
			w.Header().Set("Retry-After", "1")
			writeStatus(w, apierrors.NewTooManyRequests(err.Error(), 1))
		default:
			t.log.Warn("a token could not be reviewed", "error", err)
			writeStatus(w, apierrors.NewServiceUnavailable("the token could not be reviewed with Kubernetes"))
		}
	})
}

func (t *tokens) authenticate(r *http.Request) error {
	token := bearer(r)
	if token == "" {
		return nil
	}
	hash := sha256.Sum256([]byte(token))
	if _, known := t.accepted.Get(hash); known {
		return nil
	}
	err := t.Limit.Do(r.Context(), limits.Source(r.RemoteAddr), token, func(ctx context.Context) error {
		_, err := limits.ReviewToken(ctx, t.Client, token, "")
		return err
	})
	if err != nil {
		return err
	}
	t.accepted.Add(hash, struct{}{}, acceptedFor)
	return nil
}

// bearer is the request's token as the library reads it; "" if it has none.
func bearer(r *http.Request) string {
	parts := strings.SplitN(strings.TrimSpace(r.Header.Get("Authorization")), " ", 3)
	if len(parts) < 2 || !strings.EqualFold(parts[0], "bearer") {
		return ""
	}
	return parts[1]
}
