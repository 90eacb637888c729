package history

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/internal/exact"
)

// DocName is the document that the contents are kept in.
const DocName = "history"

const (
	// schema is the newest format that is understood, of contents and of pieces.
	schema = 1
	// maxPieces bounds the pieces of the contents that are read: 8 days have a tenth of it.
	maxPieces = 4096
)

// Contents say which pieces there are.
type Contents struct {
	V int `json:"v"`
	// Next is the number of the next entry. Numbers only grow.
	Next int64 `json:"next"`
	// Until is up to when everything is stored that was to be. Ended: the leader that stored it had
	// nothing more to store.
	Until time.Time `json:"until,omitzero"`
	Ended bool      `json:"ended,omitempty"`
	// Pieces are the oldest first; the last one may be added to.
	Pieces []Info `json:"pieces"`
}

// Info describes a piece.
type Info struct {
	Name    string `json:"name"`
	Version int32  `json:"version"` // of its znode, at least
	Bytes   int    `json:"bytes"`
	// First and Last are the numbers of its entries, From and To their times.
	First int64     `json:"first"`
	Last  int64     `json:"last"`
	From  time.Time `json:"from"`
	To    time.Time `json:"to"`
	// Counts are its entries by type.
	Counts map[string]int `json:"counts"`
}

// dayFormat is how the name of a piece begins: with the day, by UTC, on which it was begun.
const dayFormat = "20060102"

func (p *Info) day() string { return p.Name[:min(len(p.Name), len(dayFormat))] }

func nameOf(day time.Time, first int64) string {
	return day.UTC().Format(dayFormat) + "-" + strconv.FormatInt(first, 36)
}

// idWidth makes the order of ids that of their numbers: 78 billion entries.
const idWidth = 7

// ID is the id of the entry of that number: the same on every replica, and in the order of numbers.
func ID(number int64) string { return fmt.Sprintf("%0*s", idWidth, strconv.FormatInt(number, 36)) }

// ParseID is the number of an id.
func ParseID(id string) (number int64, err error) {
	number, err = strconv.ParseInt(strings.TrimLeft(id[:max(0, len(id)-1)], "0")+id[max(0, len(id)-1):], 36, 64)
	if err != nil || number < 0 || ID(number) != id {
		return 0, fmt.Errorf("id %.40q: want one that this API has given", id)
	}
	return number, nil
}

// ParseContents reads the document; nil data are empty contents.
func ParseContents(data []byte) (Contents, error) {
	c := Contents{V: schema}
	if len(data) == 0 {
		return c, nil
	}
	if err := exact.JSON(data, &c); err != nil {
		return Contents{V: schema}, fmt.Errorf("read the contents of the history: %w", err)
	}
	if err := c.check(); err != nil {
		return Contents{V: schema}, fmt.Errorf("read the contents of the history: %w", err)
	}
	return c, nil
}

func (c *Contents) check() error {
	if c.V != schema {
		return fmt.Errorf("v: schema %d, want %d", c.V, schema)
	}
	if len(c.Pieces) > maxPieces {
		return fmt.Errorf("pieces: %d, at most %d", len(c.Pieces), maxPieces)
	}
	last := int64(-1)
	for i := range c.Pieces {
		p := &c.Pieces[i]
		if p.First <= last || p.Last < p.First || p.Bytes < 0 || p.Version < 0 {
			return fmt.Errorf("pieces[%d]: entries %d to %d, %d bytes, version %d: they follow %d", i, p.First, p.Last, p.Bytes, p.Version, last)
		}
		last = p.Last
	}
	if c.Next <= last {
		return fmt.Errorf("next: %d, and entry %d is there", c.Next, last)
	}
	return nil
}

func (c *Contents) encode() []byte {
	data, _ := json.Marshal(c) // numbers, texts and times of a clock always encode
	return data
}

// used is how many bytes the pieces of a day have, and how many there are.
func (c *Contents) used(day string) (bytes, pieces int) {
	for i := range c.Pieces {
		if c.Pieces[i].day() == day {
			bytes, pieces = bytes+c.Pieces[i].Bytes, pieces+1
		}
	}
	return bytes, pieces
}

// piece is that of an entry; nil: there is none.
func (c *Contents) piece(number int64) *Info {
	i, _ := slices.BinarySearchFunc(c.Pieces, number, func(p Info, n int64) int { return int(min(1, max(-1, p.Last-n))) })
	if i == len(c.Pieces) || c.Pieces[i].First > number {
		return nil
	}
	return &c.Pieces[i]
}
