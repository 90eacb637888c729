package actuate

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/record"

	"github.com/shardscaler/shardscaler/adapter/v1alpha1"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// kubectl runs against a namespace of the real API server and returns what it prints, errors
// included.
type kubectl func(in string, args ...string) (string, error)

func groups(t *testing.T) (*Groups, string, kubectl) {
	k := servers.Require(t, servers.PartKubernetes).Kubernetes
	k.InstallDefinitions(t)
	ns := k.Namespace(t)
	cfg, err := k.Config()
	require.NoError(t, err)
	client, err := dynamic.NewForConfig(cfg)
	require.NoError(t, err)
	return NewGroups(client), ns, func(in string, args ...string) (string, error) {
		cmd := k.Command(t.Context(), append([]string{"-n", ns}, args...)...)
		cmd.Stdin = strings.NewReader(in)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
}

const things = `
apiVersion: shardscaler.io/v1alpha1
kind: InstanceGroup
metadata: {name: things}
spec: {kind: Thing, statefulSetName: iota-dac}
`

func TestAnInstanceGroupIsSeededOnceAndItsStatusIsForAnHPA(t *testing.T) {
	g, ns, run := groups(t)
	out, err := run(things, "apply", "-f", "-")
	require.NoError(t, err, out)
	uid, err := run("", "get", "ig", "things", "-o", "jsonpath={.metadata.uid}")
	require.NoError(t, err, uid)
	w := Workload{Namespace: ns, Name: "things", UID: uid, Group: true}

	other := w
	other.UID = "another"
	require.ErrorIs(t, g.SeedGroup(t.Context(), other, 1, 7), ErrConflict)
	require.ErrorIs(t, g.SeedGroup(t.Context(), w, 2, 7), ErrConflict, "another client has written since")
	require.NoError(t, g.SeedGroup(t.Context(), w, 1, 7))
	require.ErrorIs(t, g.SeedGroup(t.Context(), w, 1, 9), ErrConflict, "it has a new generation")

	fill := func(st *v1alpha1.InstanceGroupStatus) {
		st.ObservedGeneration, st.Replicas, st.Selector, st.Desired = 2, 7, "app=iota-dac", 8
		st.Assigned, st.Unassigned, st.State, st.Message = 31500, 500, v1alpha1.Growing, "scale up 7 -> 8: count asks for 8"
		st.Conditions = []metav1.Condition{{
			Type: v1alpha1.ConditionSeeded, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonSeeded, LastTransitionTime: metav1.Unix(1_800_000_000, 0),
		}}
	}
	version := func() string {
		out, err := run("", "get", "ig", "things", "-o", "jsonpath={.metadata.resourceVersion} {.metadata.generation}")
		require.NoError(t, err, out)
		return out
	}
	written, err := g.UpdateGroupStatus(t.Context(), w, fill)
	require.NoError(t, err)
	require.EqualValues(t, 7, written.Replicas)
	first := version()
	require.True(t, strings.HasSuffix(first, " 2"), "a status is no new generation: %s", first)
	_, err = g.UpdateGroupStatus(t.Context(), w, fill)
	require.NoError(t, err)
	require.Equal(t, first, version(), "what has not changed is not written")
	_, err = g.UpdateGroupStatus(t.Context(), other, fill)
	require.ErrorIs(t, err, ErrConflict)
	_, err = g.UpdateGroupStatus(t.Context(), Workload{Namespace: ns, Name: "nobody", UID: "x", Group: true}, fill)
	require.ErrorIs(t, err, ErrConflict, "one that is gone is no fault")

	out, err = run("", "get", "--raw", "/apis/shardscaler.io/v1alpha1/namespaces/"+ns+"/instancegroups/things/scale")
	require.NoError(t, err, out)
	var scale autoscalingv1.Scale
	require.NoError(t, json.Unmarshal([]byte(out), &scale))
	require.Equal(t, autoscalingv1.ScaleStatus{Replicas: 7, Selector: "app=iota-dac"}, scale.Status)
	require.EqualValues(t, 7, scale.Spec.Replicas)

	out, err = run("", "get", "ig")
	require.NoError(t, err)
	require.Equal(t, []string{"NAME", "DESIRED", "CURRENT", "ASSIGNED", "UNASSIGNED", "STATE", "AGE"}, strings.Fields(strings.SplitN(out, "\n", 2)[0]))
	require.Equal(t, []string{"things", "8", "7", "31500", "500", "Growing"}, strings.Fields(strings.SplitN(out, "\n", 3)[1])[:6])
	out, err = run("", "get", "ig", "-o", "wide")
	require.NoError(t, err)
	require.Contains(t, out, "WISH")
	require.Contains(t, out, "count asks for 8")
}

func TestTheAPIServerRefusesWhatMakesNoSense(t *testing.T) {
	_, _, run := groups(t)
	out, err := run(things, "apply", "-f", "-")
	require.NoError(t, err, out)
	for patch, says := range map[string]string{
		`{"spec":{"replicas":-1}}`:               "spec.replicas in body should be greater than or equal to 0",
		`{"spec":{"replicas":"many"}}`:           "spec.replicas in body must be of type integer",
		`{"spec":{"kind":"Rule"}}`:               "kind cannot change",
		`{"spec":{"statefulSetName":"other"}}`:   "statefulSetName cannot change",
		`{"spec":{"statefulSetName":"Not_DNS"}}`: "spec.statefulSetName in body should match",
	} {
		out, err := run("", "patch", "ig", "things", "--type=merge", "-p", patch)
		require.Error(t, err, patch)
		require.Contains(t, out, says, patch)
	}
	out, err = run("", "scale", "ig", "things", "--replicas=0")
	require.NoError(t, err, "an HPA with minReplicas 0 writes it, and stands still if it cannot: "+out)
	out, err = run(strings.Replace(things, "kind: Thing,", "kind: Thing, maxReplicas: 9,", 1), "apply", "--validate=strict", "-f", "-")
	require.Error(t, err)
	require.Contains(t, out, `unknown field "spec.maxReplicas"`)
}

func TestEventsOnInstanceGroups(t *testing.T) {
	var log strings.Builder
	k := New(nil, record.NewFakeRecorder(1), slog.New(slog.NewTextHandler(&log, nil)))
	set, group := Workload{Namespace: "iot", Name: "x", UID: "1"}, Workload{Namespace: "iot", Name: "x", UID: "1", Group: true}
	require.True(t, k.fresh(eventKey{set, "ForeignWriter"}, "text", time.Now()))
	require.True(t, k.fresh(eventKey{group, "ForeignWriter"}, "text", time.Now()), "another object")
	k.Publish(group, NotFollowed("text"))
	require.Contains(t, log.String(), "instancegroup=x")
	require.Equal(t, "InstanceGroup", reference(group).Kind)
	require.Equal(t, "StatefulSet", reference(set).Kind)
}
