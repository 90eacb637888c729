package zk

import (
	"cmp"
	"context"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/shardscaler/shardscaler/internal/limits"
	"github.com/shardscaler/shardscaler/internal/wake"
)

// syncPause is the least time between two syncs of a session. One answers every reader that asked
// before it began, so that many kinds at rest cost no more syncs than a few. A reader waits for no
// longer than this and a sync.
const syncPause = 20 * time.Millisecond

// syncs are those of a session, shared by its readers.
type syncs struct {
	limits.Shared[struct{}, struct{}]
	begun time.Time // when the last one began; only the one call that is under way knows it
}

// pace is what each of them waits for before it begins.
func (s *syncs) pace(ctx context.Context) error {
	wake.Sleep(ctx, time.Until(s.begun.Add(syncPause)))
	s.begun = time.Now()
	return ctx.Err()
}

// catchUp has the server we talk to catch up with the leader, after it was called.
func (s *session) catchUp(ctx context.Context) error {
	_, err := s.syncs.Do(ctx, struct{}{}, func(ctx context.Context) (struct{}, error) { return struct{}{}, catchUp(ctx, s) })
	return err
}

// catchUp is that without waiting for others.
func catchUp(ctx context.Context, s *session) error {
	_, err := do(ctx, s, func(conn *zk.Conn) (string, error) { return conn.Sync(cmp.Or(s.path(""), "/")) })
	return err
}
