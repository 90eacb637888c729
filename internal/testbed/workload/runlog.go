package workload

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// Event says what a Record of the run log tells.
type Event string

const (
	// EventBoot opens the log of one process: whatever ran in an earlier one ended with it.
	EventBoot Event = "boot"
	// EventRun says that the instance starts these ids, EventStop that it has stopped them.
	EventRun  Event = "run"
	EventStop Event = "stop"
)

// Record is one line of the run log. A stop is written after the stopping, a run before the
// starting, so the intervals in the log contain the real ones. The order of lines is the order of
// events: one process writes them all.
type Record struct {
	Time    time.Time `json:"t"`
	Event   Event     `json:"event"`
	Kind    string    `json:"kind,omitempty"`
	Ordinal int       `json:"instance"`
	// Pod is the uid, Times the `_reload.times` that led to the change.
	Pod   string `json:"pod,omitempty"`
	Times int64  `json:"times,omitempty"`
	// Reason of a stop: reload, crash, fence, pod, exit.
	Reason string   `json:"reason,omitempty"`
	IDs    []string `json:"ids,omitempty"`
}

// RunLog writes Records as JSON lines, each with one write. It may be used by many goroutines.
type RunLog struct {
	mu  sync.Mutex
	out io.Writer
	err error
}

// NewRunLog starts a log with a boot record; a nil out keeps none.
func NewRunLog(out io.Writer) *RunLog {
	l := &RunLog{out: out}
	l.write(Record{Event: EventBoot})
	return l
}

// write keeps the first error: a log with a hole proves nothing.
func (l *RunLog) write(r Record) {
	if l.out == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r.Time = time.Now()
	line, err := json.Marshal(r)
	if err == nil {
		_, err = l.out.Write(append(line, '\n'))
	}
	if err != nil && l.err == nil {
		l.err = fmt.Errorf("write run log: %w", err)
	}
}

// Err is the first error of a write.
func (l *RunLog) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Place is where something runs: one pod's process of an instance.
type Place struct {
	Ordinal int
	Pod     string
}

// Overlap is a resource that a second place started while the first had not stopped it.
type Overlap struct {
	Kind, ID      string
	First, Second Place
	At            time.Time
}

// Runs is what a run log tells.
type Runs struct {
	// Records counts lines, so that a test can see that its log was not empty.
	Records int
	// Running holds, by kind and id, where it runs at the end of the log.
	Running map[string]map[string][]Place
	// Overlaps are in the order in which they happened.
	Overlaps []Overlap
	// Started counts starts by kind: its growth is what moved or came.
	Started map[string]int
}

// ReadRuns folds a run log. A last line that is cut off is being written and is left out.
func ReadRuns(r io.Reader) (*Runs, error) {
	runs := &Runs{Running: map[string]map[string][]Place{}, Started: map[string]int{}}
	for in := bufio.NewReader(r); ; {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return runs, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read run log: %w", err)
		}
		var rec Record
		if err := json.Unmarshal(line, &rec); err != nil {
			return nil, fmt.Errorf("read run log line %d: %w", runs.Records+1, err)
		}
		runs.add(rec)
	}
}

func (r *Runs) add(rec Record) {
	r.Records++
	place := Place{rec.Ordinal, rec.Pod}
	switch rec.Event {
	case EventBoot:
		r.Running = map[string]map[string][]Place{}
	case EventRun:
		kind := r.Running[rec.Kind]
		if kind == nil {
			kind = map[string][]Place{}
			r.Running[rec.Kind] = kind
		}
		for _, id := range rec.IDs {
			for _, other := range kind[id] {
				r.Overlaps = append(r.Overlaps, Overlap{rec.Kind, id, other, place, rec.Time})
			}
			kind[id] = append(kind[id], place)
		}
		r.Started[rec.Kind] += len(rec.IDs)
	case EventStop:
		kind := r.Running[rec.Kind]
		for _, id := range rec.IDs {
			left := slices.DeleteFunc(kind[id], func(p Place) bool { return p == place })
			if kind[id] = left; len(left) == 0 {
				delete(kind, id)
			}
		}
	}
}
