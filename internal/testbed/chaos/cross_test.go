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
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// timeVar bounds how long cases are begun; without it all of them are. onlyVar is a regular
// expression: only cases whose text matches are met.
const (
	timeVar = "CHAOS_TIME"
	onlyVar = "CHAOS_ONLY"
)

// pair is one case of the cross product.
type pair struct {
	killed
	crossed
	scene *scene // nil: the work alone
}

func (c *pair) String() string { return c.where() + ": " + c.name }

// where is the point at which it comes, with the work that passes it.
func (c *pair) where() string { return c.work + " at " + c.point }

// shrinks says that a lane which has just begun has nothing for it to take away.
func (c *pair) shrinks() bool { return strings.HasPrefix(c.work, "down") }

// track is what one lane meets, one case after the other.
type track struct {
	name    string
	servers *servers.ZooKeeper
	// options are what its product is started with.
	options func(t *testing.T, w *wires) laneOptions
	cases   []pair
}

// crossing counts what all lanes did.
type crossing struct {
	env   *servers.Env
	began time.Time
	until time.Time      // no case begins after it
	only  *regexp.Regexp // nil: all cases

	mu                    sync.Mutex
	cases, fired, settled int
	faults, points        map[string]int
	// met is how long it took until each of them had come once.
	met time.Duration
}

// TestCross meets the points of up and down with every fault, and each scene with several. The
// order is such that a run that is cut short has met every fault and every point: the first round
// gives each point one fault, the next each of them another.
func TestCross(t *testing.T) {
	x := &crossing{env: servers.Require(t, servers.AllParts...), faults: map[string]int{}, points: map[string]int{}}
	x.limit(t)
	tracks := x.tracks(t)
	total := 0
	var all sync.WaitGroup
	for _, k := range tracks {
		for _, c := range k.cases {
			if c.point != "" { // the others are work without a fault
				total++
			}
		}
		all.Go(func() { x.lives(t, k) })
	}
	all.Wait()
	counted.add("cross product of points and faults: %d of %d cases, %d faults fired, %d settled", x.cases, total, x.fired, x.settled)
	for _, name := range slices.Sorted(maps.Keys(x.faults)) {
		counted.add("  %4d × %s", x.faults[name], name)
	}
	counted.add("  %d faults and %d points, each met once after %s", len(x.faults), len(x.points), x.met.Round(time.Second))
	t.Logf("%d of %d cases, %d fired, %d settled; faults %v, points %v", x.cases, total, x.fired, x.settled, x.faults, x.points)
	require.Positive(t, x.cases)
	require.Equal(t, x.cases, x.fired)
	require.Equal(t, x.cases, x.settled)
	for _, k := range tracks {
		for _, c := range k.cases {
			if c.point != "" {
				require.Positive(t, x.faults[c.name], c.name)
				require.Positive(t, x.points[c.where()], "%s was met with nothing", c.where())
			}
		}
	}
}

// limit reads what of all cases is wanted.
func (x *crossing) limit(t *testing.T) {
	x.began = time.Now()
	x.until = x.began.Add(24 * time.Hour)
	if text := os.Getenv(timeVar); text != "" {
		span, err := time.ParseDuration(text)
		require.NoError(t, err, timeVar)
		x.until = x.began.Add(span)
	}
	if text := os.Getenv(onlyVar); text != "" {
		only, err := regexp.Compile(text)
		require.NoError(t, err, onlyVar)
		x.only = only
	}
}

// tracks are all lanes that have anything to meet.
func (x *crossing) tracks(t *testing.T) (all []track) {
	plain := func(*testing.T, *wires) laneOptions { return laneOptions{} }
	ups, downs := casesOf("up", upPoints, (*lane).up), casesOf("down", downPoints, (*lane).down)
	shared := x.env.NewZooKeeper(t, 3)
	add := func(name string, z *servers.ZooKeeper, options func(*testing.T, *wires) laneOptions, cases []pair) {
		if slices.ContainsFunc(cases, func(c pair) bool { return c.point != "" }) {
			all = append(all, track{name, z, options, cases})
		}
	}
	for i := range lanes {
		add(fmt.Sprintf("lane %d", i), shared, plain,
			alternate(x.wanted(pairs(share(ups, i), crosses, i)), x.wanted(pairs(share(downs, i), crosses, i+len(crosses)/2))))
	}
	for _, s := range stages {
		add(s.name, shared, s.options, x.wanted(s.cases()))
	}
	ensemble := alternate(x.wanted(pairs(ups, ensembleCrosses, 0)), x.wanted(pairs(downs, ensembleCrosses, 1)))
	if len(ensemble) > 0 {
		add("ensemble", x.env.NewZooKeeper(t, 3), plain, ensemble)
	}
	return all
}

// wanted are the cases that CHAOS_ONLY matches.
func (x *crossing) wanted(cases []pair) []pair {
	return slices.DeleteFunc(cases, func(c pair) bool { return x.only != nil && !x.only.MatchString(c.String()) })
}

// pairs are all that can happen, a round of one fault a point after the other; from is the fault of
// the first.
func pairs(cases []killed, faults []crossed, from int) (all []pair) {
	for round := range faults {
		for i, c := range cases {
			f := faults[(from+i+round)%len(faults)]
			if f.at == nil || f.at(infoOf(c.point)) {
				all = append(all, pair{killed: c, crossed: f})
			}
		}
	}
	return all
}

// alternate keeps a lane small; where one sort of work has no case left, it is done without a
// fault.
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

// lives works off the cases of one lane. One that fails is a failure of the test, and the next ones
// begin with another product.
func (x *crossing) lives(t *testing.T, k track) {
	cases := k.cases
	for life := 0; len(cases) > 0 && life < mostLives && time.Now().Before(x.until); life++ {
		t.Run(fmt.Sprintf("%s life %d", k.name, life), func(t *testing.T) {
			w := wire(t, k.servers)
			l := startLane(t, x.env, k.servers, k.options(t, w).with(w.through))
			for ; len(cases) > 0 && (time.Now().Before(x.until) || cases[0].shrinks()); cases = cases[1:] {
				c := cases[0]
				if c.point == "" {
					c.do(l)
					l.settled()
					continue
				}
				x.begins(c)
				x.ends(l.cross(c, w))
			}
			w.posts.judge(l)
			l.clean()
		})
		if len(cases) > 0 {
			cases = cases[1:] // it may be the one that failed
		}
		if len(cases) > 0 && cases[0].shrinks() {
			cases = cases[1:] // a life begins small, with nothing to take away
		}
	}
}

// with adds a change that comes after those there are.
func (o laneOptions) with(change func(*product.Options)) laneOptions {
	first := o.change
	o.change = func(s *product.Options) {
		if first != nil {
			first(s)
		}
		change(s)
	}
	return o
}

func (x *crossing) begins(c pair) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.cases++
	x.faults[c.name]++
	x.points[c.where()]++
	if x.faults[c.name] == 1 || x.points[c.where()] == 1 {
		x.met = time.Since(x.began)
	}
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
	l.t.Log(c.String())
	if s := c.scene; s != nil {
		s.begin(l, w)
		c.do = func(l *lane) { s.do(l, w) }
	}
	before := l.told("fired", c.point)
	begun := 0.0
	if c.action == "panic" && !strings.HasPrefix(c.work, "start") {
		// another process has begun none
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
	if c.scene != nil {
		c.scene.end(l, w)
	}
	l.settled()
	l.t.Logf("%s: settled after %s", c.String(), time.Since(began).Round(10*time.Millisecond))
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
