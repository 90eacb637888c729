package heartbeat

import (
	"bytes"
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
	// body follows the header; nil where the batch has more than maxBatch bytes.
	body []byte
}

// record is a message. A batch may begin with records from before the offset that was asked for.
type record struct {
	offset     int64
	key, value []byte
}

// readBatch reads the next batch of an answer. A cut-off end is io.EOF.
func readBatch(answer *fields) (b batch, err error) {
	head, known := fields{rest: answer.rest}, prefixBytes
	b.base = head.int64()
	size := lengthFrom + int(head.int32())
	head.take(4)
	b.format, b.last = byte(head.int8()), b.base
	switch {
	case head.err != nil:
		return batch{}, io.EOF
	case b.format > 2:
		return batch{}, fmt.Errorf("%w: format %d", errBroken, b.format)
	case b.format == 2:
		known = headerBytes
		head.take(4) // checksum
		b.attributes = head.int16()
		b.last += int64(head.int32())
		head.take(8 + 8) // times
		b.producer = head.int64()
		head.take(2 + 4) // the producer's epoch and sequence
		b.count = head.int32()
	}
	switch {
	case size < known:
		return batch{}, fmt.Errorf("%w: %d bytes", errBroken, size)
	case head.err != nil, size > len(answer.rest)+answer.over:
		return batch{}, io.EOF
	case b.last < b.base:
		return batch{}, fmt.Errorf("%w: it ends at offset %d and begins at %d", errBroken, b.last, b.base)
	case size > maxBatch:
		answer.take(min(size, len(answer.rest)))
		return b, nil
	case size > len(answer.rest):
		return batch{}, io.EOF
	}
	b.body = answer.take(size)[known:]
	return b, nil
}

// records are the records of a batch. They refer to its body, or to what unpack made of it. After
// an error there are no more.
func (b batch) records(unpack unpacker) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		if b.format < 2 {
			b.messages(unpack, yield)
			return
		}
		plain, err := b.body, error(nil)
		if codec := b.attributes & codecMask; codec != 0 && b.count > 0 {
			// a batch whose records are all compacted away is its header
			plain, err = unpack(int8(codec), b.body)
		}
		rest := fields{rest: plain}
		for n := int32(0); n < b.count && err == nil; n++ {
			var r record
			if r, err = b.record(&rest); err == nil && !yield(r, nil) {
				return
			}
		}
		if err != nil {
			yield(record{}, err)
		}
	}
}

// record reads a record of format 2: length, attributes, time, offset, key, value and headers.
func (b batch) record(plain *fields) (r record, err error) {
	body := fields{rest: plain.block(plain.varint())}
	if len(body.rest) < 1 {
		return record{}, fmt.Errorf("%w: a record is cut off", errBroken)
	}
	body.take(1)  // attributes
	body.varint() // time
	r.offset = b.base + body.varint()
	r.key = body.block(body.varint())
	r.value = body.block(body.varint())
	if body.err != nil {
		return record{}, fmt.Errorf("%w: a record has no value", errBroken)
	}
	return r, nil
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
	for rest := (fields{rest: plain}); len(rest.rest) > 0 && err == nil; {
		var m batch
		if m, err = readBatch(&rest); err != nil {
			break
		}
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
	body := fields{rest: b.body}
	codec = body.int8() & codecMask
	if b.format == 1 {
		body.take(8) // time
	}
	body.block(int64(body.int32())) // key
	if value = body.block(int64(body.int32())); body.err != nil {
		return 0, nil, fmt.Errorf("%w: a message has no value", errBroken)
	}
	return codec, value, nil
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
func unpackSnappy(packed []byte) (plain []byte, err error) {
	const versions = 2 * 4
	framed, ok := bytes.CutPrefix(packed, []byte("\x82SNAPPY\x00"))
	if !ok {
		return appendSnappy(nil, packed)
	}
	blocks := fields{rest: framed}
	blocks.take(versions)
	for len(blocks.rest) > 0 && err == nil && blocks.err == nil {
		if block := blocks.block(int64(blocks.int32())); blocks.err == nil {
			plain, err = appendSnappy(plain, block)
		}
	}
	if blocks.err != nil {
		return nil, fmt.Errorf("%w: a snappy block is cut off", errBroken)
	}
	return plain, err
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
