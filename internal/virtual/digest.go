package virtual

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"

	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// Digest sums up all that a world did: two that did the same have the same.
type Digest struct {
	sum hash.Hash
	// line is where a part is put together before it is summed.
	line []byte
	// Transactions counts them, Bytes is what they wrote.
	Transactions, Bytes int
}

// NewDigest sums up nothing.
func NewDigest() *Digest { return &Digest{sum: sha256.New()} }

// Saw adds a transaction: when it was, and every byte that it wrote.
func (d *Digest) Saw(tx *Transaction) {
	d.Transactions++
	d.begin(tx.Step, tx.Zxid, tx.At.UnixNano(), int64(len(tx.Ops)))
	for _, op := range tx.Ops {
		d.begin(op.Path, int64(op.Kind), int64(op.Version), int64(len(op.Data)))
		if op.Kind != protocol.OpCheck && op.Kind != protocol.OpDelete {
			d.sum.Write(op.Data)
			d.Bytes += len(op.Data)
		}
	}
}

// Decided adds a decision and what became of it.
func (d *Digest) Decided(by *decide.Decision, out *outcome.Outcome) {
	act := out.Acted()
	d.begin(string(by.Verb), by.At.UnixNano(), int64(by.Desired), int64(len(by.Health.Verdicts)))
	for _, text := range []string{string(by.Reason), by.Summary, act.Done, act.Text} {
		d.begin(text)
	}
}

// begin adds a text and numbers.
func (d *Digest) begin(text string, numbers ...int64) {
	d.line = binary.AppendVarint(d.line[:0], int64(len(text)))
	d.line = append(d.line, text...)
	for _, n := range numbers {
		d.line = binary.AppendVarint(d.line, n)
	}
	d.sum.Write(d.line)
}

// String is the sum so far.
func (d *Digest) String() string { return hex.EncodeToString(d.sum.Sum(nil)) }
