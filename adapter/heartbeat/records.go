package heartbeat

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/segmentio/kafka-go/compress"
)

// The format in which brokers keep records, as Kafka's documentation has it ("Record Batch", and
// "Message Set" before Kafka 0.11): batches, one behind the other, each with a header that tells
// where it ends, in bytes and in offsets.
const (
	prefixBytes = 8 + 4 + 4 + 1 // base offset, length, leader epoch or checksum, format
	headerBytes = 61            // of a batch of format 2
	// lengthFrom is where the bytes begin that a length counts.
	lengthFrom = 8 + 4
	// maxBatch is the most bytes of a batch, as it is kept and unpacked.
	maxBatch = 8 << 20

	// Attributes of a batch.
	codecMask     = 0x07
	transactional = 1 << 4
	control       = 1 << 5 // its records mark the ends of transactions
)

var errBroken = errors.New("broken batch")

// batch is what a broker keeps and sends as one. Before format 2: a message, maybe of others.
type batch struct {
	base, last int64 // offsets of its first and its last record, be they there or compacted away
	format     byte
	attributes int16
	producer   int64
	count      int32
	// body follows the header; nil where the batch has more than maxBatch bytes: size.
	body []byte
	size int
}

// record is a message. A batch may begin with records from before the offset that was asked for.
type record struct {
	offset     int64
	key, value []byte
}

// readBatch reads the next batch of an answer, which has left bytes still. A cut-off end is io.EOF.
func readBatch(in io.Reader, left int) (b batch, taken int, err error) {
	var header [headerBytes]byte
	if left < prefixBytes {
		return batch{}, 0, io.EOF
	}
	if _, err := io.ReadFull(in, header[:prefixBytes]); err != nil {
		return batch{}, 0, err
	}
	b.base = int64(binary.BigEndian.Uint64(header[:])) //nolint:gosec // as it was written
	b.last, b.format = b.base, header[prefixBytes-1]
	b.size = lengthFrom + int(int32(binary.BigEndian.Uint32(header[8:]))) //nolint:gosec // as it was written
	known := prefixBytes
	switch {
	case b.format > 2:
		return batch{}, known, fmt.Errorf("%w: format %d", errBroken, b.format)
	case b.format == 2:
		known = headerBytes
	}
	switch {
	case b.size < known:
		return batch{}, prefixBytes, fmt.Errorf("%w: %d bytes", errBroken, b.size)
	case b.size > left:
		return batch{}, prefixBytes, io.EOF
	}
	if _, err := io.ReadFull(in, header[prefixBytes:known]); err != nil {
		return batch{}, prefixBytes, err
	}
	if b.format == 2 {
		b.attributes = int16(binary.BigEndian.Uint16(header[21:]))           //nolint:gosec // as it was written
		b.last = b.base + int64(int32(binary.BigEndian.Uint32(header[23:]))) //nolint:gosec // as it was written
		b.producer = int64(binary.BigEndian.Uint64(header[43:]))             //nolint:gosec // as it was written
		b.count = int32(binary.BigEndian.Uint32(header[57:]))                //nolint:gosec // as it was written
	}
	if b.last < b.base {
		return batch{}, known, fmt.Errorf("%w: it ends at offset %d and begins at %d", errBroken, b.last, b.base)
	}
	if b.size > maxBatch {
		return b, known, nil
	}
	b.body = make([]byte, b.size-known)
	_, err = io.ReadFull(in, b.body)
	return b, b.size, err
}

// records are the records of a batch. They refer to its body, or to what unpack made of it. After
// an error there are no more.
func (b batch) records(unpack unpacker) iter.Seq2[record, error] {
	if b.format < 2 {
		return func(yield func(record, error) bool) { b.messages(unpack, yield) }
	}
	return func(yield func(record, error) bool) {
		plain, err := b.body, error(nil)
		if codec := b.attributes & codecMask; codec != 0 && b.count > 0 { // a batch whose records are all compacted away is its header
			plain, err = unpack(int8(codec), b.body)
		}
		for n := int32(0); n < b.count && err == nil; n++ {
			var r record
			if r, plain, err = cutRecord(plain, b.base); err == nil && !yield(r, nil) {
				return
			}
		}
		if err != nil {
			yield(record{}, err)
		}
	}
}

// cutRecord reads a record of format 2: length, attributes, time, offset, key, value and headers.
func cutRecord(plain []byte, base int64) (r record, rest []byte, err error) {
	body, rest, ok := cutBytes(plain, varint)
	if !ok || len(body) < 1 {
		return record{}, nil, fmt.Errorf("%w: a record is cut off", errBroken)
	}
	_, body, timed := varint(body[1:])
	delta, body, placed := varint(body)
	key, body, keyed := cutBytes(body, varint)
	value, _, valued := cutBytes(body, varint)
	if !timed || !placed || !keyed || !valued {
		return record{}, nil, fmt.Errorf("%w: a record has no value", errBroken)
	}
	return record{base + delta, key, value}, rest, nil
}

