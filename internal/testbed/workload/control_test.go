package workload

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/utils/ptr"
)

// idle is a simulation that was not started and has the instance Thing 1.
func idle(t *testing.T) (*Sim, *instance) {
	t.Helper()
	cfg := Default()
	s := New(cfg, fake.NewClientset(), NewRunLog(nil), slog.New(slog.DiscardHandler))
	t.Cleanup(s.queue.ShutDown)
	in := &instance{identity: identity{kind: cfg.Kinds[0], ordinal: 1, pod: "iota-dac-1"}}
	s.instances[in.pod] = in
	return s, in
}

func TestTheControlAddressKnowsInstancesByTheirOrdinalAlone(t *testing.T) {
	s, in := idle(t)
	ask := func(ordinal string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "http://127.0.0.1:9310/v1/instances/Thing/"+ordinal+"/mute", nil))
		return w
	}
	for _, ordinal := range []string{"+1", "01", "%201", "-0", "x"} {
		w := ask(ordinal)
		require.Equal(t, http.StatusNotFound, w.Code, ordinal)
		require.Contains(t, w.Body.String(), "want a whole number from 0", ordinal)
		require.False(t, in.muted.Load(), ordinal)
	}
	require.Equal(t, http.StatusNoContent, ask("1").Code)
	require.True(t, in.muted.Load())
}

// A page in the browser of a person who runs a simulation must not break its instances.
func TestTheControlAddressRefusesPagesOfOtherSites(t *testing.T) {
	s, in := idle(t)
	ask := func(host, header, value string) int {
		r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:9310/v1/instances/Thing/1/mute", nil)
		r.Host = host
		if header != "" {
			r.Header.Set(header, value)
		}
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		return w.Code
	}
	require.Equal(t, http.StatusForbidden, ask("127.0.0.1:9310", "Sec-Fetch-Site", "cross-site"))
	require.Equal(t, http.StatusForbidden, ask("127.0.0.1:9310", "Origin", "http://evil.example"))
	require.Equal(t, http.StatusForbidden, ask("rebound.example:9310", "", ""))
	require.False(t, in.muted.Load())
	require.Equal(t, http.StatusNoContent, ask("LOCALHOST:9310", "", ""))
	require.True(t, in.muted.Load())
}

func TestOnlyPodsWithTheNameOfAnInstanceArePlayed(t *testing.T) {
	s, _ := idle(t)
	for name, want := range map[string]int{"iota-dac-7": 7, "iota-dac-07": -1, "iota-dac-+7": -1, "7": -1, "iota-dac-x": -1} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Name: name, OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "iota-dac", Controller: ptr.To(true)}},
		}}
		id, ours := s.identify(pod)
		require.Equal(t, want >= 0, ours, name)
		if ours {
			require.Equal(t, want, id.ordinal)
		}
	}
}
