package owners

import (
	"cmp"
	"maps"
	"slices"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/adapter/v1alpha1"
	"github.com/shardscaler/shardscaler/internal/config"
)

// strip drops what is not read here before an object is kept: of its annotations, all but one.
func strip(obj any) (any, error) {
	if m, err := meta.Accessor(obj); err == nil {
		annotations := m.GetAnnotations()
		maps.DeleteFunc(annotations, func(name, _ string) bool { return name != v1alpha1.SeededAnnotation })
		m.SetAnnotations(annotations)
		m.SetManagedFields(nil)
	}
	return obj, nil
}

func groupsOf(kinds []config.Kind, at time.Time, objects []any) []observed.Signal {
	of := make(map[string][]observed.Group, len(kinds))
	for _, k := range kinds {
		of[k.Name] = nil
	}
	var strangers []observed.Group
	for _, obj := range objects {
		var g v1alpha1.InstanceGroup
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.(*unstructured.Unstructured).Object, &g); err != nil {
			continue // the API server has checked it against the schema
		}
		if groups, configured := of[g.Spec.Kind]; configured {
			of[g.Spec.Kind] = append(groups, reduceGroup(&g))
		} else {
			strangers = append(strangers, reduceGroup(&g))
		}
	}
	signals := make([]observed.Signal, len(kinds))
	for i, k := range kinds {
		s := observed.Groups{Kind: k.Name, At: at, Groups: oldestFirst(of[k.Name])}
		if i == 0 {
			s.Strangers = oldestFirst(strangers)
		}
		signals[i] = s
	}
	return signals
}

func oldestFirst(list []observed.Group) []observed.Group {
	slices.SortFunc(list, func(a, b observed.Group) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name))
	})
	return list
}

func reduceGroup(g *v1alpha1.InstanceGroup) observed.Group {
	return observed.Group{
		Name: g.Name, UID: string(g.UID), Generation: g.Generation, Created: g.CreationTimestamp.Time, Labels: g.Labels,
		Kind: g.Spec.Kind, StatefulSet: g.Spec.StatefulSetName, Requested: int(g.Spec.Replicas), Paused: g.Spec.Paused,
		// The condition Seeded does not count: a status outlives the replacement of its spec.
		Seeded: g.Annotations[v1alpha1.SeededAnnotation] != "",
	}
}

// hpasOf gives every kind the HPAs on groups: whose a group is, another source says.
func hpasOf(kinds []config.Kind, at time.Time, objects []any) []observed.Signal {
	ofSet := map[string][]observed.HPA{}
	var onGroups []observed.HPA
	for _, obj := range objects {
		h := obj.(*autoscalingv2.HorizontalPodAutoscaler)
		switch to := h.Spec.ScaleTargetRef; to.Kind {
		case "StatefulSet":
			ofSet[to.Name] = append(ofSet[to.Name], observed.HPA{Name: h.Name, Target: to.Name})
		case v1alpha1.Kind:
			onGroups = append(onGroups, observed.HPA{Name: h.Name, Target: to.Name, OnGroup: true})
		}
	}
	byName := func(a, b observed.HPA) int { return cmp.Compare(a.Name, b.Name) }
	slices.SortFunc(onGroups, byName)
	signals := make([]observed.Signal, len(kinds))
	for i, k := range kinds {
		all := onGroups // shared by the kinds that have no other
		if own := ofSet[k.StatefulSet]; len(own) > 0 {
			all = slices.Concat(own, onGroups)
			slices.SortFunc(all, byName)
		}
		signals[i] = observed.HPAs{Kind: k.Name, At: at, HPAs: all}
	}
	return signals
}
