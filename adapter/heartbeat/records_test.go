package heartbeat

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/segmentio/kafka-go/compress"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// kept is a batch as a broker may keep it: with records compacted away, all of them perhaps.
type kept struct {
	base, last int64
	attributes int16
	producer   int64
	records    []record
	keys       [][]byte // of the records; nil: none have one
}

// bytes is the batch in format 2.
func (k kept) bytes() []byte {
	var body []byte
	for i, r := range k.records {
		one := []byte{0}                   // attributes
		one = binary.AppendVarint(one, 17) // time
		one = binary.AppendVarint(one, r.offset-k.base)
		if k.keys == nil {
			one = binary.AppendVarint(one, -1)
		} else {
			one = append(binary.AppendVarint(one, int64(len(k.keys[i]))), k.keys[i]...)
		}
		one = append(binary.AppendVarint(one, int64(len(r.value))), r.value...)
		one = binary.AppendVarint(one, 1) // a header, "h": none
		one = append(binary.AppendVarint(one, 1), 'h')
		one = binary.AppendVarint(one, -1)
		body = append(binary.AppendVarint(body, int64(len(one))), one...)
	}
	if codec := compress.Compression(k.attributes & codecMask).Codec(); codec != nil {
		body = pack(codec, body)
	}
	return append(k.header(len(body)), body...)
}

func (k kept) header(size int) []byte {
	h := make([]byte, headerBytes)
	binary.BigEndian.PutUint64(h, uint64(k.base))
	binary.BigEndian.PutUint32(h[8:], uint32(headerBytes-lengthFrom+size))
	h[16] = 2
	binary.BigEndian.PutUint16(h[21:], uint16(k.attributes))
	binary.BigEndian.PutUint32(h[23:], uint32(k.last-k.base))
	binary.BigEndian.PutUint64(h[43:], uint64(k.producer))
	binary.BigEndian.PutUint32(h[57:], uint32(len(k.records)))
	return h
}

func pack(codec compress.Codec, plain []byte) []byte {
	var packed bytes.Buffer
	w := codec.NewWriter(&packed)
	_, err := w.Write(plain)
	if err := errors.Join(err, w.Close()); err != nil {
		panic(err)
	}
	return packed.Bytes()
}

// readAll reads batches that follow each other.
func readAll(sent []byte) (found []record, ends []int64, err error) {
	for answer := (fields{rest: sent}); ; {
		b, err := readBatch(&answer)
		if errors.Is(err, io.EOF) {
			return found, ends, nil
		}
		if err != nil {
			return found, ends, err
		}
		for r, err := range b.records(unpack) {
			if err != nil {
				return found, ends, err
			}
			found = append(found, record{offset: r.offset, value: bytes.Clone(r.value)})
		}
		ends = append(ends, b.last)
	}
}

func drawKept(t *rapid.T, base int64) kept {
	k := kept{base: base, last: base + rapid.Int64Range(0, 9).Draw(t, "last")}
	k.attributes = rapid.Int16Range(0, 4).Draw(t, "codec")
	for offset := k.base; offset <= k.last; offset++ {
		if rapid.Bool().Draw(t, "is there") {
			k.records = append(k.records, record{offset: offset, value: rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(t, "value")})
		}
	}
	return k
}

// Whatever is compacted away, the records that are there are read, and it is known where each batch
// ends.
func TestBatchesAreReadToTheirEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var sent []byte
		var want []record
		var ends []int64
		base := rapid.Int64Range(0, 1<<40).Draw(t, "base")
		for range rapid.IntRange(0, 5).Draw(t, "batches") {
			k := drawKept(t, base)
			sent = append(sent, k.bytes()...)
			want = append(want, k.records...)
			ends = append(ends, k.last)
			base = k.last + 1 + rapid.Int64Range(0, 5).Draw(t, "gap")
		}
		cut := drawKept(t, base).bytes()
		sent = append(sent, cut[:rapid.IntRange(0, len(cut)-1).Draw(t, "cut off")]...)
		found, foundEnds, err := readAll(sent)
		require.NoError(t, err)
		require.Equal(t, len(want), len(found))
		for i := range want {
			require.Equal(t, want[i].offset, found[i].offset)
			require.True(t, bytes.Equal(want[i].value, found[i].value))
		}
		require.Equal(t, ends, foundEnds)
	})
}

