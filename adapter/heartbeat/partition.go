package heartbeat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/shardscaler/shardscaler/adapter/observed"
)

const (
	// fetchBytes is the most one answer holds, save that a broker always sends a whole batch.
	fetchBytes = 1 << 20
	// maxStuck is how many answers in a row may bring nothing though there is something, before it is passed over.
	maxStuck = 5
	// unset is an offset not chosen yet: it will be the one of now − look-back.
	unset = -1
)

// partition reads one partition from its leader. kafka-go's Reader is not used: it retries inside and can stall silently, while
// here each answer is awaited with a deadline, and is what proves that the broker was heard.
type partition struct {
	*topic
	id     int
	leader atomic.Pointer[kafka.Partition]

	next  int64 // offset of the next message
	stuck int
	// ahead is the end of the log as the broker once told, and when: reaching it proves that all up to then was read.
	ahead   int64
	aheadAt time.Time

	mu     sync.Mutex
	proven time.Time
	err    error
}

func (t *topic) newPartition(p kafka.Partition) *partition {
	r := &partition{topic: t, id: p.ID, next: unset}
	r.leader.Store(&p)
	return r
}

// proof is the time up to which everything the broker had was read, and why it does not advance.
func (p *partition) proof() (time.Time, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.proven, p.err
}

func (p *partition) run(ctx context.Context) {
	const least, most = 100 * time.Millisecond, 5 * time.Second
	wait := least
	for ctx.Err() == nil {
		began := time.Now()
		err := p.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > most {
			wait = least
		}
		p.mu.Lock()
		p.err = fmt.Errorf("read partition %d of topic %s: %w", p.id, p.name, err)
		p.mu.Unlock()
		p.metrics.reconnects.WithLabelValues(p.name).Inc()
		p.log.Debug("heartbeat reader reconnects", "partition", p.id, "error", err)
		p.askRefresh()
		sleep(ctx, wait)
		wait = min(2*wait, most)
	}
}

// session reads over one connection until it fails.
func (p *partition) session(ctx context.Context) error {
	dialer := kafka.Dialer{ClientID: clientID, Timeout: p.cfg.Patience}
	conn, err := dialer.DialPartition(ctx, "tcp", "", *p.leader.Load())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	for {
		if err := conn.SetDeadline(time.Now().Add(p.cfg.Poll + p.cfg.Patience)); err != nil {
			return err
		}
		if p.next == unset {
			if err := p.seek(conn); err != nil {
				return fmt.Errorf("find the offset of %s ago: %w", p.cfg.LookBack, err)
			}
		}
		if err := p.fetch(ctx, conn); err != nil {
			return err
		}
	}
}

// seek chooses the first message younger than the look-back; the end of the log if there is none.
func (p *partition) seek(conn *kafka.Conn) error {
	offset, err := conn.ReadOffset(time.Now().Add(-p.cfg.LookBack))
	if err == nil && offset < 0 {
		offset, err = conn.ReadLastOffset()
	}
	if err == nil {
		p.next, p.ahead, p.aheadAt = offset, 0, time.Time{}
	}
	return err
}

// fetch asks for one answer and hands on its messages.
func (p *partition) fetch(ctx context.Context, conn *kafka.Conn) error {
	if _, err := conn.Seek(p.next, kafka.SeekAbsolute|kafka.SeekDontCheck); err != nil {
		return err
	}
	batch := conn.ReadBatchWith(kafka.ReadBatchConfig{MinBytes: 1, MaxBytes: fetchBytes, MaxWait: p.cfg.Poll})
	answered, end := time.Now(), batch.HighWaterMark()
	if err := batch.Err(); err != nil {
		_ = batch.Close()
		if errors.Is(err, kafka.OffsetOutOfRange) { // the topic was made anew, or retention overtook us
			p.next = unset
			return nil
		}
		return err
	}
	asked := p.next
	err := p.drain(batch)
	if offset := batch.Offset(); offset > p.next { // compacted away
		p.next = offset
	}
	_ = batch.Close()
	p.prove(answered, end)
	return p.passOver(ctx, asked, end, err)
}

// drain hands on the messages of one answer.
func (p *partition) drain(batch *kafka.Batch) error {
	for {
		m, err := batch.ReadMessage()
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, kafka.RequestTimedOut): // the latter: there was no message
			return nil
		case err != nil:
			return err
		}
		p.next = m.Offset + 1
		p.message(m.Value)
	}
}

func (p *partition) message(value []byte) {
	beat, err := Decode(value)
	result := "beat"
	switch {
	case errors.Is(err, errOversized):
		result = "oversized"
	case err != nil:
		result = "malformed"
	case !slices.Contains(p.kinds, beat.Kind):
		result = "foreign"
	}
	p.metrics.messages.WithLabelValues(p.name, result).Inc()
	if err != nil {
		p.sampled.Do(func() {
			p.log.Warn("heartbeat passed over", "partition", p.id, "offset", p.next-1, "error", err, "message", fmt.Sprintf("%.100q", value[:min(len(value), 100)]))
		})
		return
	}
	if result == "beat" {
		p.sink(observed.Beat{Kind: beat.Kind, Ordinal: beat.Ordinal, At: beat.At, Arrived: time.Now()})
	}
}

// prove notes what an answer proves. Under a steady stream the end is always a little ahead, so the end of an earlier answer is
// remembered until it is reached.
func (p *partition) prove(answered time.Time, end int64) {
	proof := time.Time{}
	switch {
	case p.next >= end:
		proof, p.aheadAt = answered, time.Time{}
	case p.aheadAt.IsZero():
		p.ahead, p.aheadAt = end, answered
	case p.next >= p.ahead:
		proof = p.aheadAt
		p.ahead, p.aheadAt = end, answered
	}
	if proof.IsZero() {
		return
	}
	p.mu.Lock()
	p.proven, p.err = proof, nil
	p.mu.Unlock()
}

// passOver skips to the end of the log where answers keep coming and no message can be read from them: a batch that is broken, or
// in a codec that is not known, must not blind us for ever.
func (p *partition) passOver(ctx context.Context, asked, end int64, err error) error {
	if p.next > asked || p.next >= end {
		p.stuck = 0
		return err
	}
	if p.stuck++; p.stuck >= maxStuck {
		p.metrics.messages.WithLabelValues(p.name, "unreadable").Inc()
		p.log.Warn("heartbeats cannot be read and are passed over", "partition", p.id, "from", p.next, "to", end, "error", err)
		p.next, p.stuck = end, 0
		return err
	}
	sleep(ctx, 100*time.Millisecond)
	return err
}
