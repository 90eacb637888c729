package product

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/jackc/pgx/v5"

	"github.com/shardscaler/shardscaler/adapter/observed"
)

// Platform plays the IoT platform: it commits to its database and then says so on cm/notify.
type Platform struct {
	topic string
	mqtt  paho.Client
	mu    sync.Mutex // a connection serves one statement at a time
	sql   *pgx.Conn
}

// Notification is one message on cm/notify.
type Notification []byte

func (s *Stack) startPlatform(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.Catalogue.URL)
	if err != nil {
		return err
	}
	s.onClose(conn.Close)
	options := paho.NewClientOptions().AddBroker(s.Env.MQTT.URL).SetClientID(s.Namespace + "-platform").SetWriteTimeout(10 * time.Second)
	client := paho.NewClient(options)
	if err := await(ctx, client.Connect()); err != nil {
		return err
	}
	s.onClose(func(context.Context) error { client.Disconnect(100); return nil })
	s.Platform = &Platform{topic: s.MQTTTopic, mqtt: client, sql: conn}
	return nil
}

// Insert commits rows.
func (p *Platform) Insert(ctx context.Context, kind string, ids ...string) error {
	return p.copy(ctx, kind, []string{"id"}, len(ids), func(i int) ([]any, error) { return []any{ids[i]}, nil })
}

// InsertDescribed commits rows with their weights and labels, all at once: no read of the catalogue
// sees some of it.
func (p *Platform) InsertDescribed(ctx context.Context, kind string, rs ...observed.ResourceKnown) error {
	return p.copy(ctx, kind, []string{"id", "weight", "labels"}, len(rs), func(i int) ([]any, error) {
		return []any{rs[i].ID, rs[i].Weight, rs[i].Labels}, nil
	})
}

func (p *Platform) copy(ctx context.Context, kind string, columns []string, n int, row func(i int) ([]any, error)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.sql.CopyFrom(ctx, pgx.Identifier{kind}, columns, pgx.CopyFromSlice(n, row)); err != nil {
		return fmt.Errorf("insert %d %ss: %w", n, kind, err)
	}
	return nil
}

// Remove commits the deletion of rows.
func (p *Platform) Remove(ctx context.Context, kind string, ids ...string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.sql.Exec(ctx, "DELETE FROM "+pgx.Identifier{kind}.Sanitize()+" WHERE id = ANY($1)", ids); err != nil {
		return fmt.Errorf("delete %d %ss: %w", len(ids), kind, err)
	}
	return nil
}

// Publish sends messages with QoS 1 and returns when the broker has all of them.
func (p *Platform) Publish(ctx context.Context, messages ...Notification) error {
	// The client numbers what is not acknowledged with 16 bits; a window spares the broker's
	// memory.
	const window = 1000
	for part := range slices.Chunk(messages, window) {
		tokens := make([]paho.Token, len(part))
		for i, m := range part {
			tokens[i] = p.mqtt.Publish(p.topic, 1, false, []byte(m))
		}
		for _, token := range tokens {
			if err := await(ctx, token); err != nil {
				return fmt.Errorf("publish notification: %w", err)
			}
		}
	}
	return nil
}

func await(ctx context.Context, token paho.Token) error {
	select {
	case <-token.Done():
		return token.Error()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// notify is a message of any content.
func notify(content map[string]any) Notification {
	raw, err := json.Marshal(content)
	if err != nil {
		panic(err) // tests pass strings and lists
	}
	return raw
}

// Created says that one is new.
func Created(kind, id string) Notification {
	return notify(map[string]any{"o": "c", "t": kind, "k": map[string]any{"id": id}, "instance": map[string]any{"name": id}})
}

// Deleted says that one is gone.
func Deleted(kind, id string) Notification {
	return notify(map[string]any{"o": "d", "t": kind, "k": map[string]any{"id": id}})
}

// BulkCreated says that many are new.
func BulkCreated(kind string, ids []string) Notification {
	return notify(map[string]any{"o": "bc", "t": kind, "keys": ids})
}

// BulkDeleted says that many are gone.
func BulkDeleted(kind string, ids []string) Notification {
	return notify(map[string]any{"o": "bd", "t": kind, "where": map[string]any{"id": ids}})
}

// DeletedWhere says that some are gone and not which: operators vanish in JSON.
func DeletedWhere(kind string) Notification {
	return notify(map[string]any{"o": "bd", "t": kind, "where": map[string]any{}})
}

// bulk is how many ids the platform puts into one bulk message.
const bulk = 500

// Import commits rows and notifies as a busy platform does: half of the ids one by one, half in
// bulk, a tenth of the messages twice, in any order. The same seed gives the same messages.
func (p *Platform) Import(ctx context.Context, kind string, ids []string, seed uint64) error {
	if err := p.Insert(ctx, kind, ids...); err != nil {
		return err
	}
	return p.Publish(ctx, ImportMessages(kind, ids, seed)...)
}

// ImportMessages are the messages of Import.
func ImportMessages(kind string, ids []string, seed uint64) []Notification {
	random := rand.New(rand.NewPCG(seed, 1))
	var messages []Notification
	half := len(ids) / 2
	for _, id := range ids[:half] {
		messages = append(messages, Created(kind, id))
	}
	for part := range slices.Chunk(ids[half:], bulk) {
		messages = append(messages, BulkCreated(kind, part))
	}
	for range len(messages) / 10 {
		messages = append(messages, messages[random.IntN(len(messages))])
	}
	random.Shuffle(len(messages), func(i, j int) { messages[i], messages[j] = messages[j], messages[i] })
	return messages
}

// IDs makes n ids that look like the platform's (UUIDs), the same for the same seed.
func IDs(n int, seed uint64) []string {
	random := rand.New(rand.NewPCG(seed, 2))
	ids := make([]string, n)
	for i := range ids {
		a, b := random.Uint64(), random.Uint64()
		ids[i] = fmt.Sprintf("%08x-%04x-4%03x-a%03x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>48&0xfff, b&0xffffffffffff)
	}
	return ids
}
