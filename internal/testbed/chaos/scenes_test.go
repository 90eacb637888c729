//go:build chaos

package chaos

import (
	"testing"
)

// scene is what went wrong in use without any fault of the product's process: begin brings it
// about, do is work that passes a point, at which a fault comes too, and end requires what must
// be so after both, and ends what begin brought about.
type scene struct {
	work           string
	points         []string
	begin, do, end func(l *lane, w *wires)
}

// stage is a lane on which scenes are played in turns.
type stage struct {
	name    string
	options func(t *testing.T, w *wires) laneOptions
	scenes  []scene
	faults  []crossed
}

// survivable are the faults in which the product, or its way to ZooKeeper, is away for a while:
// nothing is edited by hand.
var survivable = crosses[:10]

var stages = []stage{
	{"orphans", noOptions, []scene{orphanedWork, orphanedStart, letGo}, survivable},
	{"mute instances", noOptions, []scene{upBesideMute, downOverMute}, survivable},
	{"posts", noOptions, []scene{posting}, append([]crossed{longAway}, survivable...)},
	{"late catalogue", lateCatalogue, []scene{upLate, downLate}, survivable},
}

func noOptions(*testing.T, *wires) laneOptions { return laneOptions{} }

// cases are as few as meet each point of each scene, and each fault, at least once.
func (s *stage) cases() (all []pair) {
	rounds := (len(s.faults) + len(s.scenes) - 1) / len(s.scenes)
	for _, c := range s.scenes {
		rounds = max(rounds, len(c.points))
	}
	for round := range rounds {
		for i := range s.scenes {
			c := &s.scenes[i]
			point, f := c.points[round%len(c.points)], s.faults[(round*len(s.scenes)+i)%len(s.faults)]
			if f.at != nil && !f.at(infoOf(point)) {
				f = crosses[0]
			}
			all = append(all, pair{killed: killed{work: c.work, point: point}, crossed: f, scene: c})
		}
	}
	return all
}

// atRest is a begin that makes the lane as large as a scene needs it: with batch resources more
// than it began with, or without.
func (l *lane) atRest(large bool) {
	l.t.Helper()
	switch is := len(l.ids) >= least+batch; {
	case large && !is:
		l.up()
		l.settled()
	case !large && is:
		l.down()
		l.settled()
	}
}
