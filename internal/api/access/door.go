package access

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/shardscaler/shardscaler/internal/samesite"
)

// What plain HTTP answers to callers whom nothing is known of.
var (
	// free are asked by Kubernetes, Prometheus and preStop hooks, which have no use for a refusal.
	free = []string{"/livez", "/readyz", "/metrics", Prefix + "drains/"}
	// formerly are what was shown before there was a secure door.
	formerly = []string{Prefix + "orchestrations/", Prefix + "snapshot", Prefix + "openapi"}
)

func startsWith(path string, with []string) bool {
	for _, w := range with {
		if strings.HasPrefix(path, w) && (strings.HasSuffix(w, "/") || len(path) == len(w) || strings.ContainsRune("/.-", rune(path[len(w)]))) {
			return true
		}
	}
	return false
}

// Plain is the door of plain HTTP. What carries a token or a cookie is refused before anything is
// asked, and so is all that needs one.
func (g *Guard) Plain(next http.Handler) http.Handler {
	next = samesite.Only(next, g.Insecure)
	return secured(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if no := g.plain(r); no != nil {
			g.refused.WithLabelValues(string(Plain), no.reason).Inc()
			g.audit.noteDoor(r, Plain, no)
			no.write(w, r)
			return
		}
		stripVouch(r)
		next.ServeHTTP(w, r.WithContext(with(r.Context(), &caller{door: Plain, source: r.RemoteAddr})))
	}))
}

// plain says why a request is not taken over plain HTTP. Tokens that nothing will look at go.
func (g *Guard) plain(r *http.Request) *refusal {
	if no := g.rebound(r); no != nil {
		return no
	}
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	carries := r.Header.Get("Authorization") != "" || r.Header.Get("Cookie") != ""
	was := startsWith(r.URL.Path, formerly)
	switch {
	case startsWith(r.URL.Path, free), g.Insecure:
		r.Header.Del("Authorization")
		r.Header.Del("Cookie")
		return nil
	case was && g.PlainTokens && r.Header.Get("Cookie") == "" && (!read || !g.OldReadsClosed || carries):
		return nil
	case carries:
		return g.needsTLS(r, "a token or a cookie is not taken over plain HTTP, where it can be read on its way")
	case was && read && !g.OldReadsClosed:
		return nil
	default:
		return g.needsTLS(r, "this needs a token, which is not taken over plain HTTP")
	}
}

// rebound refuses what pages of other sites would read through a browser, by a name of theirs that
// leads here (DNS rebinding) too. Programs are told from browsers by their headers, and may call by
// any name: old ones do, as do probes, Prometheus and preStop hooks. Some programs send headers as
// browsers do (node's fetch), so names that nothing outside can lead here are known without a flag.
func (g *Guard) rebound(r *http.Request) *refusal {
	switch {
	case samesite.ForAnother(r):
		return foreignPage()
	case g.Insecure: // Plain asks for a loopback Host, of all callers
		return nil
	case samesite.ByBrowser(r.Header) && !inCluster(r.Host, g.Namespace) && !oneOf(g.AllowedHosts, r.Host):
		return &refusal{status: http.StatusForbidden, reason: refusedHost, detail: fmt.Sprintf(
			"host %q is not one of --allowed-hosts: browsers are answered only there, at addresses and at names of the cluster", samesite.Name(r.Host))}
	}
	return nil
}

func foreignPage() *refusal {
	return &refusal{status: http.StatusForbidden, reason: refusedSite, detail: "a request from the page of another site is refused"}
}

// inCluster says whether a Host is an address or a name that only a cluster's DNS knows: of one
// label, below svc or cluster.local, or a Service of this namespace.
func inCluster(host, namespace string) bool {
	name := strings.TrimSuffix(samesite.Name(host), ".")
	if _, err := netip.ParseAddr(name); err == nil || !strings.Contains(name, ".") {
		return true
	}
	if strings.HasSuffix(name, ".svc") || strings.HasSuffix(name, ".cluster.local") {
		return true
	}
	_, domain, _ := strings.Cut(name, ".")
	return domain == namespace && !sold(domain) && !sold(name)
}

// sold says whether a name is, or is directly below, one below which names can be bought.
func sold(name string) bool {
	_, icann := publicsuffix.PublicSuffix(name)
	return icann
}

// oneOf says whether a Host is one of names, which have no port.
func oneOf(names []string, host string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, samesite.Name(host)) })
}

func (g *Guard) needsTLS(r *http.Request, why string) *refusal {
	if g.Address == "" {
		why += "; this server has no --secure-port"
	} else {
		why += ": use " + g.Address + r.URL.EscapedPath()
	}
	return &refusal{status: http.StatusForbidden, reason: refusedPlain, kind: TLSNeeded, detail: why}
}

// bodyPatience is how long the whole of a request's body may take.
const bodyPatience = 30 * time.Second

// MaxHeader bounds a request's header in bytes, on every door.
const MaxHeader = 64 << 10

func headerSize(h http.Header) (size int) {
	for name, values := range h {
		for _, value := range values {
			size += len(name) + len(value)
		}
	}
	return size
}

// Secure is the door of TLS.
func (g *Guard) Secure(next http.Handler) http.Handler {
	next = samesite.Only(next, false)
	return secured(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &caller{door: Secure, source: r.RemoteAddr}
		if no := g.secure(r, c); no != nil {
			g.refused.WithLabelValues(string(Secure), no.reason).Inc()
			g.audit.noteDoor(r, Secure, no)
			no.write(w, r)
			return
		}
		stripVouch(r)
		if r.ContentLength != 0 {
			// The server of this door bounds no body. Without one the deadline would end the request.
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyPatience))
		}
		next.ServeHTTP(w, r.WithContext(with(r.Context(), c)))
	}))
}

// secure takes over what another replica says of the caller, or says what is wrong with a request.
func (g *Guard) secure(r *http.Request, c *caller) *refusal {
	if size := headerSize(r.Header); size > MaxHeader {
		return &refusal{
			status: http.StatusRequestHeaderFieldsTooLarge, reason: refusedSize,
			detail: fmt.Sprintf("the header has %d bytes, at most %d are taken", size, MaxHeader),
		}
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead && samesite.ForAnother(r) {
		return foreignPage()
	}
	err := g.peers.vouched(r, c)
	if err == nil && c.user.Name == insecureLocal && !g.Insecure {
		err = errStranger // it trusts its machine, and this one does not
	}
	if err != nil {
		return &refusal{status: http.StatusServiceUnavailable, reason: refusedPeer, detail: err.Error(), header: map[string]string{"Retry-After": "5"}}
	}
	return nil
}

// Aggregated is the door of the API server: the user is authenticated, and may do what right says.
func (g *Guard) Aggregated(w http.ResponseWriter, r *http.Request, user User, right Right, next http.Handler) {
	c := &caller{door: Aggregated, source: r.RemoteAddr, user: user, vouched: true}
	c.recheck = func(ctx context.Context) error {
		// All callers come from the address of the API server: reviews are counted for the user.
		again := &caller{door: Aggregated, source: SourceFrom(with(ctx, c), ""), user: user}
		if no := g.allow(ctx, again, user.key(), right); no != nil {
			return no
		}
		c.setSees(again.sees)
		return nil
	}
	stripVouch(r)
	r.Header.Del("Authorization")
	r.Header.Del("Cookie")
	next.ServeHTTP(w, r.WithContext(with(r.Context(), c)))
}

// secured adds what tells browsers not to do more with an answer than it is for.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}
