// Package pinstest draws rows and pins for tests, and says by plain means what the pins allow.
package pinstest

import (
	"fmt"
	"slices"

	"pgregory.net/rapid"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/pins"
)

var sites = []string{"", "lyon", "metz", "nice"}

// Row is a catalogue's row; site is a label.
func Row(id string, weight float64, site string) observed.ResourceKnown {
	r := observed.ResourceKnown{ID: id, Weight: weight}
	if site != "" {
		r.Labels = map[string]string{"site": site}
	}
	return r
}

// Selecting pins what has that site.
func Selecting(name, site string, ordinals ...int) pins.Rule {
	labels := map[string]string{"site": site}
	return pins.Rule{Name: name, Selector: &pins.Selector{MatchLabels: labels}, Ordinals: ordinals}
}

// DrawRow draws a weight and a site.
func DrawRow(rt *rapid.T, id string) observed.ResourceKnown {
	weight := rapid.SampledFrom([]float64{0, 1, 1, 2, 0.5, 7.25, 90}).Draw(rt, "weight")
	return Row(id, weight, rapid.SampledFrom(sites).Draw(rt, "site"))
}

// DrawPins draws pins that may contradict each other, of id-00 to id-40, to ordinals up to that.
func DrawPins(rt *rapid.T, ordinals int) (drawn []pins.Rule) {
	for i := range rapid.IntRange(0, 3).Draw(rt, "pins") {
		p := pins.Rule{
			Name:     fmt.Sprint("pin", i),
			Ordinals: rapid.SliceOfNDistinct(rapid.IntRange(0, ordinals), 1, 3, rapid.ID).Draw(rt, "ordinals"),
		}
		if rapid.Bool().Draw(rt, "labels") {
			p.Selector = Selecting("", rapid.SampledFrom(sites[1:]).Draw(rt, "site")).Selector
		} else {
			for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(0, 40), 1, 5, rapid.ID).Draw(rt, "ids") {
				p.IDs = append(p.IDs, fmt.Sprintf("id-%02d", n))
			}
		}
		drawn = append(drawn, p)
	}
	return drawn
}

// Matches says whether a pin binds the row.
func Matches(p pins.Rule, r observed.ResourceKnown) bool {
	return slices.Contains(p.IDs, r.ID) ||
		p.Selector != nil && p.Selector.MatchLabels["site"] == r.Labels["site"]
}

// Permitted is the plain meaning of pins: the ordinals of all that match, or all.
func Permitted(rules []pins.Rule, r observed.ResourceKnown) func(ordinal int) bool {
	return func(ordinal int) bool {
		return !slices.ContainsFunc(rules, func(p pins.Rule) bool {
			return Matches(p, r) && !slices.Contains(p.Ordinals, ordinal)
		})
	}
}
