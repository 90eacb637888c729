package access

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

func jwt(exp time.Time) string {
	return "e30." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, exp.Unix())) + ".c2ln"
}

func sessionsOf(t *testing.T, i *installation) *Guard {
	t.Helper()
	v := &reviews{rights: map[string][]string{}}
	return New(Config{Namespace: "iota", AllowedHosts: []string{"scaler.example.com"}}, v, NewPeers(i.read), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
}

func TestASessionIsTheSealedToken(t *testing.T) {
	i, now := newInstallation(t), time.Unix(1_000_000, 0)
	one, other := sessionsOf(t, i), sessionsOf(t, i)
	for token, want := range map[string]time.Time{
		jwt(now.Add(time.Hour)): now.Add(time.Hour), jwt(now.Add(24 * time.Hour)): now.Add(maxSession), "opaque": now.Add(maxSession),
	} {
		cookie, until, err := one.Begin(token, now)
		require.NoError(t, err)
		require.Equal(t, want, until)
		require.True(t, cookie.Secure && cookie.HttpOnly && cookie.Path == "/" && cookie.Domain == "" && cookie.SameSite == http.SameSiteStrictMode)
		require.NoError(t, cookie.Valid())
		require.NotContains(t, cookie.Value, token)
		header := "x=y; " + CookieName + "=" + cookie.Value
		s, err := other.session(header, now)
		require.NoError(t, err, "each replica opens it")
		require.Equal(t, token, s.Token)
		_, err = other.session(header, until)
		require.ErrorIs(t, err, errNoSession, "it ends with the token")

		again, _, err := one.Begin(token, now)
		require.NoError(t, err)
		require.NotEqual(t, cookie.Value, again.Value)
		for _, changed := range []string{flip(cookie.Value, 0), flip(cookie.Value, len(cookie.Value)/2), flip(cookie.Value, len(cookie.Value)-2), cookie.Value[:20], "", "~"} {
			_, err := one.session(CookieName+"="+changed, now)
			require.ErrorIs(t, err, errNoSession)
		}
		_, err = sessionsOf(t, newInstallation(t)).session(header, now)
		require.ErrorIs(t, err, errNoSession, "another installation does not")
	}
	_, _, err := one.Begin(strings.Repeat("x", maxToken+1), now)
	require.ErrorIs(t, err, ErrTokenTooLong)
	longest, _, err := one.Begin(strings.Repeat("x", maxToken), now)
	require.NoError(t, err)
	require.LessOrEqual(t, len(longest.String()), 4096)
	none, err := one.session("a=b", now)
	require.NoError(t, err)
	require.Nil(t, none)
}

// flip changes one character of a text.
func flip(text string, at int) string {
	with := byte('A')
	if text[at] == with {
		with = 'B'
	}
	return text[:at] + string(with) + text[at+1:]
}

func TestARenewedCertificateEndsNoSessionAtOnce(t *testing.T) {
	i := newInstallation(t)
	g := sessionsOf(t, i)
	now := time.Unix(1_000_000, 0)
	cookie, _, err := g.Begin("token", now)
	require.NoError(t, err)
	i.renew(t)
	header := CookieName + "=" + cookie.Value
	_, err = g.session(header, now)
	require.NoError(t, err)
	_, err = g.session(header, now.Add(formerFor+time.Second))
	require.ErrorIs(t, err, errNoSession)
}

func TestASessionCountsForOurOwnPageAlone(t *testing.T) {
	g := sessionsOf(t, newInstallation(t))
	cookie, _, err := g.Begin("ann", time.Now())
	require.NoError(t, err)
	for _, c := range []struct {
		door       Door
		host, site string
		status     int
	}{
		{Secure, "scaler.example.com", "same-origin", 0},
		{Secure, "SCALER.example.com:8443", "none", 0},
		{Secure, "127.0.0.1:6443", "", 0},
		{Secure, "localhost", "", 0},
		{Secure, "evil.example.com", "same-origin", 403},
		{Secure, "", "", 403},
		{Secure, "scaler.example.com.evil", "", 403},
		{Secure, "scaler.example.com", "cross-site", 403},
		{Secure, "scaler.example.com", "same-site", 403},
		{Plain, "scaler.example.com", "same-origin", -1},
		{Aggregated, "scaler.example.com", "same-origin", -1},
	} {
		token, no := g.token(&caller{door: c.door}, credentials{cookies: CookieName + "=" + cookie.Value, host: c.host, site: c.site})
		switch c.status {
		case 0:
			require.Nil(t, no, "%v", c)
			require.Equal(t, "ann", token)
		case -1:
			require.Nil(t, no)
			require.Empty(t, token, "a cookie means nothing there: %v", c)
		default:
			require.NotNil(t, no, "%v", c)
			require.Equal(t, c.status, no.status)
		}
	}
	token, no := g.token(&caller{door: Secure}, credentials{authorization: "Bearer bob", cookies: CookieName + "=" + cookie.Value, host: "evil"})
	require.Nil(t, no)
	require.Equal(t, "bob", token, "a token is nothing that a browser adds by itself")
}
