package dacsim

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"
)

// beater sends heartbeats for all instances over one producer.
type beater struct {
	out   *kafka.Writer // nil: nobody beats
	every time.Duration
	log   *slog.Logger
}

// beat is the message as the platform's producer writes it.
type beat struct {
	Resource   string `json:"resource"`
	InstanceID string `json:"instanceId"`
	Timestamp  string `json:"timestamp"` // unix seconds
}

func newBeater(cfg Config, log *slog.Logger) *beater {
	b := &beater{every: cfg.Beat, log: log}
	if len(cfg.Kafka) > 0 {
		b.out = &kafka.Writer{
			Addr:         kafka.TCP(cfg.Kafka...),
			Topic:        cfg.Topic,
			BatchTimeout: 10 * time.Millisecond,
			RequiredAcks: kafka.RequireOne,
			MaxAttempts:  3,
		}
	}
	return b
}

// run sends one beat at once and then one each period. A beat that cannot be sent within its period is lost, as the
// producer of the platform loses it: an old one sent late would say nothing new.
func (b *beater) run(ctx context.Context, in *instance) {
	if b.out == nil {
		return
	}
	tick := time.NewTicker(b.every)
	defer tick.Stop()
	for {
		if !in.hung.Load() && !in.muted.Load() {
			b.send(ctx, in)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (b *beater) send(ctx context.Context, in *instance) {
	ctx, cancel := context.WithTimeout(ctx, max(b.every, time.Second))
	defer cancel()
	raw, err := json.Marshal(beat{
		Resource:   in.kind.Name,
		InstanceID: strconv.Itoa(in.ordinal),
		Timestamp:  strconv.FormatInt(time.Now().Unix(), 10),
	})
	if err == nil {
		err = b.out.WriteMessages(ctx, kafka.Message{Value: raw})
	}
	if err != nil && ctx.Err() == nil {
		b.log.Debug("beat lost", "kind", in.kind.Name, "instance", in.ordinal, "error", err)
	}
}

func (b *beater) close() error {
	if b.out == nil {
		return nil
	}
	if err := b.out.Close(); err != nil {
		return fmt.Errorf("close Kafka producer: %w", err)
	}
	return nil
}