// messages are the message of format 0 or 1, or those that it contains. The offsets of contained
// ones begin at 0 in format 1, and the message has the offset of the last of them.
func (b batch) messages(unpack unpacker, yield func(record, error) bool) {
	codec, value, err := b.message()
	if err != nil {
		yield(record{}, err)
		return
	}
	if codec == 0 {
		yield(record{offset: b.base, value: value}, nil)
		return
	}
	plain, err := unpack(codec, value)
	var inner []record
	for len(plain) > 0 && err == nil {
		var m batch
		var taken int
		if m, taken, err = readBatch(bytes.NewReader(plain), len(plain)); err != nil {
			break
		}
		plain = plain[taken:]
		if codec, value, err = m.message(); err == nil && (codec != 0 || m.format > 1) {
			err = fmt.Errorf("%w: a batch within a batch", errBroken)
		}
		inner = append(inner, record{offset: m.base, value: value})
	}
	if err != nil {
		yield(record{}, fmt.Errorf("%w: %w", errBroken, err))
		return
	}
	for _, r := range inner {
		if b.format == 1 {
			r.offset += b.base - inner[len(inner)-1].offset
		}
		if !yield(r, nil) {
			return
		}
	}
}

// message is the codec and the value of a message of format 0 or 1.
func (b batch) message() (codec int8, value []byte, err error) {
	const attributes, time = 1, 8
	from := attributes
	if b.format == 1 {
		from += time
	}
	if len(b.body) < from {
		return 0, nil, fmt.Errorf("%w: a message is cut off", errBroken)
	}
	_, rest, keyed := cutBytes(b.body[from:], int32Prefix)
	value, _, valued := cutBytes(rest, int32Prefix)
	if !keyed || !valued {
		return 0, nil, fmt.Errorf("%w: a message has no value", errBroken)
	}
	return int8(b.body[0] & codecMask), value, nil
}

// cutBytes cuts off bytes that follow their length; a length of -1 stands for none.
func cutBytes(b []byte, prefix func([]byte) (int64, []byte, bool)) (found, rest []byte, ok bool) {
	n, rest, ok := prefix(b)
	if !ok || n < -1 || n > int64(len(rest)) {
		return nil, nil, false
	}
	n = max(n, 0)
	return rest[:n], rest[n:], true
}

func varint(b []byte) (int64, []byte, bool) {
	n, width := binary.Varint(b)
	if width <= 0 {
		return 0, nil, false
	}
	return n, b[width:], true
}

func int32Prefix(b []byte) (int64, []byte, bool) {
	if len(b) < 4 {
		return 0, nil, false
	}
	return int64(int32(binary.BigEndian.Uint32(b))), b[4:], true //nolint:gosec // as it was written
}

// unpacker undoes a compression. It fails where that gives more than maxBatch bytes.
type unpacker func(codec int8, packed []byte) ([]byte, error)

// unpack is the unpacker of the codecs that Kafka has.
func unpack(codec int8, packed []byte) ([]byte, error) {
	switch compress.Compression(codec) {
	case compress.Zstd:
		return unpackZstd(packed)
	case compress.Snappy:
		return unpackSnappy(packed)
	}
	library := compress.Compression(codec).Codec()
	if library == nil {
		return nil, fmt.Errorf("%w: codec %d is not known", errBroken, codec)
	}
	from := library.NewReader(bytes.NewReader(packed))
	defer func() { _ = from.Close() }()
	plain, err := io.ReadAll(io.LimitReader(from, maxBatch+1))
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	if len(plain) > maxBatch {
		return nil, errTooLarge
	}
	return plain, nil
}

var errTooLarge = fmt.Errorf("unpack: %w: more than %d bytes", errOversized, maxBatch)

// unpackSnappy undoes what Java's library makes: blocks behind their lengths, after a magic word
// and two versions; or one block alone. kafka-go's reader makes room for whatever the lengths say.
func unpackSnappy(packed []byte) ([]byte, error) {
	const versions = 2 * 4
	rest, framed := bytes.CutPrefix(packed, []byte("\x82SNAPPY\x00"))
	if !framed {
		return appendSnappy(nil, packed)
	}
	if len(rest) < versions {
		return nil, fmt.Errorf("%w: snappy's header is cut off", errBroken)
	}
	var plain []byte
	for rest = rest[versions:]; len(rest) > 0; {
		block, behind, ok := cutBytes(rest, int32Prefix)
		if !ok {
			return nil, fmt.Errorf("%w: a snappy block is cut off", errBroken)
		}
		var err error
		if plain, err = appendSnappy(plain, block); err != nil {
			return nil, err
		}
		rest = behind
	}
	return plain, nil
}

func appendSnappy(plain, block []byte) ([]byte, error) {
	n, err := snappy.DecodedLen(block)
	if err == nil && len(plain)+n > maxBatch {
		return nil, errTooLarge
	}
	if err == nil {
		block, err = snappy.Decode(nil, block)
	}
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	return append(plain, block...), nil
}

// zstandard takes no more memory than it has room for. kafka-go's takes what a batch asks for.
var zstandard, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true), zstd.WithDecodeAllCapLimit(true)) // the options are valid

func unpackZstd(packed []byte) ([]byte, error) {
	const ratio = 16 // of what heartbeats are packed to, or less
	if plain, err := zstandard.DecodeAll(packed, make([]byte, 0, min(ratio*len(packed), maxBatch))); err == nil {
		return plain, nil
	}
	plain, err := zstandard.DecodeAll(packed, make([]byte, 0, maxBatch))
	switch {
	case errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return nil, errTooLarge
	case err != nil: // where the room is over also "output bigger than …", which has no name
		return nil, fmt.Errorf("unpack: %w", err)
	}
	return plain, nil
}
