package packed

import (
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Parts of any size and kind, in any order and more than once, are the texts again.
func TestAStreamIsItsTexts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var parts []Part
		for range rapid.IntRange(1, 4).Draw(t, "parts") {
			text := bytes.Repeat(rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(t, "text"), rapid.IntRange(0, 4000).Draw(t, "times"))
			if rapid.Bool().Draw(t, "shared") {
				parts = append(parts, Shared(text))
			} else {
				parts = append(parts, Own(text))
			}
		}
		var s Stream
		var plain []byte
		sent := s.Begin()
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, len(parts)-1), 0, 6).Draw(t, "order") {
			plain, sent = append(plain, parts[i].Plain...), append(sent, s.Add(parts[i])...)
		}
		r, err := gzip.NewReader(bytes.NewReader(append(sent, s.End()...)))
		require.NoError(t, err)
		got, err := io.ReadAll(r)
		require.NoError(t, err)
		require.True(t, bytes.Equal(plain, got), "%d bytes became %d", len(plain), len(got))
	})
}

// A reader has each part before the next one is sent.
func TestWhatWasSentCanBeRead(t *testing.T) {
	in, out := io.Pipe()
	defer in.Close()
	var s Stream
	go func() { _, _ = out.Write(s.Begin()) }()
	r, err := gzip.NewReader(in)
	require.NoError(t, err)
	for _, p := range []Part{Own([]byte("own")), Shared([]byte(strings.Repeat("shared", 20_000))), Own(make([]byte, 200_000)), Own([]byte{1})} {
		go func() { _, _ = out.Write(s.Add(p)) }()
		got := make([]byte, len(p.Plain))
		_, err := io.ReadFull(r, got)
		require.NoError(t, err)
		require.True(t, bytes.Equal(p.Plain, got))
	}
}

func TestGzip(t *testing.T) {
	for header, want := range map[string]bool{
		"": false, "gzip": true, "gzip, deflate, br, zstd": true, "gzip;q=0": false, "identity": false, "br": false, "gzip;q=0.5": true,
	} {
		require.Equal(t, want, Gzip(header), header)
	}
}
