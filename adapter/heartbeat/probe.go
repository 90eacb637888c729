package heartbeat

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/segmentio/kafka-go/protocol"
)

// Seen is what Probe has seen of one broker.
type Seen struct {
	Address string
	// Fetch is the newest version of Kafka's request Fetch that the broker knows: 4 came with 0.11,
	// 11 with 2.3, 17 with 3.9. A broker does not tell its own version.
	Fetch int16
	// Partitions are those of the topics that were asked for; Missing says why a topic has none.
	Partitions map[string]int
	Missing    map[string]error
	Trouble    error // why nothing else is known
}

// Probe looks at each broker of cfg and at topics there, and changes nothing.
func Probe(ctx context.Context, cfg Config, topics []string) []Seen {
	s := &Source{cfg: cfg, patience: patience}
	all := make([]Seen, len(cfg.Brokers))
	var asking sync.WaitGroup
	for i, addr := range cfg.Brokers { // beside each other: one that is silent takes all the time there is
		asking.Go(func() { all[i] = s.probe(ctx, addr, topics) })
	}
	asking.Wait()
	return all
}

func (s *Source) probe(ctx context.Context, addr string, topics []string) Seen {
	seen := Seen{Address: addr, Partitions: map[string]int{}, Missing: map[string]error{}}
	b, err := s.connect(ctx, addr)
	if seen.Trouble = err; err != nil {
		return seen
	}
	for _, v := range b.versions {
		if protocol.ApiKey(v.ApiKey) == protocol.Fetch {
			seen.Fetch = v.MaxVersion
		}
	}
	for _, topic := range topics {
		partitions, err := b.partitions(topic)
		if err != nil {
			seen.Missing[topic] = err
			continue
		}
		seen.Partitions[topic] = len(partitions)
	}
	if seen.Fetch < leastFetch {
		seen.Trouble = fmt.Errorf("it knows the request Fetch up to version %d, and %d is needed: Kafka 0.11 or newer", seen.Fetch, leastFetch)
	}
	seen.Trouble = errors.Join(seen.Trouble, b.Close())
	return seen
}
