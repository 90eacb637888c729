package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"
	"k8s.io/client-go/rest"
	customv1beta2 "k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"

	"github.com/shardscaler/shardscaler/internal/testbed/httpcall"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
)

const (
	freshInstances = 10
	freshSamples   = 200
	// freshPause is between two changes: one pod's beats are then a second apart and cannot be
	// taken for each other.
	freshPause = 100 * time.Millisecond
)

func measureFresh(ctx context.Context, w *world) (map[string]float64, error) {
	probe, err := w.newProbe(ctx)
	if err != nil {
		return nil, err
	}
	defer probe.client.CloseIdleConnections()
	beats, err := probe.beats(ctx)
	if err != nil {
		return nil, fmt.Errorf("follow heartbeats: %w", err)
	}
	measured := map[string]float64{}
	quantiles(measured, "beat", beats)
	creates, err := probe.creates(ctx)
	if err != nil {
		return measured, fmt.Errorf("follow creates: %w", err)
	}
	quantiles(measured, "create", creates)
	return measured, nil
}

// probe reads single values from the replica's own port.
type probe struct {
	w      *world
	client *http.Client
	base   string
}

func (w *world) newProbe(ctx context.Context) (*probe, error) {
	cfg, err := w.DirectConfig(ctx, w.Servers[0])
	if err != nil {
		return nil, err
	}
	client, err := rest.HTTPClientFor(cfg)
	return &probe{w: w, client: client, base: cfg.Host + "/apis/custom.metrics.k8s.io/v1beta2/namespaces/" + w.Namespace + "/"}, err
}

// value reads one metric of one object, and says when the answer had come.
func (p *probe) value(ctx context.Context, metric string) (v float64, at time.Time, err error) {
	body, err := httpcall.Do(ctx, p.client, http.MethodGet, p.base+metric, "", nil)
	at = time.Now()
	if err != nil {
		return 0, at, fmt.Errorf("read %s: %w", metric, err)
	}
	var list customv1beta2.MetricValueList
	if err := json.Unmarshal(body, &list); err != nil {
		return 0, at, err
	}
	if len(list.Items) != 1 {
		return 0, at, fmt.Errorf("read %s: %.200s", metric, body)
	}
	return list.Items[0].Value.AsApproximateFloat64(), at, nil
}

// changed returns how long after began, in ms, the metric first had a value that news accepts.
func (p *probe) changed(ctx context.Context, began time.Time, metric string, news func(v float64, at time.Time) bool) (float64, error) {
	const patience = 30 * time.Second
	for {
		v, at, err := p.value(ctx, metric)
		var refused *httpcall.StatusError
		unknown := errors.As(err, &refused) && refused.Code == http.StatusNotFound
		switch {
		case err != nil && (!unknown || at.Sub(began) > patience):
			return 0, err
		case err == nil && news(v, at):
			return at.Sub(began).Seconds() * 1e3, nil
		case at.Sub(began) > patience:
			return 0, fmt.Errorf("%s is still %v", metric, v)
		}
		if err := pause(ctx, 2*time.Millisecond); err != nil {
			return 0, err
		}
	}
}

// beats lets one pod after the other beat. A lag, read at a time, tells when the beat was that it
// counts from.
func (p *probe) beats(ctx context.Context) (took []float64, err error) {
	out := &kafka.Writer{
		Addr: kafka.TCP(p.w.Kafka.Addr), Topic: p.w.BeatTopic, BatchTimeout: time.Millisecond, RequiredAcks: kafka.RequireOne,
	}
	defer out.Close()
	for i := range freshInstances + freshSamples {
		ordinal := i % freshInstances
		began := time.Now()
		value := fmt.Sprintf(`{"resource":%q,"instanceId":"%d","timestamp":"%.3f"}`, thing, ordinal, float64(began.UnixMilli())/1e3)
		if err := out.WriteMessages(ctx, kafka.Message{Value: []byte(value)}); err != nil {
			return nil, err
		}
		ms, err := p.changed(ctx, began, "pods/"+thingSet+"-"+strconv.Itoa(ordinal)+"/heartbeat_lag_seconds", func(v float64, at time.Time) bool {
			beat := at.Add(-time.Duration(v * float64(time.Second)))
			return beat.Sub(began) > -freshPause/2
		})
		if err != nil {
			return nil, err
		}
		if i >= freshInstances { // the first beat of each is waited for until Kafka has been read
			took = append(took, ms)
		}
		if err := pause(ctx, freshPause); err != nil {
			return nil, err
		}
	}
	return took, nil
}

// creates lets Things come one by one.
func (p *probe) creates(ctx context.Context) (took []float64, err error) {
	for i, id := range product.IDs(freshSamples, 7) {
		if err := p.w.Platform.Insert(ctx, thing, id); err != nil {
			return nil, err
		}
		began := time.Now()
		if err := p.w.Platform.Publish(ctx, product.Created(thing, id)); err != nil {
			return nil, err
		}
		ms, err := p.changed(ctx, began, "statefulsets.apps/"+thingSet+"/resources", func(v float64, _ time.Time) bool { return int(v) > i })
		if err != nil {
			return nil, err
		}
		took = append(took, ms)
		if err := pause(ctx, freshPause); err != nil {
			return nil, err
		}
	}
	return took, nil
}
