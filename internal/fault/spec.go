package fault

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Action is what happens at a point.
type Action string

// The actions.
const (
	Kill  Action = "kill"
	Stop  Action = "stop"
	Panic Action = "panic"
	Sleep Action = "sleep"
	Error Action = "error"
)

// Fault is one thing that is to happen.
type Fault struct {
	Point  string
	Action Action
	// For is how long a Sleep takes.
	For time.Duration
	// Nth is which passing of the point is meant, from 1.
	Nth int
}

func (f Fault) String() string {
	action := string(f.Action)
	if f.Action == Sleep {
		action += ":" + f.For.String()
	}
	return fmt.Sprintf("%s=%s@%d", f.Point, action, f.Nth)
}

// Parse reads `point=action@n,…`; an empty text has no faults.
func Parse(text string) ([]Fault, error) {
	var faults []Fault
	for _, part := range strings.Split(strings.TrimSpace(text), ",") {
		if part == "" {
			continue
		}
		f, err := parseOne(part)
		if err != nil {
			return nil, fmt.Errorf("%s %q: %w", SpecVar, part, err)
		}
		faults = append(faults, f)
	}
	return faults, nil
}

func parseOne(text string) (f Fault, err error) {
	point, rest, found := strings.Cut(text, "=")
	if !found {
		return f, fmt.Errorf("want point=action@n")
	}
	i := slices.IndexFunc(Points, func(p Info) bool { return p.Name == point })
	if i < 0 {
		return f, fmt.Errorf("point %q: there is none of that name", point)
	}
	action, nth, counted := strings.Cut(rest, "@")
	f = Fault{Point: point, Nth: 1}
	if counted {
		if f.Nth, err = strconv.Atoi(nth); err != nil || f.Nth < 1 {
			return f, fmt.Errorf("n %q: want a number from 1", nth)
		}
	}
	action, span, timed := strings.Cut(action, ":")
	f.Action = Action(action)
	if timed {
		if f.For, err = time.ParseDuration(span); err != nil || f.For <= 0 {
			return f, fmt.Errorf("pause %q: want a time greater than 0 such as 2s", span)
		}
	}
	switch {
	case !slices.Contains([]Action{Kill, Stop, Panic, Sleep, Error}, f.Action):
		return f, fmt.Errorf("action %q: want kill, stop, panic, sleep or error", action)
	case timed != (f.Action == Sleep):
		return f, fmt.Errorf("action %q: a pause has a time, and nothing else has", action)
	case f.Action == Error && !Points[i].Fails:
		return f, fmt.Errorf("action %q: point %s cannot fail", action, point)
	}
	return f, nil
}
