package metricsapi

import (
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/discovery"
	genericapiserver "k8s.io/apiserver/pkg/server"
)

// Beside is what the port serves beside the metrics APIs. Neither takes a place that requests for
// metrics need.
type Beside struct {
	// Own answers the paths for which Owns is true, with an authentication of its own; nil: none.
	Own  http.Handler
	Owns func(path string) bool
	// Group answers the calls of an API group to which the library has let the caller in: it finds
	// user and request info in the request's context. Nil: none.
	Group   http.Handler
	Version schema.GroupVersion
	// Resources and subresources of the group, for discovery.
	Resources []metav1.APIResource
}

// ListAPIResources implements discovery.APIResourceLister.
func (b Beside) ListAPIResources() []metav1.APIResource { return b.Resources }

const (
	// groupInFlight is how many calls of the group, that only read or that change something, are
	// answered at once.
	groupInFlight = 200
	// groupTimeout is longer than a change waits to be carried out.
	groupTimeout = 50 * time.Second
	// besideTimeout is how long a reader may take for an answer. Each request sets it anew, since
	// HTTP/1 keeps that of the request before; a stream sets its own.
	besideTimeout = groupTimeout * 3 / 2
)

// beside leads requests to what serves them.
func (s *Server) beside(metrics http.Handler, c *genericapiserver.Config) http.Handler {
	b := s.cfg.Beside
	group, prefix := http.NotFoundHandler(), "/apis/"+b.Version.String()+"/"
	if b.Group != nil {
		chain := *c
		chain.MaxRequestsInFlight, chain.MaxMutatingRequestsInFlight, chain.RequestTimeout = groupInFlight, groupInFlight, groupTimeout
		group = withWriteDeadline(s.besideTimeout, withoutTokens(genericapiserver.DefaultBuildHandlerChain(s.withRecovery(b.Group), &chain)))
	}
	own := withWriteDeadline(s.besideTimeout, b.Own)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case b.Own != nil && b.Owns(r.URL.Path):
			own.ServeHTTP(w, r)
		case b.Group != nil && len(r.URL.Path) > len(prefix) && strings.HasPrefix(r.URL.Path, prefix):
			group.ServeHTTP(w, r)
		default:
			metrics.ServeHTTP(w, r)
		}
	})
}

// withoutTokens refuses bearer tokens before any review: the library would take those for the API
// server. Callers of the group come through it, and it keeps their tokens.
func withoutTokens(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="shardscaler", error="invalid_token"`)
			writeStatus(w, apierrors.NewUnauthorized("no token is taken here: call the API server, or the same path below /v1/api/ with a token made for that"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// addGroup tells the group to clients that ask for the older form of discovery.
func (s *Server) addGroup(server *genericapiserver.GenericAPIServer) {
	b := s.cfg.Beside
	if b.Group == nil {
		return
	}
	version := metav1.GroupVersionForDiscovery{GroupVersion: b.Version.String(), Version: b.Version.Version}
	group := metav1.APIGroup{Name: b.Version.Group, Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version}
	server.DiscoveryGroupManager.AddGroup(group)
	mux := server.Handler.NonGoRestfulMux
	mux.Handle("/apis/"+group.Name, discovery.NewAPIGroupHandler(server.Serializer, group))
	mux.Handle("/apis/"+b.Version.String(), discovery.NewAPIVersionHandler(server.Serializer, b.Version, b))
}
