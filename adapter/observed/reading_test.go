package observed

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/shardscaler/shardscaler/internal/config"
)

// TestReadings plays the stories in testdata/readings.txt. Commands, times in seconds since the
// epoch of the story:
//
//	new [heartbeat=no] [grace=S]            nothing known, pod 0 expected
//	pod at=S start=S|never [uid=U] [ready]  the cluster shows pod 0
//	no-pod at=S
//	beat stamp=S arrived=S
//	read|failed source=NAME at=S
//	list at=S count=N [error=TEXT]          ZooKeeper shows list 0; count absent: no list
//	    [times=T] [applied=T] [uid=U]       and its `_reload`, what the instance acknowledged, and
//	                                        as which pod; absent: no status
//	acknowledged                            the kind's instances acknowledge
//	lag|applied|resources|kind now=S        what is answered
func TestReadings(t *testing.T) {
	var state *State
	var kind config.Kind
	datadriven.RunTest(t, "testdata/readings.txt", func(t *testing.T, d *datadriven.TestData) string {
		switch d.Cmd {
		case "new":
			kind = things()[0]
			if s := arg(d, "grace"); s != "" {
				kind.Heartbeat.StartupGrace = config.Duration(time.Duration(number(t, s)) * time.Second)
			}
			if d.HasArg("heartbeat") {
				kind.Heartbeat = nil
			}
			state = New("iota", []config.Kind{kind})
			return ""
		case "acknowledged":
			kind.HandOff = config.HandOffAcknowledged
			return ""
		case "lag", "applied", "resources", "kind":
			return answer(d.Cmd, state, kind, at(number(t, arg(d, "now"))))
		}
		state.Apply(signalOf(t, d))
		return ""
	})
}

func signalOf(t *testing.T, d *datadriven.TestData) Signal {
	seconds := func(key string) time.Time { return at(number(t, arg(d, key))) }
	switch d.Cmd {
	case "pod":
		p := Pod{Name: "iota-dac-0", UID: arg(d, "uid"), Ready: d.HasArg("ready")}
		if arg(d, "start") != "never" {
			p.Started = seconds("start")
		}
		return Cluster{Kind: "Thing", At: seconds("at"), Pods: map[int]Pod{0: p}}
	case "no-pod":
		return Cluster{Kind: "Thing", At: seconds("at")}
	case "beat":
		return Beat{Kind: "Thing", At: seconds("stamp"), Arrived: seconds("arrived")}
	case "read":
		return Read{Kind: "Thing", Source: SourceName(arg(d, "source")), At: seconds("at")}
	case "failed":
		return Failed{Kind: "Thing", Source: SourceName(arg(d, "source")), At: seconds("at"), Err: errors.New("connection refused")}
	case "list":
		a := Assignment{Kind: "Thing", At: seconds("at"), InFlight: 2, Unassigned: 5}
		if d.HasArg("count") {
			a.Assigned = number(t, arg(d, "count"))
			a.Lists = map[int]List{0: listOf(t, d, a)}
		}
		return a
	}
	t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
	return nil
}

func listOf(t *testing.T, d *datadriven.TestData, a Assignment) List {
	l := List{Count: a.Assigned, Error: arg(d, "error"), Changed: a.At}
	if d.HasArg("times") {
		l.Times = int64(number(t, arg(d, "times")))
	}
	if d.HasArg("applied") {
		l.Status = &Status{Times: int64(number(t, arg(d, "applied"))), PodUID: arg(d, "uid")}
	}
	return l
}

func answer(cmd string, state *State, cfg config.Kind, now time.Time) string {
	snap := state.Snapshot(now)
	k := snap.Kind("Thing")
	switch cmd {
	case "lag":
		return said(Lag(k, cfg, k.Instance(0), now))
	case "applied":
		return said(AssignmentLag(k, cfg, k.Instance(0), now))
	case "resources":
		return said(ResourcesPerInstance(k, k.Instance(0), now))
	}
	var b strings.Builder
	b.WriteString("resources " + said(Resources(k, now)))
	b.WriteString("unassigned " + said(Unassigned(k, now)))
	b.WriteString("in flight " + said(InFlight(k, now)))
	return b.String()
}

func said[T any](v T, err error) string {
	for _, class := range []error{ErrNoHeartbeat, ErrNoAcknowledgement, ErrUnknown, ErrTooOld} {
		if errors.Is(err, class) {
			return fmt.Sprintf("[%s] %s\n", class, err)
		}
	}
	if err != nil {
		return fmt.Sprintf("[no class] %s\n", err)
	}
	return fmt.Sprintln(v)
}

func arg(d *datadriven.TestData, key string) string {
	for _, a := range d.CmdArgs {
		if a.Key == key && len(a.Vals) == 1 {
			return a.Vals[0]
		}
	}
	return ""
}

func number(t *testing.T, s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
