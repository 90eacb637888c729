package app

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/shardscaler/shardscaler/internal/wake"
)

// A reload offers the file once more, although nothing in it has changed.
func TestAReloadReadsTheFileAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "config.yaml")
		require.NoError(t, os.WriteFile(file, []byte("kinds: []"), 0o600))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		reload, told := wake.New(), make(chan offered, 10)
		go func() { _ = watchFile(ctx, file, reload, func(o offered) { told <- o }) }()
		require.Equal(t, "kinds: []", string((<-told).text))
		time.Sleep(10 * filePoll)
		require.Empty(t, told)
		reload.Wake()
		synctest.Wait()
		require.Equal(t, "kinds: []", string((<-told).text))
	})
}

// A reload asks for the ConfigMap once more. An API server that does not answer is asked again, and is
// no fault of the configuration.
func TestAReloadReadsTheConfigMapAgain(t *testing.T) {
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "iota", Name: "shardscaler", ResourceVersion: "7"}, Data: map[string]string{ConfigKey: "kinds: []"}}
	client := fake.NewClientset(m)
	failures := 1
	reload, told := wake.New(), make(chan offered, 10)
	go reread(t.Context(), client, "iota", "shardscaler", reload, func(o offered) { told <- o })
	client.PrependReactor("list", "configmaps", func(clienttesting.Action) (bool, runtime.Object, error) {
		failures--
		return failures >= 0, nil, errors.New("no answer")
	})
	reload.Wake()
	again := <-told
	require.NoError(t, again.err)
	require.Equal(t, "kinds: []", string(again.text))
	require.Negative(t, failures)
}
