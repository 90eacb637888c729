package metricsapi

import (
	"sync"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/shardscaler/shardscaler/adapter/observed"
)

// selected remembers which pods label selectors pick. HPAs ask with the same few, pods change
// seldom, and holding a selector against ten thousand sets of labels costs most of an answer.
//
// Invariant: what is remembered is used only for the very pods for which it was found. They
// are read only, so the address says which they are; and held here, no other pod can have it.
type selected struct {
	mu    sync.Mutex
	known map[selection]*picks
}

type selection struct{ kind, selector string }

// picks is by position among the kind's instances, as pods are. It does not change once made.
type picks struct {
	pods   []*observed.Pod
	picked []bool
}

// maxSelections bounds what callers can make us remember.
const maxSelections = 32

// of says of each instance of a kind whether it has a pod that the selector picks.
func (s *selected) of(kind *observed.Kind, selector labels.Selector) []bool {
	key := selection{kind.Name, selector.String()}
	s.mu.Lock()
	p := s.known[key]
	s.mu.Unlock()
	if p != nil && p.good(kind) {
		return p.picked
	}
	p = pick(kind, selector)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil || len(s.known) >= maxSelections {
		s.known = map[selection]*picks{}
	}
	s.known[key] = p
	return p.picked
}

func (p *picks) good(kind *observed.Kind) bool {
	if len(p.pods) != len(kind.Instances) {
		return false
	}
	for i := range kind.Instances {
		if p.pods[i] != kind.Instances[i].Pod {
			return false
		}
	}
	return true
}

func pick(kind *observed.Kind, selector labels.Selector) *picks {
	p := &picks{pods: make([]*observed.Pod, len(kind.Instances)), picked: make([]bool, len(kind.Instances))}
	for i := range kind.Instances {
		if pod := kind.Instances[i].Pod; pod != nil {
			p.pods[i], p.picked[i] = pod, selector.Matches(labels.Set(pod.Labels))
		}
	}
	return p
}
