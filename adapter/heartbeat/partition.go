package heartbeat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/wake"
)

const (
	// maxStuck is how many answers in a row may bring nothing though there is something to bring.
	maxStuck = 5
	// unset is an offset not chosen yet: it will be the one of now − look-back.
	unset = -1
	// maxUndecided bounds the beats of a partition that wait for the ends of their transactions.
	maxUndecided = 4096
)

// partition reads one partition from its leader. kafka-go's Reader is not used: it retries inside
// and can stall silently, while here each answer is awaited with a deadline, and is what proves
// that the broker was heard.
type partition struct {
	*topic
	id     int
	leader atomic.Pointer[kafka.Partition]
	unpack unpacker
	stop   func() // ends run

	next  int64 // offset of the next message
	stuck int
	// undecided are beats up to next.
	undecided undecided
	// ahead is the end of the log as once told, and when: reaching it proves what was read.
	ahead   int64
	aheadAt time.Time

	proof atomic.Pointer[proof]
}

// proof is the time up to which everything the broker had was read, and why that does not advance.
type proof struct {
	at  time.Time
	err error
}

func (t *topic) newPartition(p kafka.Partition) *partition {
	r := &partition{topic: t, id: p.ID, unpack: unpack, next: unset, undecided: newUndecided()}
	r.leader.Store(&p)
	r.proof.Store(&proof{})
	return r
}

func (p *partition) run(ctx context.Context) {
	const least, most = 100 * time.Millisecond, 5 * time.Second
	wait := least
	for ctx.Err() == nil {
		began := time.Now()
		// kafka-go may panic at what a broker says
		err := p.guarded(func() error { return p.session(ctx) })
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > most {
			wait = least
		}
		p.proof.Store(&proof{p.proof.Load().at, fmt.Errorf("read partition %d of topic %s: %w", p.id, p.name, err)})
		p.metrics.reconnects.WithLabelValues(p.name).Inc()
		p.log.Debug("heartbeat reader reconnects", "partition", p.id, "error", err)
		p.relist.Wake()
		wake.Sleep(ctx, wait)
		wait = min(2*wait, most)
	}
}

func (p *partition) session(ctx context.Context) error {
	leader := p.leader.Load().Leader
	conn, err := p.connect(ctx, net.JoinHostPort(leader.Host, strconv.Itoa(leader.Port)))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	for {
		if err := conn.within(p.poll + p.patience); err != nil {
			return err
		}
		if p.next == unset {
			if err := p.seek(conn); err != nil {
				return fmt.Errorf("find the offset of %s ago: %w", lookBack, err)
			}
		}
		if err := p.fetch(ctx, conn); err != nil {
			return err
		}
	}
}

// seek chooses the first message younger than the look-back; the end of the log if there is none.
func (p *partition) seek(conn *broker) error {
	offset, err := conn.offset(p.name, p.id, time.Now().Add(-lookBack).UnixMilli())
	if err == nil && offset < 0 {
		offset, err = conn.offset(p.name, p.id, kafka.LastOffset)
	}
	if err == nil {
		p.next, p.ahead, p.aheadAt = offset, 0, time.Time{}
	}
	return err
}

func (p *partition) fetch(ctx context.Context, conn *broker) error {
	batches, end, cut, err := conn.fetch(p.name, p.id, p.next, p.poll)
	switch {
	case errors.Is(err, kafka.OffsetOutOfRange):
		// the topic was made anew, or retention overtook us
		p.next, p.undecided = unset, newUndecided()
		return nil
	case err != nil:
		return err
	}
	asked := p.next
	err = cmp.Or(p.drain(&batches), cut)
	p.prove(conn.answered, end)
	return p.passOver(ctx, asked, end, err)
}

// drain hands on the messages of one answer. A batch that cannot be read is passed over.
func (p *partition) drain(batches *fields) error {
	for {
		b, err := readBatch(batches)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case b.body == nil:
			p.unreadable(b, errTooLarge)
		default:
			p.take(b)
		}
		p.next = max(p.next, b.last+1)
	}
}

func (p *partition) take(b batch) {
	for r, err := range b.records(p.guardedUnpack) {
		if err != nil {
			p.unreadable(b, err)
			return
		}
		switch {
		case r.offset < p.next:
		case b.attributes&control != 0:
			p.marker(b.producer, r.key)
		default:
			p.message(b, r)
		}
	}
}

