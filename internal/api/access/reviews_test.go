package access

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"

	"github.com/shardscaler/shardscaler/internal/limits"
)

// reviewer answers reviews as the API server does for a token "operator" that may change Thing
// alone, and counts them.
func reviewer(count *int) *fake.Clientset {
	client := fake.NewClientset()
	client.PrependReactor("create", "tokenreviews", func(a ktesting.Action) (bool, runtime.Object, error) {
		*count++
		review := a.(ktesting.CreateAction).GetObject().(*authentication.TokenReview)
		review.Status.Authenticated = review.Spec.Token == "operator"
		review.Status.User.Username = review.Spec.Token
		review.Status.Audiences = review.Spec.Audiences
		return true, review, nil
	})
	client.PrependReactor("create", "subjectaccessreviews", func(a ktesting.Action) (bool, runtime.Object, error) {
		review := a.(ktesting.CreateAction).GetObject().(*authorization.SubjectAccessReview)
		review.Status.Allowed = review.Spec.ResourceAttributes.Name == "Thing"
		return true, review, nil
	})
	return client
}

func TestAFloodOfForgedTokensCostsFewReviewsAndDelaysNoOperator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reviewed := 0
		auth := NewReviewer(reviewer(&reviewed), "iota", limits.NewReviews())
		answers := make(chan error, 900)
		for i := range 900 {
			go func() {
				_, err := auth.Authenticate(context.Background(), "10.0.0.9:1234", string(rune('a'+i)), "shardscaler")
				answers <- err
			}()
		}
		synctest.Wait()
		begun := time.Now()
		user, err := auth.Authenticate(t.Context(), "10.0.0.1:1234", "operator", "shardscaler")
		require.NoError(t, err)
		require.Equal(t, "operator", user.Name)
		allowed, err := auth.Allowed(t.Context(), "10.0.0.1:1234", "key", user, Right{Name: "Thing"})
		require.NoError(t, err)
		require.True(t, allowed)
		require.Zero(t, time.Since(begun))
		for range 900 {
			err := <-answers
			require.True(t, errors.Is(err, limits.ErrBusy) || errors.Is(err, limits.ErrRefused), err)
		}
		require.LessOrEqual(t, reviewed, 32, "of 901 tokens")
		allowed, err = auth.Allowed(t.Context(), "10.0.0.1:1234", "key", user, Right{Name: "Rule"})
		require.NoError(t, err)
		require.False(t, allowed)
	})
}
