package heartbeat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/shardscaler/shardscaler/internal/exact"
)

// Bounds of a message.
const (
	// maxBytes of a message; a real one has about 100.
	maxBytes = 64 << 10
	// maxOrdinal bounds what an instance id may name: more than any StatefulSet has.
	maxOrdinal = 1_000_000
	// maxTimestamp is the end of the year 9999 in unix seconds; milliseconds by mistake lie beyond.
	maxTimestamp = 253_402_300_799
)

var errOversized = errors.New("oversized")

// Message is a heartbeat as it was sent.
type Message struct {
	Kind    string
	Ordinal int
	At      time.Time
}

// Decode reads {"resource":"Thing","instanceId":"3","timestamp":"1760000000"}. The case of the
// names does not matter, but each may come only once; instanceId and timestamp may be numbers or
// text; the timestamp is in unix seconds and may have a fraction.
func Decode(value []byte) (Message, error) {
	if len(value) > maxBytes {
		return Message{}, fmt.Errorf("decode heartbeat: %w: %d bytes, at most %d", errOversized, len(value), maxBytes)
	}
	var raw struct {
		Resource   field `json:"resource"`
		InstanceID field `json:"instanceId"`
		Timestamp  field `json:"timestamp"`
	}
	if err := json.Unmarshal(value, &raw); err != nil { //nolint:forbidigo // names count in any case here, and field sees to the rest
		return Message{}, fmt.Errorf("decode heartbeat: %w", err)
	}
	for _, f := range []struct {
		name  string
		comes int
	}{{"resource", raw.Resource.comes}, {"instanceId", raw.InstanceID.comes}, {"timestamp", raw.Timestamp.comes}} {
		if f.comes > 1 {
			return Message{}, fmt.Errorf("decode heartbeat: %s comes twice", f.name)
		}
	}
	var kind string
	if err := exact.JSON(raw.Resource.value, &kind); raw.Resource.comes > 0 && err != nil {
		return Message{}, fmt.Errorf("decode heartbeat: resource: %w", err)
	}
	if kind == "" {
		return Message{}, errors.New("decode heartbeat: resource is missing")
	}
	ordinal, err := exact.Ordinal(text(raw.InstanceID.value))
	if err == nil && ordinal > maxOrdinal {
		err = fmt.Errorf("ordinal %d: want one from 0 to %d", ordinal, maxOrdinal)
	}
	if err != nil {
		return Message{}, fmt.Errorf("decode heartbeat: instanceId: %w", err)
	}
	seconds, err := strconv.ParseFloat(text(raw.Timestamp.value), 64)
	if err != nil || !(seconds >= 0 && seconds <= maxTimestamp) {
		return Message{}, fmt.Errorf("decode heartbeat: timestamp %.40q: want unix seconds from 0 to %d", raw.Timestamp.value, int64(maxTimestamp))
	}
	whole := int64(seconds)
	at := time.Unix(whole, int64((seconds-float64(whole))*1e9))
	return Message{Kind: kind, Ordinal: ordinal, At: at}, nil
}

// field counts how often a name comes, in whatever case: encoding/json asks it for each.
type field struct {
	value json.RawMessage
	comes int
}

func (f *field) UnmarshalJSON(raw []byte) error {
	f.comes++
	f.value = append(f.value[:0], raw...)
	return nil
}

// text is a JSON string's content, or any other JSON value as written.
func text(raw []byte) string {
	var s string
	if bytes.HasPrefix(raw, []byte{'"'}) && exact.JSON(raw, &s) == nil {
		return s
	}
	return string(raw)
}
