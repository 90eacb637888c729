package delta

import (
	"time"

	"github.com/shardscaler/shardscaler/internal/ops"
)

// Dated is what of a kind changes by time alone, or differs from replica to replica: it is sent
// beside the documents, and no event id depends on it.
type Dated struct {
	Sources  map[string]time.Time `json:"sources,omitempty" doc:"when each input was last read completely; one that never was is not named"`
	WorstLag *ops.WorstLag        `json:"worstLag,omitempty"`
	// PerMinute and EstimatedEnd are of the kind's progress.
	PerMinute    float64    `json:"perMinute,omitempty"`
	EstimatedEnd *time.Time `json:"estimatedEnd,omitempty"`
}

// DatedOf is what Version leaves out of a kind.
func DatedOf(k *ops.Kind) Dated {
	d := Dated{WorstLag: k.WorstLag, PerMinute: k.Progress.PerMinute, EstimatedEnd: k.Progress.EstimatedEnd}
	for _, s := range k.Sources {
		if s.At.IsZero() {
			continue
		}
		if d.Sources == nil {
			d.Sources = map[string]time.Time{}
		}
		d.Sources[s.Name] = s.At.UTC().Truncate(time.Second)
	}
	return d
}

// timeless is the kind without what Dated has, and without ages.
func timeless(k ops.Kind) ops.Kind {
	k = k.Undated()
	k.WorstLag = nil
	return k
}

// restore puts back into a kind what Version left out, for the moment now.
func (d *Dated) restore(k *ops.Kind, now time.Time) {
	k.At, k.WorstLag = now, d.WorstLag
	k.Progress.PerMinute, k.Progress.EstimatedEnd = d.PerMinute, d.EstimatedEnd
	for i := range k.Sources {
		s := &k.Sources[i]
		if s.At = d.Sources[s.Name]; !s.At.IsZero() {
			s.Age = age(now, s.At)
		}
	}
}
