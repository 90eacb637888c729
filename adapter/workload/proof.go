package workload

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/shardscaler/shardscaler/adapter/informer"
	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/wake"
)

// A watch is opened anew from a cache of the API server, which may have lost its store and then
// answers all the same. A list that asks for no version is no older than the request, so the
// StatefulSets are proven by one: of all kinds together, and of their metadata alone. It takes the
// place of opening their watch anew. The pods would be too many to list.

// proven is what came of a proof.
type proven struct {
	at time.Time
	// err is why the API server did not answer, behind are the StatefulSets that the watch shows
	// otherwise.
	err    error
	behind map[string]bool
}

var errWatchLags = errors.New("the watch lags behind the API server")

// prove looks for proof that the watches live every Renew, and at once where a request has failed:
// it finds out a watch that stands still, and a server that has lost its store.
func (s *Source) prove(ctx context.Context, sink func(observed.Signal)) {
	var failed time.Time // when the last proof did; zero: it did not
	for ctx.Err() == nil {
		p := s.proof(ctx)
		silent := informer.Silence("the watches have", s.heard(), informer.Limit(s.cfg.Renew))
		well := p.err == nil && len(p.behind) == 0 && silent == nil
		if ctx.Err() != nil {
			return
		}
		if well && s.pods.Heard().Before(failed) {
			s.pods.Reopen() // else what failed would count until it is heard again
		}
		if failed = (time.Time{}); !well {
			failed = p.at
			s.fail(p, silent, sink)
			wake.Sleep(ctx, informer.Retry)
			continue
		}
		select {
		case <-ctx.Done():
		case <-s.doubt:
		case <-time.After(s.cfg.Renew):
		}
	}
}

// fail tells which kinds are not known, and has the watch that lags opened anew.
func (s *Source) fail(p proven, silent error, sink func(observed.Signal)) {
	if len(p.behind) > 0 {
		s.sets.Reopen()
	}
	for _, k := range *s.kinds.Load() {
		err := p.err
		if err == nil && p.behind[k.StatefulSet] {
			err = errWatchLags
		}
		if err == nil {
			err = silent
		}
		if err != nil {
			s.failures.WithLabelValues("watch").Inc()
			sink(observed.Failed{Kind: k.Name, Source: observed.SourceCluster, At: p.at, Err: err})
		}
	}
}

// settleTime is how long the watch may need to deliver what the API server has just answered.
const settleTime = 2 * time.Second

// proof asks for the versions of all StatefulSets, and the watch for what it has of the kinds'.
func (s *Source) proof(ctx context.Context) proven {
	p := proven{at: time.Now()}
	live, err := s.versions(ctx)
	if err != nil {
		p.err = err
		return p
	}
	kinds := *s.kinds.Load()
	before := map[string]string{}
	for _, k := range kinds {
		before[k.StatefulSet] = s.seen(k.StatefulSet)
	}
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for again := true; again; again = wake.Sleep(ctx, 50*time.Millisecond) {
		if p.behind = s.behind(kinds, live, before); len(p.behind) == 0 {
			s.sets.HearAt(p.at)
			return p
		}
	}
	return p
}

// behind are the StatefulSets that the watch does not show as the API server does. A version that
// has moved since the answer is a watch that lives.
func (s *Source) behind(kinds []config.Kind, live, before map[string]string) map[string]bool {
	behind := map[string]bool{}
	for _, k := range kinds {
		name := k.StatefulSet
		if now := s.seen(name); !s.synced() || now != live[name] && now == before[name] {
			behind[name] = true
		}
	}
	return behind
}

// versions are those of all StatefulSets of the namespace, by name, as the API server has them now.
func (s *Source) versions(ctx context.Context) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, informer.RequestTimeout)
	defer cancel()
	sets := s.clients.Metadata.Resource(appsv1.SchemeGroupVersion.WithResource("statefulsets")).Namespace(s.cfg.Namespace)
	list, err := sets.List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list StatefulSets: %w", err)
	}
	versions := make(map[string]string, len(list.Items))
	for i := range list.Items {
		versions[list.Items[i].Name] = list.Items[i].ResourceVersion
	}
	return versions, nil
}

// seen is the resourceVersion of the StatefulSet as the watch has it; empty: it has none.
func (s *Source) seen(name string) string {
	if set := s.set(name); set != nil {
		return set.ResourceVersion
	}
	return ""
}
