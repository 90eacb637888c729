package plan

import (
	"cmp"
	"maps"
	"slices"

	"github.com/shardscaler/shardscaler/rebalancer/plan"
)

// greedy plans as Cadence's shard distributor does by its documentation: while an executor is over
// the upper band, the hottest one gives the coldest one under the lower band the shard that lowers
// the sum of squares most, found by looking at all of its shards; a shard moves once. The releases
// of its module that can be fetched have no such planner yet, so this is written after the
// description. Its state is keyed by names, as there.
func greedy(w *plan.World, o plan.Options) planner {
	g := &greedyState{}
	return planner{name: "greedy, as Cadence's", prepare: func() { g.load(w) }, plan: func() answer {
		moves := g.plan(o.Leave, 2-o.Leave)
		return func() (int, float64) { return moves, relativeSpread(slices.Collect(maps.Values(g.loads))) }
	}}
}

type greedyState struct {
	shards map[string][]string
	weight map[string]float64
	loads  map[string]float64
	moved  map[string]bool
}

func (g *greedyState) load(w *plan.World) {
	if g.weight == nil {
		g.weight = map[string]float64{}
	}
	g.shards, g.moved = map[string][]string{}, map[string]bool{}
	for i, in := range w.Instances {
		g.shards[memberID(i)] = in.IDs.Strings()
		for j, id := range in.IDs.All() {
			g.weight[id] = float64(in.Weights[j]) / 1000
		}
	}
}

func (g *greedyState) plan(upper, lower float64) (moves int) {
	g.loads = map[string]float64{}
	total := 0.0
	for name, shards := range g.shards {
		for _, s := range shards {
			g.loads[name] += g.weight[s]
		}
		total += g.loads[name]
	}
	mean := total / float64(len(g.loads))
	for g.next(mean*upper, mean*lower) {
		moves++
	}
	return moves
}

func (g *greedyState) next(upper, lower float64) bool {
	var sources []string
	coldest := ""
	for name, load := range g.loads {
		switch {
		case load > upper:
			sources = append(sources, name)
		case load < lower && (coldest == "" || load < g.loads[coldest]):
			coldest = name
		}
	}
	if coldest == "" {
		return false
	}
	slices.SortFunc(sources, func(a, b string) int { return cmp.Compare(g.loads[b], g.loads[a]) })
	for _, source := range sources {
		if i := g.best(source, coldest); i >= 0 {
			g.send(source, coldest, i)
			return true
		}
	}
	return false
}

func (g *greedyState) best(source, target string) int {
	best, gain, gap := -1, 0.0, g.loads[source]-g.loads[target]
	for i, s := range g.shards[source] {
		if g.moved[s] {
			continue
		}
		if weight := g.weight[s]; 2*weight*(gap-weight) > gain {
			best, gain = i, 2*weight*(gap-weight)
		}
	}
	return best
}

func (g *greedyState) send(source, target string, i int) {
	from := g.shards[source]
	s := from[i]
	from[i] = from[len(from)-1]
	g.shards[source] = from[:len(from)-1]
	g.shards[target] = append(g.shards[target], s)
	g.moved[s] = true
	g.loads[source] -= g.weight[s]
	g.loads[target] += g.weight[s]
}
