package scaler

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// AssumedDeadName is the name under which the engine keeps which pods are assumed dead.
const AssumedDeadName = "assumed-dead"

// assumedDeadKept is how many such words are kept, in at most so many bytes; they are the record of
// who said what, too.
const assumedDeadKept, assumedDeadBytes = 100, 200 << 10

// longestName is the most bytes of a name: Kubernetes' own have no more than 253, those of users
// may.
const longestName = 300

// AssumedDead is a person's word that a pod runs nothing any more. It holds for this pod, by uid,
// until the pod is Ready again.
type AssumedDead struct {
	Ordinal int       `json:"ordinal"`
	Pod     string    `json:"pod"`
	UID     string    `json:"uid"`
	Node    string    `json:"node,omitempty"`
	By      string    `json:"by"`
	At      time.Time `json:"at,omitzero"`
}

type assumedDeadDoc struct {
	Entries []AssumedDead `json:"entries"`
}

// AssumeDead adds a word to the kept document, which may be empty, and returns the new one. The
// newest word about a pod counts.
func AssumeDead(doc []byte, word AssumedDead) ([]byte, error) {
	entries, err := parseAssumedDead(doc)
	if err != nil {
		return nil, err
	}
	entries = slices.DeleteFunc(entries, func(old AssumedDead) bool { return old.UID == word.UID })
	for _, name := range []*string{&word.Pod, &word.UID, &word.Node, &word.By} {
		*name = clip(*name, longestName)
	}
	entries = append(entries, word)
	entries = tail(entries[max(0, len(entries)-assumedDeadKept):], assumedDeadBytes)
	return json.Marshal(assumedDeadDoc{entries})
}

func parseAssumedDead(doc []byte) ([]AssumedDead, error) {
	if len(doc) == 0 {
		return nil, nil
	}
	var d assumedDeadDoc
	if err := exact.JSON(doc, &d); err != nil {
		return nil, fmt.Errorf("read who is assumed dead: %w", err)
	}
	return d.Entries, nil
}

// Alive says what shows that an instance lives; "" if nothing does, and a person's word that its
// pod runs nothing may be taken.
func Alive(k *observed.Kind, cfg config.Kind, inst *observed.Instance, now time.Time) string {
	if inst.Pod.Ready {
		return "its pod is Ready"
	}
	if inst.SessionLives() {
		return "its ZooKeeper session is alive"
	}
	if cfg.Heartbeat != nil {
		if lag, err := observed.Lag(k, cfg, inst, now); err == nil && lag < cfg.Heartbeat.StaleAfter.Std() {
			return fmt.Sprintf("it sent a heartbeat %s ago", config.Duration(lag))
		}
	}
	return ""
}

// assumedDead are the words that hold now, by uid of the pod.
func (s *Scaler) assumedDead(k *observed.Kind) map[string]AssumedDead {
	doc, _ := s.engine.Kept(AssumedDeadName)
	entries, err := parseAssumedDead(doc)
	if err != nil {
		s.log.Error("which pods are assumed dead cannot be read, and none is", "error", err)
	}
	dead := map[string]AssumedDead{}
	for _, e := range entries {
		dead[e.UID] = e
	}
	for _, i := range k.Instances {
		if i.Pod != nil && i.Pod.Ready {
			delete(dead, i.Pod.UID)
		}
	}
	return dead
}

// orderLost puts into the orders which instances cannot be reached or do not work, and notes what
// becomes of each.
func orderLost(d *decide.Decision, a *answers, o *orders.Orders) outcome.Notes {
	notes := outcome.Notes{Lost: map[int]outcome.Note{}, Verdicts: map[int]string{}}
	o.AssumedDead = map[string]bool{}
	for uid := range a.dead {
		o.AssumedDead[uid] = true
	}
	for _, l := range d.Lost {
		if l.Leaves {
			o.Reassign = append(o.Reassign, l.Ordinal)
		}
		var note outcome.Note
		if word, said := a.dead[l.UID]; said {
			note.AssumedDead = word.By
			note.Text = fmt.Sprintf("; assumed dead by %s at %s: its resources are reassigned", word.By, decide.Stamp(word.At))
		} else if l.Leaves {
			note.Unproven = a.unproven[l.Ordinal]
			note.Text = "; " + fate(d.Kind, l.Ordinal, note.Unproven)
		}
		notes.Lost[l.Ordinal] = note
	}
	for _, v := range d.Health.Verdicts {
		if v.Reassign && !slices.Contains(o.Reassign, v.Ordinal) {
			o.Reassign = append(o.Reassign, v.Ordinal)
			notes.Verdicts[v.Ordinal] = "; " + fate(d.Kind, v.Ordinal, a.unproven[v.Ordinal])
		}
	}
	slices.Sort(o.Reassign)
	return notes
}

// fate says what becomes of what an instance owns that is to leave without being asked.
func fate(kind string, ordinal int, unproven string) string {
	if unproven == "" {
		return "its resources are reassigned as far as their release is proven"
	}
	return fmt.Sprintf("not reassigned: %s; if nothing of its pod runs any more: %s", unproven, orders.ReassignCommand(kind, ordinal))
}
