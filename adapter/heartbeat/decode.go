package heartbeat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
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

// Decode reads {"resource":"Thing","instanceId":"3","timestamp":"1760000000"}. The case of the names does not matter;
// instanceId and timestamp may be numbers or text; the timestamp is in unix seconds and may have a fraction.
func Decode(value []byte) (Message, error) {
	if len(value) > maxBytes {
		return Message{}, fmt.Errorf("decode heartbeat: %w: %d bytes, at most %d", errOversized, len(value), maxBytes)
	}
	var raw struct {
		Resource   string          `json:"resource"`
		InstanceID json.RawMessage `json:"instanceId"`
		Timestamp  json.RawMessage `json:"timestamp"`
	}
	if err := json.Unmarshal(value, &raw); err != nil {
		return Message{}, fmt.Errorf("decode heartbeat: %w", err)
	}
	if raw.Resource == "" {
		return Message{}, errors.New("decode heartbeat: resource is missing")
	}
	ordinal, err := strconv.Atoi(text(raw.InstanceID))
	if err != nil || ordinal < 0 || ordinal > maxOrdinal {
		return Message{}, fmt.Errorf("decode heartbeat: instanceId %.40q: want an ordinal from 0 to %d", raw.InstanceID, maxOrdinal)
	}
	seconds, err := strconv.ParseFloat(text(raw.Timestamp), 64)
	if err != nil || !(seconds >= 0 && seconds <= maxTimestamp) {
		return Message{}, fmt.Errorf("decode heartbeat: timestamp %.40q: want unix seconds from 0 to %d", raw.Timestamp, int64(maxTimestamp))
	}
	whole := int64(seconds)
	at := time.Unix(whole, int64((seconds-float64(whole))*1e9))
	return Message{Kind: raw.Resource, Ordinal: ordinal, At: at}, nil
}

// text is a JSON string's content, or any other JSON value as written.
func text(raw json.RawMessage) string {
	var s string
	if bytes.HasPrefix(raw, []byte{'"'}) && json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}
