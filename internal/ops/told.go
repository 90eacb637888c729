package ops

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
)

// Told is what the leader alone knows of a kind. It is stored with the decision, and followers show
// it as the leader does.
type Told struct {
	Progress orders.Progress `json:"progress"`
	Waiting  *resync.Waiting `json:"waiting,omitempty"`
	// Rows counts those of the last complete read of the catalogue. Catalogue and Notify are the two
	// sources that the leader alone reads.
	Rows      int             `json:"rows"`
	Catalogue observed.Source `json:"catalogue"`
	Notify    observed.Source `json:"notify"`
}

// MaxTold bounds an encoded Told, in bytes.
const MaxTold = 32 << 10

// toldLists are how many duplicates and groups of parked resources are told, the first that fits.
var toldLists = []int{1000, 100, 10, 1}

// Encode is Told as JSON of at most MaxTold bytes: without the ends of its lists where they are too
// long; nil: it does not fit even so, or cannot be encoded.
func (t Told) Encode() json.RawMessage {
	for _, n := range toldLists {
		p := &t.Progress
		p.Duplicates, p.Parked = p.Duplicates[:min(n, len(p.Duplicates))], p.Parked[:min(n, len(p.Parked))]
		if data, err := json.Marshal(t); err == nil && len(data) <= MaxTold {
			return data
		}
	}
	return nil
}

// Says is what of it is news to followers: that the broker was heard again is none.
func (t Told) Says() Told {
	t.Notify.At = time.Time{}
	return t
}

// ParseTold reads what Encode has made. No data: a leader of an older version tells nothing, nil.
func ParseTold(data json.RawMessage) (*Told, error) {
	if len(data) == 0 {
		return nil, nil
	}
	var t Told
	if err := exact.JSON(data, &t); err != nil {
		return nil, fmt.Errorf("read what the leader tells: %w", err)
	}
	return &t, nil
}
