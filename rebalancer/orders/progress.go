package orders

import (
	"cmp"
	"time"

	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// Progress is what an engine is doing, for the API and the metrics.
type Progress struct {
	// Refused is what ZooKeeper refuses to write, and why; empty when it refuses nothing. It is
	// tried again, after pauses that grow.
	Refused string `json:"refused,omitempty"`
	// Draining counts what is left on ordinals that leave, by ordinal.
	Draining map[int]int `json:"draining,omitempty"`
	// Unproven says of instances that are lost why what they own stays, by ordinal.
	Unproven map[int]string `json:"unproven,omitempty"`
	// PlanID is the running plan's, empty when none runs. It is carried out in waves; what follows
	// describes the present one. Reason is drain, spread or undo, and Why says it in words.
	PlanID string    `json:"planId,omitempty"`
	Reason string    `json:"reason,omitempty"`
	Why    string    `json:"why,omitempty"`
	Begun  time.Time `json:"begun,omitzero"`
	// Moves are the wave's moves, Done those that have arrived, Acknowledged those and what their
	// instances have released, Left those that have not arrived. Beyond are the plan's moves that
	// wait for the next wave.
	Moves        int `json:"moves,omitempty"`
	Done         int `json:"done,omitempty"`
	Acknowledged int `json:"acknowledged,omitempty"`
	Left         int `json:"left,omitempty"`
	Beyond       int `json:"beyond,omitempty"`
	// PerMinute is the pace of moves, by the last minute; EstimatedEnd when the plan ends at that.
	PerMinute    float64    `json:"perMinute,omitempty"`
	EstimatedEnd *time.Time `json:"estimatedEnd,omitempty"`
	// Moved counts resources that the leader has moved since its process started.
	Moved int64 `json:"moved"`
	// Duplicates lists ids that were found in two places since this process leads, at most 1000.
	Duplicates []protocol.Duplicate `json:"duplicates,omitempty"`
	// Alarm says why the engine has stopped, if so (an unreadable list, foreign edits).
	Alarm string `json:"alarm,omitempty"`
	// Blocked says what keeps the running work from ending: capacity, a hold, an acknowledgement.
	Blocked string `json:"blocked,omitempty"`
	// Unannounced is a warning: rows keep appearing of which no message tells. Empty: none.
	Unannounced string `json:"unannounced,omitempty"`
	// Parked are the resources without a place, or not in the one they should have, summed up by
	// where they are (-1: the pool) and why.
	Parked []plan.RefusedGroup `json:"parked,omitempty"`
}

// Stopped says by what alarm the kind is stopped, as far as a replica knows; "" if by none. st may
// be nil. What is unreadable every replica sees; that another client edits too much, the leader
// alone knows.
func Stopped(st *protocol.State, p *Progress) string {
	if st == nil {
		return p.Alarm
	}
	return cmp.Or(p.Alarm, st.Fault())
}

// Trouble says why a kind is not written, by what a replica knows of it; "" if nothing stands
// against it. st may be nil. What ZooKeeper refuses the leader alone knows.
func Trouble(st *protocol.State, p *Progress) string {
	switch stopped := Stopped(st, p); {
	case stopped != "":
		return "the kind is stopped: " + stopped
	case p.Refused != "":
		return "zookeeper refuses what is to be written: " + p.Refused
	}
	return ""
}
