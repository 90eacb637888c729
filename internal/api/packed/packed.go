// Package packed has texts that many callers get, each compressed once for all of them.
//
// In: texts. Out: streams of gzip (RFC 1952) made of them. Invariant: pure; a stream is its texts in
// their order, and what a reader was given can be read at once, whatever comes after it.
package packed

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"hash/crc32"
	"sync"

	"github.com/danielgtaylor/huma/v2/negotiation"
)

// Part is a piece of text, plain and as blocks of a deflate stream (RFC 1951). The blocks end at a
// byte and refer to nothing before them, so those of any parts can follow each other.
type Part struct {
	Plain  []byte
	blocks func() []byte
}

// Shared is a part that many get: it is compressed once, when it is first asked for so.
func Shared(plain []byte) Part {
	return Part{plain, sync.OnceValue(func() []byte { return deflated(plain) })}
}

// Own is a part that one caller gets: it stands in a stream as it is.
func Own(plain []byte) Part {
	return Part{plain, func() []byte { return stored(plain) }}
}

// Gzip says whether a caller takes gzip: acceptEncoding is its header of that name.
func Gzip(acceptEncoding string) bool {
	// The first of the allowed would be taken even at q=0, so that is not gzip.
	return negotiation.SelectQValue(acceptEncoding, []string{"identity", "gzip"}) == "gzip"
}

// Stream makes a gzip member of parts: Begin, what Add makes of each, End. The zero value is ready.
type Stream struct{ sum, size uint32 }

// Begin is the header: deflate, no flags, no time, unknown system.
func (s *Stream) Begin() []byte { return []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255} }

// Add is the next part of the stream.
func (s *Stream) Add(p Part) []byte {
	s.sum, s.size = crc32.Update(s.sum, crc32.IEEETable, p.Plain), s.size+uint32(len(p.Plain))
	return p.blocks()
}

// End is what says that the stream is complete.
func (s *Stream) End() []byte {
	end := []byte{3, 0} // an empty last block
	end = binary.LittleEndian.AppendUint32(end, s.sum)
	return binary.LittleEndian.AppendUint32(end, s.size)
}

// compressors are large, and used one after the other.
var compressors = sync.Pool{New: func() any {
	w, _ := flate.NewWriter(nil, flate.BestSpeed) // an error only for a level that does not exist
	return w
}}

func deflated(plain []byte) []byte {
	var b bytes.Buffer
	w := compressors.Get().(*flate.Writer)
	defer compressors.Put(w)
	w.Reset(&b)
	_, _ = w.Write(plain) // a Buffer takes all
	_ = w.Flush()
	return b.Bytes()
}

// mark is an empty stored block: readers pass on what they have when they meet it.
var mark = []byte{0, 0, 0, 0xff, 0xff}

// maxStored is the most that a stored block holds.
const maxStored = 1<<16 - 1

func stored(plain []byte) []byte {
	b := make([]byte, 0, len(plain)+(len(plain)/maxStored+2)*len(mark))
	for len(plain) > 0 {
		n := min(len(plain), maxStored)
		b = append(b, 0, byte(n), byte(n>>8), ^byte(n), ^byte(n>>8))
		b, plain = append(b, plain[:n]...), plain[n:]
	}
	return append(b, mark...)
}
