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

func groupsOf(kinds []config.Kind, k config.Kind, at time.Time, objects []any) observed.Signal {
	s := observed.Groups{Kind: k.Name, At: at}
	for _, obj := range objects {
		var g v1alpha1.InstanceGroup
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.(*unstructured.Unstructured).Object, &g); err != nil {
			continue // the API server has checked it against the schema
		}
		configured := slices.ContainsFunc(kinds, func(k config.Kind) bool { return k.Name == g.Spec.Kind })
		switch {
		case g.Spec.Kind == k.Name:
			s.Groups = append(s.Groups, reduceGroup(&g))
		case !configured && k.Name == kinds[0].Name:
			s.Strangers = append(s.Strangers, reduceGroup(&g))
		}
	}
	for _, list := range [][]observed.Group{s.Groups, s.Strangers} {
		slices.SortFunc(list, func(a, b observed.Group) int {
			return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name))
		})
	}
	return s
}

func reduceGroup(g *v1alpha1.InstanceGroup) observed.Group {
	return observed.Group{
		Name: g.Name, UID: string(g.UID), Generation: g.Generation, Created: g.CreationTimestamp.Time, Labels: g.Labels,
		Kind: g.Spec.Kind, StatefulSet: g.Spec.StatefulSetName, Requested: int(g.Spec.Replicas), Paused: g.Spec.Paused,
		// The condition Seeded does not count: a status outlives the replacement of its spec.
		Seeded: g.Annotations[v1alpha1.SeededAnnotation] != "",
	}
}

func hpasOf(_ []config.Kind, k config.Kind, at time.Time, objects []any) observed.Signal {
	s := observed.HPAs{Kind: k.Name, At: at}
	for _, obj := range objects {
		h := obj.(*autoscalingv2.HorizontalPodAutoscaler)
		switch to := h.Spec.ScaleTargetRef; to.Kind {
		case "StatefulSet":
			if to.Name == k.StatefulSet {
				s.HPAs = append(s.HPAs, observed.HPA{Name: h.Name, Target: to.Name})
			}
		case v1alpha1.Kind:
			s.HPAs = append(s.HPAs, observed.HPA{Name: h.Name, Target: to.Name, OnGroup: true})
		}
	}
	slices.SortFunc(s.HPAs, func(a, b observed.HPA) int { return cmp.Compare(a.Name, b.Name) })
	return s
}