// marker ends a producer's transaction, if it says so: its key is a version, and 0 for aborted or 1
// for committed.
func (p *partition) marker(producer int64, key []byte) {
	head := fields{rest: key}
	head.take(2)
	outcome := head.int16()
	if head.err != nil || outcome != 0 && outcome != 1 {
		return
	}
	for _, beat := range p.undecided.end(producer) {
		if outcome == 0 {
			p.count("aborted", 1)
			continue
		}
		p.beat(beat)
	}
}

// guardedUnpack unpacks a batch with foreign code. If that panics, the batch cannot be read.
func (p *partition) guardedUnpack(codec int8, packed []byte) (plain []byte, err error) {
	err = p.guarded(func() error {
		plain, err = p.unpack(codec, packed)
		return err
	})
	return plain, err
}

func (p *partition) unreadable(b batch, err error) {
	result := "unreadable"
	if errors.Is(err, errOversized) {
		result = "oversized"
	}
	p.count(result, 1)
	p.sampled.Do(func() {
		p.log.Warn("heartbeats cannot be read and are passed over", "partition", p.id, "from", b.base, "to", b.last, "error", err)
	})
}

// message hands on a message if it is ours: at once, or when its transaction is committed.
func (p *partition) message(b batch, r record) {
	m, err := Decode(r.value)
	switch {
	case errors.Is(err, errOversized):
		p.count("oversized", 1)
	case err != nil:
		p.count("malformed", 1)
	case !slices.Contains(p.kinds, m.Kind):
		p.count("foreign", 1)
		return
	}
	if err != nil {
		p.sampled.Do(func() {
			p.log.Warn("heartbeat passed over", "partition", p.id, "offset", r.offset, "error", err,
				"message", fmt.Sprintf("%.100q", r.value[:min(len(r.value), 100)]))
		})
		return
	}
	beat := observed.Beat{Kind: m.Kind, Ordinal: m.Ordinal, At: m.At, Arrived: time.Now()}
	if b.attributes&transactional == 0 {
		p.beat(beat)
		return
	}
	if givenUp := p.undecided.add(b.producer, beat); givenUp > 0 {
		p.count("undecided", givenUp)
	}
}

func (p *partition) beat(b observed.Beat) {
	p.count("beat", 1)
	p.sink(b)
}

func (p *partition) count(result string, n int) {
	p.metrics.messages.WithLabelValues(p.name, result).Add(float64(n))
}

// prove notes what an answer proves. Under a steady stream the end is always a little ahead, so the
// end of an earlier answer is remembered until it is reached.
func (p *partition) prove(answered time.Time, end int64) {
	proven := time.Time{}
	switch {
	case p.next >= end:
		proven, p.aheadAt = answered, time.Time{}
	case p.aheadAt.IsZero():
		p.ahead, p.aheadAt = end, answered
	case p.next >= p.ahead:
		proven = p.aheadAt
		p.ahead, p.aheadAt = end, answered
	}
	if !proven.IsZero() {
		p.proof.Store(&proof{at: proven})
	}
}

// passOver skips to the end of the log where answers keep coming and no message can be read from
// them: a batch that is broken, or in a codec that is not known, must not blind us for ever.
func (p *partition) passOver(ctx context.Context, asked, end int64, err error) error {
	if p.next > asked || p.next >= end {
		p.stuck = 0
		return err
	}
	if p.stuck++; p.stuck >= maxStuck {
		p.count("unreadable", 1)
		p.log.Warn("heartbeats cannot be read and are passed over", "partition", p.id, "from", p.next, "to", end, "error", err)
		p.next, p.stuck = end, 0
		return err
	}
	wake.Sleep(ctx, 100*time.Millisecond)
	return err
}

// undecided are the beats of transactions that have not ended, by producer: a producer has one
// transaction at a time, and the broker writes a marker behind each. The broker could be asked for
// what is committed alone; then one transaction that hangs, whosever it is, would hold back every
// beat behind its first message.
type undecided struct {
	of    map[int64][]observed.Beat
	total int
}

func newUndecided() undecided { return undecided{of: map[int64][]observed.Beat{}} }

// add keeps a beat until its producer's transaction ends. Where there is no room, the longest
// transaction is given up; it returns how many beats that had.
func (u *undecided) add(producer int64, b observed.Beat) (givenUp int) {
	if u.total >= maxUndecided {
		longest := producer
		for p, beats := range u.of {
			if len(beats) > len(u.of[longest]) {
				longest = p
			}
		}
		givenUp = len(u.end(longest))
	}
	u.of[producer] = append(u.of[producer], b)
	u.total++
	return givenUp
}

// end returns the beats of a producer's transaction, which are undecided no longer.
func (u *undecided) end(producer int64) []observed.Beat {
	beats := u.of[producer]
	delete(u.of, producer)
	u.total -= len(beats)
	return beats
}
