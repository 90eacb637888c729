// Package samesite keeps web pages from using a server through the browser of a person.
//
// In: requests. Out: the same requests, but those that another site's page causes, which get 403.
package samesite

import (
	"net"
	"net/http"
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

// Loopback says whether host, with or without a port, is localhost or a loopback address.
func Loopback(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
		if len(name) > 1 && name[0] == '[' && name[len(name)-1] == ']' {
			name = name[1 : len(name)-1]
		}
	}
	ip := net.ParseIP(name)
	return strings.EqualFold(name, "localhost") || ip != nil && ip.IsLoopback()
}

func deny(detail string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusForbidden)
		// a caller that hung up needs no answer
		_, _ = w.Write([]byte(`{"title":"Forbidden","status":403,"detail":"` + detail + `"}`))
	})
}
