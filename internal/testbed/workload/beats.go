package workload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/shardscaler/shardscaler/internal/wake"
)

// beater sends heartbeats for all instances over one producer, and makes a topic that is missing.
type beater struct {
	out   *kafka.Writer // nil: no instance beats
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
			Transport:    &kafka.Transport{MetadataTTL: time.Second},
		}
	}
	return b
}

// run sends one beat at once and then one each period. A beat that cannot be sent within its period
// is lost, as the producer of the platform loses it: an old one sent late would say nothing new.
func (b *beater) run(ctx context.Context, in *instance) {
	if b.out == nil {
		return
	}
	wait.NonSlidingUntilWithContext(ctx, func(ctx context.Context) {
		if !in.hung.Load() && !in.muted.Load() {
			b.send(ctx, in)
		}
	}, b.every)
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
		err = b.write(ctx, kafka.Message{Value: raw})
	}
	if err != nil && ctx.Err() == nil {
		b.log.Debug("beat lost", "kind", in.kind.Name, "instance", in.ordinal, "error", err)
	}
}

// topicPause is the longest until the producer hears of a topic that another process has made.
const topicPause = 200 * time.Millisecond

// write sends a message. Where the topic is missing it makes one first: the producer has no broker
// make any, whatever the broker's auto.create.topics.enable.
func (b *beater) write(ctx context.Context, m kafka.Message) error {
	for {
		err := b.out.WriteMessages(ctx, m)
		if !errors.Is(err, kafka.UnknownTopicOrPartition) {
			return err
		}
		if err := b.makeTopic(ctx); err != nil {
			return fmt.Errorf("make topic %s: %w", b.out.Topic, err)
		}
		if !wake.Sleep(ctx, topicPause) {
			return err
		}
	}
}

// makeTopic is content with a topic that another instance has just made.
func (b *beater) makeTopic(ctx context.Context) error {
	admin := kafka.Client{Addr: b.out.Addr, Transport: b.out.Transport}
	made, err := admin.CreateTopics(ctx, &kafka.CreateTopicsRequest{
		Topics: []kafka.TopicConfig{{Topic: b.out.Topic, NumPartitions: 1, ReplicationFactor: 1}},
	})
	if err != nil {
		return err
	}
	if err := made.Errors[b.out.Topic]; !errors.Is(err, kafka.TopicAlreadyExists) {
		return err
	}
	return nil
}

func (b *beater) close() error {
	if b.out == nil {
		return nil
	}
	defer b.out.Transport.(*kafka.Transport).CloseIdleConnections()
	if err := b.out.Close(); err != nil {
		return fmt.Errorf("close Kafka producer: %w", err)
	}
	return nil
}
