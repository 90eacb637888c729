package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// terms is what ZooKeeper's transaction log says of those who wrote a kind, one after the other.
type terms struct {
	own, shared string // below them the kind's znodes are
	epoch       int64  // the newest
	// writers are the sessions that wrote at the head, and the epoch of each.
	writers map[int64]int64
	// creates are the transactions that made a piece of the pool, oldest first.
	creates []create
	// old are transactions of an epoch that came after one of a newer epoch, in words.
	old []string
}

// create is a transaction after which a create is durable.
type create struct {
	at    time.Time // by the server's clock, to the millisecond
	epoch int64
}

func newTerms(chroot string) *terms {
	return &terms{
		own: chroot + protocol.OwnRoot + "/" + thing + "/", shared: chroot + protocol.KindPath(thing) + "/", writers: map[int64]int64{},
	}
}

// terms reads the log of the ensemble, which stands alone.
func (w *world) terms() (*terms, error) {
	t := newTerms(w.Chroot)
	err := product.WalkTxns(filepath.Join(w.ZooKeeper.Servers[0].WorkDir, "data"), t.add)
	return t, err
}

func (t *terms) add(txn product.Txn) error {
	touched := false
	for _, op := range txn.Ops {
		if !strings.HasPrefix(op.Path, t.own) && !strings.HasPrefix(op.Path, t.shared) {
			continue
		}
		// An unchecked deletion alone is the end of a session: the server does that.
		touched = touched || !op.Deleted
		if op.Path == t.own+"head" && !op.Deleted && !op.Checked {
			var head struct{ Epoch int64 }
			if err := json.Unmarshal(op.Data, &head); err != nil {
				return fmt.Errorf("transaction 0x%x: read head: %w", txn.Zxid, err)
			}
			t.writers[txn.Session], t.epoch = head.Epoch, max(t.epoch, head.Epoch)
		}
		if name, found := strings.CutPrefix(op.Path, t.own+"pool/"); found && op.Created {
			p, err := pieceOf(name)
			if err != nil {
				return fmt.Errorf("transaction 0x%x: %w", txn.Zxid, err)
			}
			t.creates = append(t.creates, create{txn.Time, p.epoch})
			t.writers[txn.Session] = p.epoch
		}
	}
	if epoch, writes := t.writers[txn.Session]; touched && writes && epoch < t.epoch {
		t.old = append(t.old, fmt.Sprintf("0x%x at %s: epoch %d after %d", txn.Zxid, txn.Time.Format(time.StampMilli), epoch, t.epoch))
	}
	return nil
}

// successor is the first create after a time that is of another epoch than those before it, or of
// any once the leader was given back; zero: it never was.
func (t *terms) successor(after, back time.Time) (first create, found bool) {
	var epoch int64
	for _, c := range t.creates {
		switch {
		case c.at.Before(after):
			epoch = max(epoch, c.epoch)
		case c.epoch > epoch || !back.IsZero() && c.at.After(back):
			return c, true
		}
	}
	return create{}, false
}

// piece is the name of a piece of the pool.
type piece struct{ epoch, number int64 }

// after says whether p was made after q.
func (p piece) after(q piece) bool {
	return p.epoch > q.epoch || p.epoch == q.epoch && p.number > q.number
}

func pieceOf(name string) (p piece, err error) {
	if n, err := fmt.Sscanf(name, "%d-%d", &p.epoch, &p.number); err != nil || n != 2 {
		return p, fmt.Errorf("a piece of the pool is called %q", name)
	}
	return p, nil
}

// longestGap is the longest time between two creates one after the other, of those that a span of
// time has something of, in ms.
func (t *terms) longestGap(from, to time.Time) (ms float64) {
	for i := 1; i < len(t.creates); i++ {
		before, after := t.creates[i-1].at, t.creates[i].at
		if after.After(from) && before.Before(to) {
			ms = max(ms, after.Sub(before).Seconds()*1e3)
		}
	}
	return ms
}