// The formats as kafka-go writes them, that of brokers before Kafka 0.11 too.
func TestBatchesOfAllFormatsAndCodecs(t *testing.T) {
	for _, format := range []int8{1, 2} {
		for codec := range compress.Compression(len(compress.Codecs)) {
			if format == 1 && codec == compress.Zstd {
				continue
			}
			var records []protocol.Record
			for n := range 3 {
				records = append(records, protocol.Record{Key: protocol.NewBytes([]byte("k")), Value: protocol.NewBytes(fmt.Appendf(nil, "v%d", n))})
			}
			set := protocol.RecordSet{Version: format, Attributes: protocol.Attributes(codec), Records: protocol.NewRecordReader(records...)}
			var sent bytes.Buffer
			_, err := set.WriteTo(&sent)
			require.NoError(t, err)
			raw := sent.Bytes()[4:] // without their size
			if format == 2 || codec != compress.None {
				last := uint64(100) // in format 1 the offset is the last message's
				if format == 1 {
					last += 2
				}
				binary.BigEndian.PutUint64(raw, last)
			}
			found, _, err := readAll(raw)
			require.NoError(t, err, "format %d, %s", format, codec)
			var got []string
			for _, r := range found {
				got = append(got, fmt.Sprintf("%d:%s", r.offset, r.value))
			}
			want := []string{"100:v0", "101:v1", "102:v2"}
			if format == 1 && codec == compress.None {
				want = []string{"0:v0", "1:v1", "2:v2"}
			}
			require.Equal(t, want, got, "format %d, %s", format, codec)
		}
	}
}

// A few kilobytes can unpack to gigabytes.
func TestWhatABatchUnpacksToIsBounded(t *testing.T) {
	for codec := compress.Gzip; codec <= compress.Zstd; codec++ {
		fits := kept{attributes: int16(codec), records: []record{{value: make([]byte, maxBatch-100)}}}
		found, _, err := readAll(fits.bytes())
		require.NoError(t, err, codec.String())
		require.Len(t, found, 1)
		large := kept{attributes: int16(codec), records: []record{{value: make([]byte, maxBatch)}}}
		_, _, err = readAll(large.bytes())
		require.Error(t, err, codec.String())
		if codec != compress.Zstd { // which may say it otherwise
			require.ErrorIs(t, err, errOversized, codec.String())
		}
	}
}

// The end of a batch that is too large is known all the same, and of one that cannot be read.
func TestWhatCannotBeReadHasAnEnd(t *testing.T) {
	large := kept{base: 5, last: 8}.header(maxBatch)
	answer := fields{rest: large, over: maxBatch}
	b, err := readBatch(&answer)
	require.NoError(t, err)
	require.Nil(t, b.body)
	require.Empty(t, answer.rest)
	require.EqualValues(t, 8, b.last)
	broken := kept{base: 5, last: 8, records: []record{{offset: 5, value: []byte("a")}, {offset: 6, value: []byte("b")}}}.bytes()
	for cut := headerBytes; cut < len(broken); cut++ {
		binary.BigEndian.PutUint32(broken[8:], uint32(cut-lengthFrom))
		b, err := readBatch(&fields{rest: broken[:cut]})
		require.NoError(t, err)
		require.EqualValues(t, 8, b.last)
		err = nil
		for _, err = range b.records(unpack) {
		}
		require.ErrorIs(t, err, errBroken, "%d of %d bytes", cut, len(broken))
	}
	for _, header := range [][]byte{
		kept{}.header(-1), kept{base: 5, last: 4}.header(0), append(make([]byte, 16), 3), make([]byte, prefixBytes),
	} {
		_, err := readBatch(&fields{rest: header})
		require.ErrorIs(t, err, errBroken)
	}
}

// Whatever a broker sends, reading it ends, in an error or not, and needs no more than the bounds
// say.
func FuzzBatches(f *testing.F) {
	f.Add(kept{base: 7, last: 9, records: []record{{offset: 7, value: []byte("a")}, {offset: 9, value: []byte("b")}}}.bytes())
	f.Add(kept{attributes: int16(compress.Snappy), records: []record{{offset: 0, value: []byte("a")}}}.bytes())
	f.Fuzz(func(t *testing.T, sent []byte) {
		for answer := (fields{rest: sent}); ; {
			left := len(answer.rest)
			b, err := readBatch(&answer)
			if err != nil || b.body == nil {
				return
			}
			require.Less(t, len(answer.rest), left)
			require.LessOrEqual(t, b.base, b.last)
			for r, err := range b.records(unpack) {
				require.LessOrEqual(t, len(r.value), maxBatch)
				_ = err
			}
		}
	})
}
