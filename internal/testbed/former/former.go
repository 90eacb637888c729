// Package former stands in for the orchestrator that shardscaler takes over from.
//
// In: the rows of a catalogue. Out: bare pods `<name>-<n>`, as many as the rows need and never fewer,
// and the znodes of docs/formats.md, "ZooKeeper", written as that orchestrator wrote them: each by
// itself and whatever its version. Invariant: what moves is taken from one list a pause before it is
// given to another, as to instances that follow `_reload` at once.
//
// It has its defects where they matter to who takes over: it sizes by the count alone, never scales
// in, writes nothing but these znodes, and knows of no other writer.
package former

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"time"

	"github.com/go-zookeeper/zk"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/wake"
)

// Config says what one orchestrator looks after.
type Config struct {
	// Kind is that of the znodes, Name what pods are called before `-<n>`.
	Kind, Name string
	// Capacity is how many resources an instance has at most.
	Capacity int
	// Root is the path above `iota`: the chroot.
	Root string
	// Pod is what each pod is made of; Labels are those of pod n.
	Pod    corev1.PodSpec
	Labels func(n int) map[string]string
	// Rows reads the catalogue.
	Rows func(ctx context.Context) ([]string, error)
	Pods typedcorev1.PodInterface
	Conn *zk.Conn
}

const (
	// period is between two looks at the catalogue, pause between a list that gives and one that gets.
	period = 300 * time.Millisecond
	pause  = 700 * time.Millisecond
)

// Run orchestrates until ctx ends. What is begun is finished: it is stopped between two rounds.
func Run(ctx context.Context, c Config) error {
	for ctx.Err() == nil {
		if err := c.orchestrate(context.WithoutCancel(ctx)); err != nil {
			return fmt.Errorf("former orchestrator: %w", err)
		}
		wake.Sleep(ctx, period)
	}
	return nil
}

// orchestrate does one round.
func (c *Config) orchestrate(ctx context.Context) error {
	rows, err := c.Rows(ctx)
	if err != nil {
		return err
	}
	lists, err := c.lists()
	if err != nil {
		return err
	}
	size := max(len(lists), (len(rows)+c.Capacity-1)/c.Capacity)
	for n := range size {
		if err := c.instance(ctx, n); err != nil {
			return err
		}
		if _, there := lists[n]; !there {
			lists[n] = nil
		}
	}
	next, gives := arranged(lists, rows, size)
	if gives {
		for n, ids := range lists { // what leaves, first
			if err := c.write(n, ids, keeping(ids, next[n])); err != nil {
				return err
			}
			lists[n] = keeping(ids, next[n])
		}
		time.Sleep(pause)
	}
	for n, ids := range next {
		if err := c.write(n, lists[n], ids); err != nil {
			return err
		}
	}
	return nil
}

// arranged are the lists that an even spread makes of these; gives: something leaves a list.
func arranged(lists map[int][]string, rows []string, size int) (next map[int][]string, gives bool) {
	wanted := map[string]bool{}
	for _, id := range rows {
		wanted[id] = true
	}
	most := (len(rows) + size - 1) / size
	next = map[int][]string{}
	for _, n := range slices.Sorted(maps.Keys(lists)) {
		for _, id := range lists[n] {
			if wanted[id] && len(next[n]) < most {
				next[n] = append(next[n], id)
				delete(wanted, id)
			} else {
				gives = true
			}
		}
	}
	n := 0
	for _, id := range rows {
		if !wanted[id] {
			continue
		}
		for len(next[n]) >= most {
			n++
		}
		next[n] = append(next[n], id)
	}
	return next, gives
}

// keeping are those of a list that another one has too.
func keeping(ids, in []string) (kept []string) {
	has := map[string]bool{}
	for _, id := range in {
		has[id] = true
	}
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !has[id] })
}

// instance makes a pod and its znodes, where they are missing.
func (c *Config) instance(ctx context.Context, n int) error {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", c.Name, n), Labels: c.Labels(n)}, Spec: c.Pod}
	if _, err := c.Pods.Create(ctx, pod, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	at := c.node(n)
	for _, z := range []struct {
		path string
		data any
	}{
		{at, map[string]int{"used": 0, "count": c.Capacity}},
		{path.Join(at, "tmp"), nil},
		{path.Join(at, "_reload"), map[string]int{"times": 0}},
		{path.Join(at, "resources"), map[string][]string{"ids": {}}},
	} {
		if err := c.make(z.path, z.data); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) root() string { return path.Join("/", c.Root, "iota/orchestration", c.Kind) }

func (c *Config) node(n int) string { return path.Join(c.root(), strconv.Itoa(n)) }

// make makes a znode and those above it, where they are missing.
func (c *Config) make(at string, data any) error {
	if there, _, err := c.Conn.Exists(at); there || err != nil {
		return err
	}
	if above := path.Dir(at); above != "/" {
		if err := c.make(above, nil); err != nil {
			return err
		}
	}
	text, err := encoded(data)
	if err == nil {
		_, err = c.Conn.Create(at, text, 0, zk.WorldACL(zk.PermAll))
	}
	if errors.Is(err, zk.ErrNodeExists) {
		return nil
	}
	return err
}

func encoded(data any) ([]byte, error) {
	if data == nil {
		return nil, nil
	}
	return json.Marshal(data)
}

// lists are those of the tree, by ordinal.
func (c *Config) lists() (map[int][]string, error) {
	lists := map[int][]string{}
	names, _, err := c.Conn.Children(c.root())
	if errors.Is(err, zk.ErrNoNode) {
		return lists, nil
	}
	for _, name := range names {
		n, notOrdinal := strconv.Atoi(name)
		if notOrdinal != nil {
			continue
		}
		var list struct {
			IDs []string `json:"ids"`
		}
		if err := c.read(path.Join(c.node(n), "resources"), &list); err != nil {
			return nil, err
		}
		lists[n] = list.IDs
	}
	return lists, err
}

func (c *Config) read(at string, into any) error {
	text, _, err := c.Conn.Get(at)
	if err == nil {
		err = exact.JSON(text, into)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", at, err)
	}
	return nil
}

// write writes a list that has changed, and has its instance read it.
func (c *Config) write(n int, was, is []string) error {
	if slices.Equal(was, is) {
		return nil
	}
	at := c.node(n)
	var reload struct {
		Times int `json:"times"`
	}
	if err := c.read(path.Join(at, "_reload"), &reload); err != nil {
		return err
	}
	if is == nil {
		is = []string{}
	}
	for _, z := range []struct {
		path string
		data any
	}{
		{path.Join(at, "resources"), map[string][]string{"ids": is}},
		{at, map[string]int{"used": len(is), "count": c.Capacity}},
		{path.Join(at, "_reload"), map[string]int{"times": reload.Times + 1}},
	} {
		text, err := encoded(z.data)
		if err == nil {
			_, err = c.Conn.Set(z.path, text, -1)
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", z.path, err)
		}
	}
	return nil
}
