package access

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/samesite"
)

const (
	// CookieName is that of a session's cookie: a browser sends it to this very host over TLS alone.
	CookieName = "__Host-shardscaler"
	// maxSession bounds a session whose token is good for longer, or does not say how long.
	maxSession = 8 * time.Hour
	// maxToken bounds the token of a session in bytes: browsers keep 4096 of a cookie.
	maxToken = 2800
)

// Session is a token that a browser keeps sealed and cannot read.
type Session struct {
	Token string    `json:"token"`
	Until time.Time `json:"until,omitzero"`
}

// What Seal and Open fail with.
var (
	errNoSession = errors.New("the session has ended: sign in again")
	errNoSecrets = errors.New("there are no sessions without --secure-port, nor before it has a certificate")
	// ErrTokenTooLong says that a token does not fit into a cookie.
	ErrTokenTooLong = fmt.Errorf("the token is longer than %d bytes, which fits into no cookie", maxToken)
)

// Begin seals a token that was reviewed. It is a session until the token ends, or for eight hours.
func (g *Guard) Begin(token string, now time.Time) (cookie *http.Cookie, until time.Time, err error) {
	if len(token) > maxToken {
		return nil, until, ErrTokenTooLong
	}
	until = now.Add(maxSession)
	if ends := expiry(token); !ends.IsZero() && ends.Before(until) {
		until = ends
	}
	sealed, err := seal(Session{token, until}, g.secrets(now))
	if err != nil {
		return nil, until, err
	}
	return sessionCookie(sealed, int(until.Sub(now).Seconds())), until, nil
}

// End is the cookie that takes a session's away.
func End() *http.Cookie { return sessionCookie("", -1) }

func sessionCookie(value string, age int) *http.Cookie {
	return &http.Cookie{Name: CookieName, Value: value, Path: "/", MaxAge: age, Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode}
}

// expiry is when a token says that it ends; zero: it does not say. The API server has reviewed it.
func expiry(token string) time.Time {
	claims := struct {
		Exp float64 `json:"exp"`
	}{}
	if decodeClaims(token, &claims) != nil || claims.Exp <= 0 || claims.Exp > 1<<40 {
		return time.Time{}
	}
	return time.Unix(int64(claims.Exp), 0)
}

// session is the one of a request's cookie; nil: it has none.
func (g *Guard) session(cookies string, now time.Time) (*Session, error) {
	all, err := http.ParseCookie(cookies)
	if err != nil {
		return nil, nil // what is no cookie is none of ours
	}
	i := slices.IndexFunc(all, func(c *http.Cookie) bool { return c.Name == CookieName })
	if i < 0 {
		return nil, nil
	}
	return open(all[i].Value, g.secrets(now), now)
}

// foreign says why a browser's request with a cookie is not one of our own page.
func (g *Guard) foreign(host, site string) string {
	switch {
	case !samesite.Loopback(host) && !oneOf(g.AllowedHosts, host):
		return fmt.Sprintf("host %q is not one of --allowed-hosts: a session counts only there", samesite.Name(host))
	case site != "" && site != "same-origin" && site != "none":
		return "a session counts only for requests of our own page"
	}
	return ""
}

// secrets are what sessions are sealed with, the first, and opened with, each: those of SessionKeys,
// and then those of the serving certificate, which all replicas share too. A session that was sealed
// with one of these ends within formerFor of its renewal.
func (g *Guard) secrets(now time.Time) (all [][]byte) {
	if g.SessionKeys != nil {
		all = g.SessionKeys()
	}
	if g.peers != nil {
		all = append(all[:len(all):len(all)], g.peers.secrets(now)...)
	}
	return all
}

func seal(s Session, secrets [][]byte) (string, error) {
	if len(secrets) == 0 {
		return "", errNoSecrets
	}
	aead, err := sealing(secrets[0])
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce) // it never fails
	return base64.RawURLEncoding.EncodeToString(aead.Seal(nonce, nonce, text, []byte(CookieName))), nil
}

func open(sealed string, secrets [][]byte, now time.Time) (*Session, error) {
	text, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return nil, errNoSession
	}
	for _, secret := range secrets {
		aead, err := sealing(secret)
		if err != nil || len(text) < aead.NonceSize() {
			continue
		}
		plain, err := aead.Open(nil, text[:aead.NonceSize()], text[aead.NonceSize():], []byte(CookieName))
		var s Session
		if err == nil && exact.JSON(plain, &s) == nil && now.Before(s.Until) {
			return &s, nil
		}
	}
	return nil, errNoSession
}

const sessionInfo = "shardscaler session v1"

func sealing(secret []byte) (cipher.AEAD, error) {
	derived, err := hkdf.Key(sha256.New, secret, nil, sessionInfo, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// Credentials of a request, as headers.
type credentials struct{ authorization, cookies, host, site string }

// token is what proves who calls, and until when a session lasts; "": nothing does.
func (g *Guard) token(c *caller, from credentials) (string, *refusal) {
	if token := Bearer(from.authorization); token != "" {
		return token, nil
	}
	if from.cookies == "" || c.door != Secure {
		return "", nil
	}
	s, err := g.session(from.cookies, time.Now())
	switch {
	case err != nil:
		return "", &refusal{status: http.StatusUnauthorized, reason: refusedToken, detail: err.Error()}
	case s == nil:
		return "", nil
	}
	if why := g.foreign(from.host, from.site); why != "" {
		return "", &refusal{status: http.StatusForbidden, reason: refusedSite, detail: why}
	}
	c.until = s.Until
	return s.Token, nil
}

// Until is when the caller's session ends; zero: there is none.
func Until(ctx context.Context) time.Time { return from(ctx).until }
