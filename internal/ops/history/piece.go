package history

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

const (
	// MaxPiece bounds a piece, in bytes. sealedAt is when another one is begun: the last one is
	// written anew each minute.
	MaxPiece = 256 << 10
	sealedAt = 64 << 10
	// maxText bounds each of the two texts of a piece, in bytes.
	maxText = 4 << 20
	// maxHeader bounds the first line.
	maxHeader = 512
)

// A piece is a line of JSON, its header, and two frames of zstd: the entries, a line of JSON each,
// without their ids, and the whole decisions of some of them, so that a list of entries need not
// unpack these.

// header is the first line of a piece.
type header struct {
	V int `json:"v"`
	// First is the number of the first entry; the others follow one by one.
	First int64 `json:"first"`
	// Entries and Decisions are the lengths of the frames.
	Entries   int `json:"entries"`
	Decisions int `json:"decisions"`
}

// Text is what a piece holds, unpacked.
type Text struct {
	First int64
	// Entries and Decisions are lines of JSON; Count is the number of the entries.
	Entries, Decisions []byte
	Count              int
}

// wholeOpen is what the line of a whole decision begins with: it is found without reading others.
func wholeOpen(number int64) []byte { return fmt.Appendf(nil, `{"n":%d,"decision":`, number) }

// encoder packs the texts of all kinds, one at a time. Its tables take a megabyte: to make them for
// each text costs more than to pack it.
var encoder = newEncoder()

func newEncoder() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(maxText))
	if err != nil {
		panic(err) // the options are constants
	}
	e.EncodeAll([]byte("{}"), nil) // makes the tables
	return e
}

// pack packs a text.
func pack(text []byte) []byte { return encoder.EncodeAll(text, nil) }

// unpack unpacks a frame.
func unpack(frame []byte) ([]byte, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxText), zstd.WithDecoderMaxWindow(maxText))
	if err != nil {
		panic(err) // the options are constants
	}
	defer d.Close()
	text, err := d.DecodeAll(frame, nil)
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	return text, nil
}

// Encode is the text as it is stored.
func (t *Text) Encode() []byte {
	entries, decisions := pack(t.Entries), pack(t.Decisions)
	data, _ := json.Marshal(header{schema, t.First, len(entries), len(decisions)}) // numbers always encode
	return append(append(append(data, '\n'), entries...), decisions...)
}

// frames are the two parts of a piece, packed.
func frames(data []byte) (h header, entries, decisions []byte, err error) {
	if len(data) > MaxPiece {
		return h, nil, nil, fmt.Errorf("piece of %d bytes, at most %d", len(data), MaxPiece)
	}
	line, _, found := bytes.Cut(data[:min(len(data), maxHeader)], []byte("\n"))
	if !found {
		return h, nil, nil, errors.New("the header is missing")
	}
	if err := exact.JSON(line, &h); err != nil {
		return h, nil, nil, fmt.Errorf("header: %w", err)
	}
	if h.V != schema {
		return h, nil, nil, fmt.Errorf("header: schema %d, want %d", h.V, schema)
	}
	rest := data[len(line)+1:]
	if h.First < 0 || h.Entries < 0 || h.Decisions < 0 || h.Entries > len(rest) || len(rest)-h.Entries != h.Decisions {
		return h, nil, nil, fmt.Errorf("header: parts of %d and %d bytes, and there are %d", h.Entries, h.Decisions, len(rest))
	}
	return h, rest[:h.Entries], rest[h.Entries:], nil
}

// Decode unpacks a piece.
func Decode(data []byte) (Text, error) {
	h, entries, decisions, err := frames(data)
	if err != nil {
		return Text{}, err
	}
	t := Text{First: h.First}
	if t.Entries, err = unpack(entries); err != nil {
		return Text{}, err
	}
	if t.Decisions, err = unpack(decisions); err != nil {
		return Text{}, err
	}
	t.Count = bytes.Count(t.Entries, []byte("\n"))
	return t, nil
}

// Entries are those of a piece, the oldest first, with their ids.
func Entries(data []byte) ([]ops.Entry, error) {
	h, frame, _, err := frames(data)
	if err != nil {
		return nil, err
	}
	text, err := unpack(frame)
	if err != nil {
		return nil, err
	}
	all := make([]ops.Entry, 0, bytes.Count(text, []byte("\n")))
	for line := range bytes.Lines(text) {
		var e ops.Entry
		if err := exact.JSON(line, &e); err != nil {
			return nil, fmt.Errorf("entry %d: %w", len(all), err)
		}
		e.ID = ID(h.First + int64(len(all)))
		all = append(all, e)
	}
	return all, nil
}

// Decision is the whole decision of an entry in a piece; nil: it is not kept.
func Decision(data []byte, number int64) (*outcome.Report, error) {
	_, _, frame, err := frames(data)
	if err != nil {
		return nil, err
	}
	text, err := unpack(frame)
	if err != nil {
		return nil, err
	}
	for line := range bytes.Lines(text) {
		if !bytes.HasPrefix(line, wholeOpen(number)) {
			continue
		}
		var whole struct {
			Decision outcome.Report `json:"decision"`
		}
		if err := exact.JSON(line, &whole); err != nil {
			return nil, fmt.Errorf("decision %d: %w", number, err)
		}
		return &whole.Decision, nil
	}
	return nil, nil
}
