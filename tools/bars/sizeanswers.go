package main

import (
	"context"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/client-go/rest"

	"github.com/shardscaler/shardscaler/tools/bars/rounds"
)

const (
	sizeAnswerRounds = 7
	sizeAnswerRate   = 100
)

// answers compares the leader's answers with those of the library with ready-made lists, as
// answersOf does with a state that lives.
func (l *large) answers(ctx context.Context, measured map[string]float64) error {
	f, err := l.b.newField(ctx, l.instances)
	if err != nil {
		return err
	}
	defer f.close()
	floor, err := f.start(ctx, roleFloor)
	if err != nil {
		return err
	}
	ours, err := l.contender(ctx, f)
	if err != nil {
		return err
	}
	costs, err := f.inTurns(ctx, [2]*contender{ours, floor}, sizeAnswerRounds, sizeAnswerRate)
	if err != nil {
		return err
	}
	measured["metrics_p99_over_floor"] = rounds.Ratio(costs[0].p99, costs[1].p99)
	measured["metrics_p99_ms"] = rounds.Median(costs[0].p99)
	return nil
}

// contender is the leader as one of the servers that are compared: the field's reader may read its
// metrics too.
func (l *large) contender(ctx context.Context, f *field) (*contender, error) {
	for _, args := range [][]string{
		{"create", "role", "reader", "-n", l.Namespace, "--verb=get,list", "--resource=*.custom.metrics.k8s.io"},
		{"create", "rolebinding", "reader", "-n", l.Namespace, "--role=reader", "--serviceaccount=" + f.population.Namespace + ":reader"},
	} {
		if _, err := l.b.env.Kubernetes.Run(ctx, args...); err != nil {
			return nil, err
		}
	}
	direct, err := l.DirectConfig(ctx, l.Servers[0])
	if err != nil {
		return nil, err
	}
	reader := rest.CopyConfig(f.reader)
	reader.Host = direct.Host
	reader.TLSClientConfig = rest.TLSClientConfig{CAData: direct.CAData, ServerName: direct.ServerName}
	c := &contender{role: roleOurs, server: l.Servers[0].Server, check: l.checkAnswer}
	if c.client, err = rest.HTTPClientFor(reader); err != nil {
		return nil, err
	}
	c.url = metricURL(reader.Host, l.Namespace)
	_, err = c.get(ctx)
	return c, err
}

// checkAnswer holds an answer against what each instance has when all are full.
func (l *large) checkAnswer(body []byte) error {
	var list struct {
		Items []struct {
			DescribedObject struct{ Name string }
			Value           resource.Quantity
		}
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, item := range list.Items {
		name := item.DescribedObject.Name
		if got := item.Value.Value(); seen[name] || got != int64(l.things/l.instances) {
			return fmt.Errorf("%w: %s has %d, want %d once", errAnswer, name, got, l.things/l.instances)
		}
		seen[name] = true
	}
	if want := (l.instances + 1) / 2; len(seen) != want {
		return fmt.Errorf("%w: %d pods, want %d", errAnswer, len(seen), want)
	}
	return nil
}
