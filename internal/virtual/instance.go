package virtual

import (
	"fmt"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Instance is the process of one pod, which keeps to the protocol and acknowledges:
//
//	own status ─► read _reload ─► read resources ─► stop what was removed ─► acknowledge
//	           ─► start what is new
type Instance struct {
	kind    string
	ordinal int
	pod     string
	z       *ZooKeeper
	session int64
	// status, reload and list are paths.
	status, reload, list string
	// said is the version of its status; -1: it has none yet.
	said int32
	// seen is the `_reload` which it has applied; applied are its times, and runs what it runs
	// since.
	seen    *znode
	applied int64
	runs    protocol.IDs
	beat    time.Time
}

// NewInstance begins a session and runs nothing yet.
func NewInstance(z *ZooKeeper, kind string, ordinal int, pod string) *Instance {
	return &Instance{
		kind: kind, ordinal: ordinal, pod: pod, z: z, session: z.Begin(), said: -1,
		status: protocol.StatusPath(kind, ordinal), reload: protocol.ReloadPath(kind, ordinal), list: protocol.ResourcesPath(kind, ordinal),
	}
}

// End ends the process and its session.
func (in *Instance) End() {
	in.runs = protocol.IDs{}
	in.z.End(in.session)
}

// unreleased says why it may still run what was taken from it at that `_reload`; "" if it does not.
func (in *Instance) unreleased(times int64) string {
	if in.applied >= times {
		return ""
	}
	return fmt.Sprintf("the process of pod %s runs %d resources and has applied %d, not %d", in.pod, in.runs.Len(), in.applied, times)
}

// Step brings what it runs into line with ZooKeeper. An ordinal without znodes is waited for.
func (in *Instance) Step() error {
	if in.said < 0 && !in.show() {
		return nil
	}
	if in.seen != nil && !in.seen.old {
		return nil
	}
	reload, list := in.z.nodes[in.reload], in.z.nodes[in.list]
	if reload == nil || list == nil {
		return nil
	}
	ids, err := protocol.DecodeIDs(list.data)
	if err != nil {
		return fmt.Errorf("instance %d: read its list: %w", in.ordinal, err)
	}
	times := protocol.DecodeReload(reload.data)
	in.runs, in.applied, in.seen = ids, times, reload
	err = in.z.Write(in.session, protocol.Op{Kind: protocol.OpSet, Path: in.status, Data: in.word(), Version: in.said})
	if err != nil {
		return fmt.Errorf("instance %d: acknowledge %d: %w", in.ordinal, times, err)
	}
	in.said++
	return nil
}

// show makes its ephemeral status, before it reads anything; false: it cannot yet.
func (in *Instance) show() bool {
	err := in.z.Write(in.session, protocol.Op{Kind: protocol.OpCreate, Path: in.status, Data: in.word()})
	if err == nil {
		in.said = 0
	}
	return err == nil
}

func (in *Instance) word() []byte {
	return protocol.EncodeStatus(protocol.Status{Times: in.applied, Pod: in.pod, SessionMs: sessionMs})
}

// sessionMs is the session time-out that every instance was granted.
const sessionMs = 10_000

// Beat is its heartbeat if one is due, and has the next one come so much later.
func (in *Instance) Beat(now time.Time, every time.Duration) (b observed.Beat, due bool) {
	if now.Before(in.beat) {
		return b, false
	}
	in.beat = now.Add(every)
	return observed.Beat{Kind: in.kind, Ordinal: in.ordinal, At: now, Arrived: now}, true
}
