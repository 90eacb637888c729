package api

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A caller gets the same document in either form, with the same tag.
func TestDocumentsAreTheSamePacked(t *testing.T) {
	o := &operators{drains: 40} // so that what is over the configuration would be long enough
	plain := serveAll(t, &backend{}, o)
	pack, err := Packed()
	require.NoError(t, err)
	packed := httptest.NewServer(pack(plain.Config.Handler))
	defer packed.Close()
	for path, long := range map[string]bool{
		"instances": true, "decision": true, "overrides": false, "resource?id=none": false, "instances?state=dead": false, "": true,
	} {
		at := strings.TrimSuffix("/v1/api/kinds/Thing/"+path, "/")
		want := get(t, plain.URL+at)
		same := get(t, packed.URL+at)
		require.Equal(t, want.status, same.status)
		require.Empty(t, same.header.Get("Content-Encoding"), "none was asked for")
		got := get(t, packed.URL+at, "Accept-Encoding", "gzip")
		require.Equal(t, want.status, got.status, path)
		require.Equal(t, want.header.Get("Content-Type"), got.header.Get("Content-Type"), path)
		require.Empty(t, got.header.Get("No-Gzip-Compression"), path)
		if !long {
			require.Empty(t, got.header.Get("Content-Encoding"), path)
			continue
		}
		require.Equal(t, "gzip", got.header.Get("Content-Encoding"), path)
		require.Equal(t, []string{"Accept-Encoding"}, got.header.Values("Vary"))
		r, err := gzip.NewReader(bytes.NewReader(got.body))
		require.NoError(t, err)
		text, err := io.ReadAll(r)
		require.NoError(t, err)
		require.JSONEq(t, string(want.body), string(text), path)
		again := get(t, packed.URL+at, "Accept-Encoding", "gzip", "If-None-Match", got.header.Get("ETag"))
		require.Equal(t, 304, again.status, path)
		require.Empty(t, again.body)
	}
}
