package e2e

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/former"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// takeover is a world in which the orchestrator of old runs, or ours.
type takeover struct {
	*world
	set    *appsv1.StatefulSet // what is to adopt the pods
	former former.Config
	end    func() // of the former orchestrator
}

// TestTakingOverAndGoingBack walks the steps of docs/operating.md, "Taking over from the old
// orchestrator", both ways. By the instances' own log nothing ever ran twice, and in the end all of it runs.
func TestTakingOverAndGoingBack(t *testing.T) {
	const capacity, target = 500, 700
	ids := product.IDs(1_400, 31) // three bare pods
	o := &takeover{end: func() {}}
	o.world = startBeside(t, func(env *servers.Env, p *product.Options) {
		p.Config.Kinds[0].Mode, p.Config.Kinds[1].Mode = config.ModeObserve, config.ModeObserve
		conn := env.ZooKeeper.Dial(t)
		p.Before = func(ctx context.Context, s *product.Stack) error {
			sets := s.Kube.AppsV1().StatefulSets(s.Namespace)
			set, err := sets.Get(ctx, thingSet, metav1.GetOptions{})
			if err != nil {
				return err
			}
			o.set = set
			o.former = former.Config{
				Kind: thing, Name: thingSet, Capacity: capacity, Root: s.Chroot, Pod: set.Spec.Template.Spec, Conn: conn, Pods: s.Kube.CoreV1().Pods(s.Namespace),
				Rows: func(ctx context.Context) ([]string, error) { return rowsOf(ctx, s.Catalogue.URL) },
				Labels: func(n int) map[string]string {
					if n == 1 { // one that nothing adopts
						return map[string]string{"app": "of-old"}
					}
					return set.Spec.Template.Labels
				},
			}
			return sets.Delete(ctx, thingSet, metav1.DeleteOptions{})
		}
	})
	require.NoError(t, o.Platform.Insert(t.Context(), thing, ids...))
	o.oldOneRuns(t)
	o.run(3, len(ids))

	o.takeOver(t, target)
	more := product.IDs(1_200, 32)
	require.NoError(t, o.Platform.Import(t.Context(), thing, more, 32))
	all := slices.Concat(ids, more)
	o.run(size(len(all), target), len(all)) // unevenly: nothing is spread right after a take-over

	o.goBack(t)
	late := product.IDs(300, 33)
	require.NoError(t, o.Platform.Insert(t.Context(), thing, late...))
	o.oldOneRuns(t)
	o.run(size(len(all)+len(late), capacity), len(all)+len(late))
	o.end()
	o.holds(o.assignment(thing), slices.Concat(all, late))

	runs, err := o.Runs()
	require.NoError(t, err)
	require.Empty(t, runs.Overlaps)
}

