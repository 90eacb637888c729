// Package samesite keeps web pages from using a server through the browser of a person.
//
// In: requests. Out: the same requests, but those that another site's page causes, which get 403.
package samesite

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

// Only refuses cross-origin requests that change something and, with local, requests for a host
// that is not this machine's own name (DNS rebinding): for a server that trusts what reaches it.
func Only(next http.Handler, local bool) http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(deny("a request from the page of another site is refused"))
	next = protection.Handler(next)
	if !local {
		return next
	}
	refuse := deny("the Host of a request must be localhost or a loopback address")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !Loopback(r.Host) {
			refuse.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ForAnother says whether a browser sends the request for the page of another site, by what browsers
// themselves say of it. A person who follows a link from there is not meant: that page sees nothing
// of the answer.
func ForAnother(r *http.Request) bool {
	h := r.Header
	switch h.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return false
	case "cross-site", "same-site":
		into := h.Get("Sec-Fetch-Dest")
		read := r.Method == http.MethodGet || r.Method == http.MethodHead
		return !read || h.Get("Sec-Fetch-Mode") != "navigate" || into != "" && into != "document"
	}
	origin := h.Get("Origin")
	if origin == "" {
		return false
	}
	from, err := url.Parse(origin)
	return err != nil || !strings.EqualFold(from.Host, r.Host) // "null", of no site, has no host
}

// ByBrowser says whether a request may come from a browser. Over plain HTTP one says nothing of the
// site that it asks for, and has no Origin where it only reads; but it does say which languages it
// wants, and no script of a page can take that header away.
func ByBrowser(h http.Header) bool {
	for _, sign := range []string{"Accept-Language", "Origin", "Referer", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Upgrade-Insecure-Requests"} {
		if _, has := h[sign]; has {
			return true
		}
	}
	return strings.HasPrefix(h.Get("User-Agent"), "Mozilla/")
}

// Loopback says whether host, with or without a port, is localhost or a loopback address.
func Loopback(host string) bool {
	name := Name(host)
	ip := net.ParseIP(name)
	return name == "localhost" || ip != nil && ip.IsLoopback()
}

// Name is a Host without its port, in lower case.
func Name(host string) string {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
		if len(name) > 1 && name[0] == '[' && name[len(name)-1] == ']' {
			name = name[1 : len(name)-1]
		}
	}
	return strings.ToLower(name)
}

func deny(detail string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusForbidden)
		// a caller that hung up needs no answer
		_, _ = w.Write([]byte(`{"title":"Forbidden","status":403,"detail":"` + detail + `"}`))
	})
}
