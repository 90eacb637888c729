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

// flights is what ZooKeeper's transaction log says of resources in flight: when each was revoked,
// and when it had an owner again.
type flights struct {
	below string // the znodes of the flight
	// pieces are those that there are, by name.
	pieces map[string]flown
	all    []flight
}

// flown is a piece of the flight.
type flown struct {
	from    int
	revoked time.Time
	ids     map[string]bool
}

// flight is the way of one resource from its owner to the next, by the server's clock.
type flight struct {
	from             int
	revoked, granted time.Time
}

// flights reads the log of the ensemble, which stands alone.
func (w *world) flights() (*flights, error) {
	f := &flights{below: w.Chroot + protocol.OwnRoot + "/" + thing + "/flight/", pieces: map[string]flown{}}
	err := product.WalkTxns(filepath.Join(w.ZooKeeper.Servers[0].WorkDir, "data"), f.add)
	return f, err
}

func (f *flights) add(txn product.Txn) error {
	for _, op := range txn.Ops {
		name, found := strings.CutPrefix(op.Path, f.below)
		if !found || op.Checked {
			continue
		}
		var piece struct {
			From int
			IDs  []string
		}
		if !op.Deleted {
			if err := json.Unmarshal(op.Data, &piece); err != nil {
				return fmt.Errorf("transaction 0x%x: read %s: %w", txn.Zxid, op.Path, err)
			}
		}
		here := make(map[string]bool, len(piece.IDs))
		for _, id := range piece.IDs {
			here[id] = true
		}
		is, known := f.pieces[name]
		if !known {
			is = flown{from: piece.From, revoked: txn.Time}
		}
		for id := range is.ids {
			if !here[id] {
				f.all = append(f.all, flight{is.from, is.revoked, txn.Time})
			}
		}
		if is.ids = here; op.Deleted {
			delete(f.pieces, name)
		} else {
			f.pieces[name] = is
		}
	}
	return nil
}

// within are the flights that began in a span of time, of those that pick says.
func (f *flights) within(s span, pick func(flight) bool) (all []flight) {
	for _, one := range f.all {
		if one.revoked.After(s.from) && one.revoked.Before(s.to) && pick(one) {
			all = append(all, one)
		}
	}
	return all
}

// ownerless are the times that resources had no owner, in seconds; took is the time from the first
// revoke to the last grant.
func ownerless(all []flight) (seconds []float64, took float64) {
	var first, last time.Time
	for _, one := range all {
		seconds = append(seconds, one.granted.Sub(one.revoked).Seconds())
		if first.IsZero() || one.revoked.Before(first) {
			first = one.revoked
		}
		if one.granted.After(last) {
			last = one.granted
		}
	}
	return seconds, last.Sub(first).Seconds()
}