func rowsOf(ctx context.Context, url string) ([]string, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, err := conn.Query(ctx, `SELECT id FROM "Thing" ORDER BY id`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// oldOneRuns starts the former orchestrator; end stops it, and waits for that.
func (o *takeover) oldOneRuns(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- former.Run(ctx, o.former) }()
	o.end = func() {
		cancel()
		require.NoError(t, <-ended)
		o.end = func() {}
	}
	t.Cleanup(func() { o.end() })
}

// run waits until that many instances run all resources, as the lists say.
func (o *takeover) run(instances, resources int) {
	o.until(fmt.Sprintf("%d instances run %d Things", instances, resources), func(ctx context.Context) error {
		a, err := o.Assignment(ctx, thing)
		if err != nil {
			return err
		}
		if n := len(a.Owners()); n != resources || len(a.Instances) != instances {
			return fmt.Errorf("%d instances own %d", len(a.Instances), n)
		}
		return o.RunsAsAssigned(ctx, thing)
	})
}

// takeOver stops the old one, has a StatefulSet adopt its pods, and replaces the one that it cannot
// adopt when that owns nothing.
func (o *takeover) takeOver(t *testing.T, target int) {
	o.end()
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: o.set.Name, Labels: o.set.Labels}, Spec: o.set.Spec}
	set.Spec.Replicas, set.Spec.UpdateStrategy = new(int32(3)), appsv1.StatefulSetUpdateStrategy{Type: appsv1.OnDeleteStatefulSetStrategyType}
	sets := o.Kube.AppsV1().StatefulSets(o.Namespace)
	_, err := sets.Create(t.Context(), set, metav1.CreateOptions{})
	require.NoError(t, err)
	before := o.uids(t)
	o.until("the pods are adopted whose labels fit", func(ctx context.Context) error {
		for _, n := range []int{0, 2} {
			pod, err := o.former.Pods.Get(ctx, fmt.Sprintf("%s-%d", thingSet, n), metav1.GetOptions{})
			if err != nil {
				return err
			}
			if metav1.GetControllerOf(pod) == nil {
				return fmt.Errorf("%s is not", pod.Name)
			}
		}
		return nil
	})
	require.Equal(t, before, o.uids(t), "no pod was replaced")

	require.NoError(t, o.Configure(t.Context(), func(c *config.Config) {
		for i := range c.Kinds {
			c.Kinds[i].Mode = config.ModeAct
		}
		c.Kinds[0].TargetPerInstance, c.Kinds[0].Init = target, 3 // without one of them there is room
	}))
	o.person(t, http.MethodPost, "drains", map[string]any{"instance": 1})
	o.until("instance 1 owns nothing", func(ctx context.Context) error {
		if a := o.assignment(thing); len(a.Instances[1].IDs) > 0 || a.InFlight() > 0 {
			return fmt.Errorf("it owns %d", len(a.Instances[1].IDs))
		}
		return o.RunsAsAssigned(ctx, thing)
	})
	require.NoError(t, o.former.Pods.Delete(t.Context(), thingSet+"-1", metav1.DeleteOptions{}))
	o.until("the StatefulSet has made it", func(ctx context.Context) error {
		got, err := o.Size(ctx, thingSet)
		if err == nil && got.Ready != 3 {
			err = fmt.Errorf("%d pods are ready", got.Ready)
		}
		return err
	})
	o.person(t, http.MethodDelete, "drains/1", nil)
	strategy := []byte(`{"spec":{"updateStrategy":{"type":"RollingUpdate"}}}`)
	_, err = sets.Patch(t.Context(), thingSet, types.MergePatchType, strategy, metav1.PatchOptions{})
	require.NoError(t, err)
}

// person asks the leader for a change, once there is one.
func (o *takeover) person(t *testing.T, method, what string, body any) {
	token, err := o.OperatorToken(t.Context())
	require.NoError(t, err)
	o.until(method+" "+what, func(ctx context.Context) error {
		return o.leader().REST(ctx, method, "/v1/api/kinds/Thing/"+what, token, body, nil)
	})
}

// goBack has ours write nothing any more, and leaves the pods to none.
func (o *takeover) goBack(t *testing.T) {
	require.NoError(t, o.Configure(t.Context(), func(c *config.Config) {
		c.Kinds[0].Mode, c.Kinds[1].Mode = config.ModeObserve, config.ModeObserve
	}))
	o.until("nothing is in flight, and no replica leads", func(ctx context.Context) error {
		if a := o.assignment(thing); a.InFlight() > 0 || len(a.Pool) > 0 {
			return fmt.Errorf("%d are, and %d wait", a.InFlight(), len(a.Pool))
		}
		if v, err := o.Leader(ctx); err == nil {
			return fmt.Errorf("%s does", v.Name)
		}
		return nil
	})
	before := o.uids(t)
	orphan := metav1.DeletePropagationOrphan
	require.NoError(t, o.Kube.AppsV1().StatefulSets(o.Namespace).Delete(t.Context(), thingSet, metav1.DeleteOptions{PropagationPolicy: &orphan}))
	o.until("the pods belong to none", func(ctx context.Context) error {
		pods, err := o.former.Pods.List(ctx, metav1.ListOptions{LabelSelector: "app=" + thingSet})
		if err != nil {
			return err
		}
		for i := range pods.Items {
			if metav1.GetControllerOf(&pods.Items[i]) != nil {
				return fmt.Errorf("%s does", pods.Items[i].Name)
			}
		}
		return nil
	})
	require.Equal(t, before, o.uids(t), "no pod was replaced")
}

// uids are those of the pods of Things, by name.
func (o *takeover) uids(t *testing.T) map[string]types.UID {
	pods, err := o.former.Pods.List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	all := map[string]types.UID{}
	for i := range pods.Items {
		all[pods.Items[i].Name] = pods.Items[i].UID
	}
	return all
}
