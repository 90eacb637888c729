package election

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/shardscaler/shardscaler/internal/wake"
)

// Lease is the one by which builds before the beat elect their leader. So that in a roll-out no
// build of either sort leads beside the other, the leader by the beat holds it too, and none leads
// by the beat while an older build holds it. It elects none any more. Where the API server does not
// answer, what was read last counts for as long as it lasts: an older build that has been elected
// leads on for a while.
type Lease struct {
	lock resourcelock.Interface
	log  *slog.Logger
	// seen is the record as read last, and since when it is so, by our clock.
	seen  []byte
	since time.Time
	// holder is the older build that held it when it was read last, at, and until when that counts.
	holder    string
	at, until time.Time
	failing   time.Time // since when it cannot be read; zero: it can
}

// mark ends the name of a holder that leads by the beat. Older builds take it for a part of the
// name, and find the address behind it.
const mark = "+beat"

// Marked is what a replica is called in the Lease: its address (`<name>/<secure>@<plain>`) with the
// mark.
func Marked(address string) string {
	if at := strings.IndexAny(address, "/@"); at >= 0 {
		return address[:at] + mark + address[at:]
	}
	return address + mark
}

func isMarked(identity string) bool {
	name, _, _ := strings.Cut(identity, "@")
	name, _, _ = strings.Cut(name, "/")
	return strings.HasSuffix(name, mark)
}

const (
	// holdFor is how long the Lease lasts, and renewEvery the time between two renewals. An older
	// build that is left alone after a crash of ours waits for it.
	holdFor    = 30 * time.Second
	renewEvery = 10 * time.Second
)

// NewLease does not connect. The lock's identity must be Marked.
func NewLease(lock resourcelock.Interface, log *slog.Logger) *Lease {
	return &Lease{lock: lock, log: log}
}

// Leader implements Older.
func (l *Lease) Leader(ctx context.Context) string {
	now := time.Now()
	older, _, err := l.read(ctx, now)
	if err != nil {
		return l.unread(now, err)
	}
	return older
}

// read returns the record, nil where there is none, and the older build that holds the Lease; "":
// none does.
func (l *Lease) read(ctx context.Context, now time.Time) (older string, record *resourcelock.LeaderElectionRecord, err error) {
	record, raw, err := l.lock.Get(ctx)
	switch {
	case apierrors.IsNotFound(err):
		record = nil
	case err != nil:
		return "", nil, err
	}
	if !bytes.Equal(raw, l.seen) {
		l.seen, l.since = raw, now
	}
	l.holder, l.at, l.failing = "", now, time.Time{}
	if record == nil {
		return "", nil, nil
	}
	lasts := time.Duration(record.LeaseDurationSeconds) * time.Second
	l.until = now.Add(lasts)
	if id := record.HolderIdentity; id != "" && !isMarked(id) && now.Before(l.since.Add(lasts)) {
		l.holder = id
	}
	return l.holder, record, nil
}

// unread is the older build that leads, or may, where the Lease cannot be read: the one that held it,
// for as long as that lasts. Where nothing is known of it any more, an older build may have been
// elected, which holdFor later leads no more.
func (l *Lease) unread(now time.Time, err error) string {
	if l.failing.IsZero() {
		l.failing = now
	}
	switch {
	case l.holder != "" && now.Before(l.until):
		return l.holder
	case now.Sub(l.at) > holdFor && now.Sub(l.failing) < holdFor:
		return fmt.Sprintf("that is not known: %v", err)
	}
	return ""
}

// Hold implements Older.
func (l *Lease) Hold(ctx context.Context) (leader string) {
	for ctx.Err() == nil {
		pause := renewEvery
		older, err := l.take(ctx)
		switch {
		case older != "":
			return older
		case err != nil:
			l.log.Debug("the Lease of older builds cannot be held", "error", err)
			pause = slowRetry
		}
		wake.Sleep(ctx, pause)
	}
	return ""
}

// take takes or renews the Lease, unless an older build holds it.
func (l *Lease) take(ctx context.Context) (older string, err error) {
	ctx, cancel := context.WithTimeout(ctx, renewEvery)
	defer cancel()
	now := metav1.Now()
	mine := resourcelock.LeaderElectionRecord{
		HolderIdentity: l.lock.Identity(), LeaseDurationSeconds: int(holdFor.Seconds()), AcquireTime: now, RenewTime: now,
	}
	older, record, err := l.read(ctx, now.Time)
	switch {
	case err != nil || older != "":
		return older, err
	case record == nil:
		return "", l.lock.Create(ctx, mine)
	}
	mine.LeaderTransitions = record.LeaderTransitions
	if record.HolderIdentity == mine.HolderIdentity {
		mine.AcquireTime = record.AcquireTime
	} else {
		mine.LeaderTransitions++
	}
	return "", l.lock.Update(ctx, mine)
}

// Release implements Older.
func (l *Lease) Release(ctx context.Context) {
	record, _, err := l.lock.Get(ctx)
	if err != nil || record.HolderIdentity != l.lock.Identity() {
		return
	}
	now := metav1.Now()
	err = l.lock.Update(ctx, resourcelock.LeaderElectionRecord{
		LeaderTransitions: record.LeaderTransitions, LeaseDurationSeconds: 1, RenewTime: now, AcquireTime: now,
	})
	if err != nil {
		l.log.Debug("the Lease of older builds is not released", "error", err)
	}
}
