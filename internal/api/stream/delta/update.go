package delta

import (
	"bytes"
	"time"

	"github.com/shardscaler/shardscaler/internal/api/packed"
	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/ops"
)

// The events of a stream.
const (
	EventState   = "state"   // an Update that is full
	EventChange  = "change"  // an Update
	EventHistory = "history" // a History
	EventBye     = "bye"     // a Bye
)

// Update is the data of a state or change event.
type Update struct {
	// Full says that what the client has is to be forgotten: this is all there is.
	Full bool      `json:"full,omitempty" doc:"forget what you have: this is all there is"`
	At   time.Time `json:"at,omitzero" doc:"the moment that this shows, by the server's clock"`
	// Names are the kinds there are, in order: of others nothing is left.
	Names []string `json:"names" nullable:"false"`
	Kinds []Part   `json:"kinds" nullable:"false" doc:"what changes of each kind that changes"`
	// Dated has, by kind, what changes by time alone.
	Dated map[string]Dated `json:"dated"`
}

// History is the data of a history event: new entries of one kind, the oldest first.
type History struct {
	Kind  string      `json:"kind"`
	Items []ops.Entry `json:"items" nullable:"false"`
}

// Bye is the data of the last event of a stream that the server ends.
type Bye struct {
	Reason string `json:"reason" enum:"shutdown,refused" doc:"shutdown: connect again at once, to another replica; refused: you may not see this any more"`
	Text   string `json:"text"`
}

// Why a stream ends: Bye.Reason.
const (
	ReasonShutdown = "shutdown"
	ReasonRefused  = "refused"
)

// Envelope is an Update of kinds that are encoded already, in pieces.
func Envelope(full bool, at time.Time, shots []*Shot, kinds []packed.Part) ([]packed.Part, error) {
	u := Update{Full: full, At: at.UTC().Truncate(time.Millisecond), Names: []string{}, Kinds: []Part{}, Dated: map[string]Dated{}}
	for _, s := range shots {
		u.Names = append(u.Names, s.name)
		u.Dated[s.name] = s.Dated
	}
	text, err := exact.Marshal(u)
	if err != nil {
		return nil, err
	}
	// Within a string the quotes would be escaped.
	before, after, _ := bytes.Cut(text, []byte(`"kinds":[]`))
	pieces := []packed.Part{packed.Own(append(before[:len(before):len(before)], `"kinds":[`...))}
	for i, kind := range kinds {
		if i > 0 {
			pieces = append(pieces, packed.Own([]byte(",")))
		}
		pieces = append(pieces, kind)
	}
	return append(pieces, packed.Own(append([]byte("]"), after...))), nil
}
