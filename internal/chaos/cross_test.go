//go:build chaos

package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/testenv"
)

// timeVar bounds how long cases are begun; without it all of them are.
const timeVar = "CHAOS_TIME"

// pair is one case of the cross product.
type pair struct {
	killed
	crossed
}

// crossing counts what all lanes did.
type crossing struct {
	env   *testenv.Env
	until time.Time // no case begins after it

	mu                    sync.Mutex
	cases, fired, settled int
	faults, points        map[string]int
}

// TestCross meets the points of up and down with every fault. The order is such that a run that is cut short has met every fault and
// every point: the first round gives each point one fault, the next each of them another.
func TestCross(t *testing.T) {
	x := &crossing{env: testenv.Require(t, testenv.AllParts...), faults: map[string]int{}, points: map[string]int{}}
	x.until = time.Now().Add(24 * time.Hour)
	if text := os.Getenv(timeVar); text != "" {
		span, err := time.ParseDuration(text)
		require.NoError(t, err, timeVar)
		x.until = time.Now().Add(span)
	}
	ups, downs := casesOf("up", upPoints, (*lane).up), casesOf("down", downPoints, (*lane).down)
	total := 0
	var all sync.WaitGroup
	run := func(name string, z *testenv.ZooKeeper, cases []pair) {
		for _, c := range cases {
			if c.point != "" { // the others are work without a fault
				total++
			}
		}
		all.Go(func() { x.lives(t, name, z, cases) })
	}
	shared := x.env.NewZooKeeper(t, 3)
	for i := range lanes {
		run(fmt.Sprintf("lane %d", i), shared, alternate(pairs(share(ups, i), crosses, i), pairs(share(downs, i), crosses, i+len(crosses)/2)))
	}
	run("ensemble", x.env.NewZooKeeper(t, 3), alternate(pairs(ups, ensembleCrosses, 0), pairs(downs, ensembleCrosses, 1)))
	all.Wait()
	counted.add("cross product of points and faults: %d of %d cases, %d faults fired, %d settled", x.cases, total, x.fired, x.settled)
	for _, name := range slices.Sorted(maps.Keys(x.faults)) {
		counted.add("  %4d × %s", x.faults[name], name)
	}
	t.Logf("%d of %d cases, %d fired, %d settled; faults %v, points %v", x.cases, total, x.fired, x.settled, x.faults, x.points)
	require.Positive(t, x.cases)
	require.Equal(t, x.cases, x.fired)
	require.Equal(t, x.cases, x.settled)
	for _, c := range slices.Concat(crosses, ensembleCrosses) {
		require.Positive(t, x.faults[c.name], c.name)
	}
	for _, c := range slices.Concat(ups, downs) {
		require.Positive(t, x.points[c.point], "%s was met with nothing", c.point)
	}
}

// pairs are all that can happen, a round of one fault a point after the other; from is the fault of the first.
func pairs(cases []killed, faults []crossed, from int) (all []pair) {
	for round := range faults {
		for i, c := range cases {
			f := faults[(from+i+round)%len(faults)]
			if f.at == nil || f.at(infoOf(c.point)) {
				all = append(all, pair{c, f})
			}
		}
	}
	return all
}

// alternate keeps a lane small; where one sort of work has no case left, it is done without a fault.
func alternate(ups, downs []pair) (all []pair) {
	for i := range max(len(ups), len(downs)) {
		up, down := pair{killed: killed{do: (*lane).up}}, pair{killed: killed{do: (*lane).down}}
		if i < len(ups) {
			up = ups[i]
		}
		if i < len(downs) {
			down = downs[i]
		}
		all = append(all, up, down)
	}
	return all
}

// mostLives bounds how often a lane begins anew after a case that failed.
const mostLives = 20

// lives works off the cases of one lane. One that fails is a failure of the test, and the next ones begin with another product.
func (x *crossing) lives(t *testing.T, name string, z *testenv.ZooKeeper, cases []pair) {
	for life := 0; len(cases) > 0 && life < mostLives && time.Now().Before(x.until); life++ {
		t.Run(fmt.Sprintf("%s, life %d", name, life), func(t *testing.T) {
			w := wire(t, z)
			l := startLane(t, x.env, z, laneOptions{change: w.through})
			for ; len(cases) > 0 && (time.Now().Before(x.until) || cases[0].work == "down"); cases = cases[1:] {
				c := cases[0]
				if c.point == "" {
					c.do(l)
					l.settled()
					continue
				}
				x.begins(c)
				x.ends(l.cross(c, w))
			}
			l.clean()
		})
		if len(cases) > 0 {
			cases = cases[1:] // it may be the one that failed
		}
		if len(cases) > 0 && cases[0].work == "down" {
			cases = cases[1:] // a life begins small, with nothing to take away
		}
	}
}

func (x *crossing) begins(c pair) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.cases++
	x.faults[c.name]++
	x.points[c.point]++
}

func (x *crossing) ends(fired int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.fired += fired
	x.settled++
}

// cross carries out one case and returns how many faults fired.
func (l *lane) cross(c pair, w *wires) int {
	l.t.Helper()
	began := time.Now()
	l.t.Logf("%s at %s: %s", c.work, c.point, c.name)
	before := l.told("fired", c.point)
	begun := 0.0
	if c.action == "panic" {
		begun, _ = l.begunAgain() // a product that does not answer yet has begun none
	}
	l.meet(c.killed, c.action)
	switch {
	case c.beside != nil:
		c.beside(l, w)
	case c.action == "stop":
		time.Sleep(away)
		require.NoError(l.t, l.server().Continue())
	case c.action == "kill":
		l.restart()
	case c.action == "panic":
		l.goOn(begun)
	}
	l.settled()
	l.t.Logf("%s at %s: %s: settled after %s", c.work, c.point, c.name, time.Since(began).Round(10*time.Millisecond))
	return l.told("fired", c.point) - before
}

// goOn waits until a panic is over. One in what works for a kind has ended that kind alone, which
// begins again; any other one has ended the product, which is started again.
func (l *lane) goOn(begun float64) {
	l.t.Helper()
	l.until("the panic is over", func(context.Context) error {
		if !l.server().Running() {
			return l.server().Start()
		}
		again, err := l.begunAgain()
		if err == nil && again == begun {
			err = errors.New("the product has not ended, and no kind has begun again")
		}
		return err
	})
}

var kindRestarts = regexp.MustCompile(`(?m)^shardscaler_kind_restarts_total\{kind="` + thing + `"\} (\S+)$`)

// begunAgain is how often the kind has begun again in the present process.
func (l *lane) begunAgain() (n float64, err error) {
	text, err := l.server().Text(l.t.Context(), "/metrics")
	if m := kindRestarts.FindStringSubmatch(text); err == nil && m != nil {
		n, err = strconv.ParseFloat(m[1], 64)
	}
	return n, err
}

// restart starts the product again after it has ended.
func (l *lane) restart() {
	l.t.Helper()
	l.until("the product has ended", func(context.Context) error {
		if l.server().Running() {
			return errors.New("it runs")
		}
		return nil
	})
	require.NoError(l.t, l.server().Start())
}
