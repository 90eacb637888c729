package stream

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// A client gets the same events in either form, each at once, and a gzip member that is whole.
func TestAStreamIsTheSamePacked(t *testing.T) {
	w := things(20)
	hub := New(w.config())
	url := listen(t, server(handler(hub)))
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	defer client.CloseIdleConnections()
	varying := regexp.MustCompile(`retry: \d+|"at":"[^"]*"`)
	texts := map[string]string{}
	for _, encoding := range []string{"", "gzip"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+path+"?watch=true", http.NoBody)
		require.NoError(t, err)
		if encoding != "" {
			r.Header.Set("Accept-Encoding", encoding)
		}
		resp, err := client.Do(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		require.Equal(t, encoding, resp.Header.Get("Content-Encoding"))
		require.Equal(t, "Accept-Encoding", resp.Header.Get("Vary"))
		var sent bytes.Buffer
		body := io.TeeReader(resp.Body, &sent)
		if encoding == "gzip" {
			body, err = gzip.NewReader(body)
			require.NoError(t, err)
		}
		var text []byte
		for !bytes.Contains(text, []byte("event: state")) || !bytes.HasSuffix(text, []byte("\n\n")) { // nothing more comes yet
			piece := make([]byte, 4096)
			n, err := body.Read(piece)
			require.NoError(t, err)
			text = append(text, piece[:n]...)
		}
		texts[encoding] = varying.ReplaceAllString(string(text), "")
		if encoding == "gzip" {
			require.Less(t, sent.Len(), len(text)/5)
			hub.Close()
			rest, err := io.ReadAll(body)
			require.NoError(t, err, "its checksum and length are right")
			require.Contains(t, string(rest), "event: bye")
		}
	}
	require.Equal(t, texts[""], texts["gzip"])
}
