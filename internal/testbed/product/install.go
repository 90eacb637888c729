package product

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/yaml"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// Names that the manifests give.
const (
	serviceName        = "shardscaler-metrics"
	serviceAccountName = "shardscaler"
	configMapName      = "shardscaler"
	configKey          = "config.yaml"
	fieldManager       = "installer"
)

// kustomization is the overlay of one Stack: the manifests as they are shipped, in its namespace.
const kustomization = `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: %[1]s
resources: [%[2]s/cluster/base, %[2]s/base, %[2]s/tuning/default]
components: [%[2]s/components/example-workload%[3]s]
`

// object is one installed object that is not in the Stack's namespace.
type object struct {
	resource schema.GroupVersionResource
	name     string
}

// install applies the manifests. Processes on this machine stand for the Deployment, and a front on a loopback port for the
// Service of the metrics API, so those two differ; everything else is what is shipped.
func (s *Stack) install(ctx context.Context) error {
	front, err := newFront(func(v *Server) string { return v.Secure })
	if err != nil {
		return err
	}
	s.front = front
	s.onClose(front.close)
	objects, err := s.render(ctx)
	if err != nil {
		return err
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(s.Kube.Discovery()))
	s.onClose(s.uninstall)
	for _, o := range objects {
		keep, err := s.adapt(o)
		if err != nil {
			return fmt.Errorf("adapt %s %s: %w", o.GetKind(), o.GetName(), err)
		}
		if !keep {
			continue
		}
		if err := s.apply(ctx, mapper, o); err != nil {
			return fmt.Errorf("apply %s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	s.kubeconfig = filepath.Join(s.Dir, "kubeconfig")
	if err := s.Env.Kubernetes.ServiceAccountKubeconfig(ctx, s.Namespace, serviceAccountName, s.kubeconfig); err != nil || !s.OwnAPIProxy {
		return err
	}
	return s.startAPIProxy(s.kubeconfig)
}

// render runs kustomize over the shipped manifests.
func (s *Stack) render(ctx context.Context) ([]*unstructured.Unstructured, error) {
	root, err := servers.ModuleRoot()
	if err != nil {
		return nil, err
	}
	dir, err := filepath.EvalSymlinks(s.Dir)
	if err != nil {
		return nil, err
	}
	dir = filepath.Join(dir, "install")
	relative, err := filepath.Rel(dir, filepath.Join(root, "manifests")) // kustomize refuses absolute paths
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	file, more := filepath.Join(dir, "kustomization.yaml"), ""
	if s.SelfManagedCert {
		more = ", " + relative + "/components/self-managed-cert"
	}
	if err := os.WriteFile(file, fmt.Appendf(nil, kustomization, s.Namespace, relative, more), 0o644); err != nil {
		return nil, err
	}
	out, err := s.Env.Kubernetes.Run(ctx, "kustomize", dir)
	if err != nil {
		return nil, err
	}
	return decodeManifests(out)
}

func decodeManifests(text string) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for in := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader([]byte(text)))); ; {
		doc, err := in.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read manifests: %w", err)
		}
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(doc, &o.Object); err != nil {
			return nil, fmt.Errorf("read manifests: %w", err)
		}
		if len(o.Object) > 0 {
			objects = append(objects, o)
		}
	}
}

// adapt changes what must differ on this machine; false: the object is not wanted here.
func (s *Stack) adapt(o *unstructured.Unstructured) (keep bool, err error) {
	set := func(value any, fields ...string) {
		err = errors.Join(err, unstructured.SetNestedField(o.Object, value, fields...))
	}
	switch o.GetKind() {
	case "Namespace", "Deployment", "PodDisruptionBudget":
		return false, nil
	case "Service":
		if o.GetName() != serviceName {
			return o.GetName() != "shardscaler", nil
		}
		// Endpoints may not be loopback addresses; the port that an ExternalName leads to is the APIService's.
		set(map[string]any{"type": "ExternalName", "externalName": "localhost"}, "spec")
	case "APIService":
		if s.Private {
			return false, nil
		}
		set(int64(s.front.port()), "spec", "service", "port")
		if !s.SelfManagedCert { // else the product does it
			set(base64.StdEncoding.EncodeToString(s.certs.caBundle), "spec", "caBundle")
		}
	case "ConfigMap":
		if o.GetName() != configMapName {
			return false, nil
		}
		text, marshalErr := s.Config.Marshal()
		if marshalErr != nil {
			return false, marshalErr
		}
		set(map[string]any{configKey: string(text)}, "data")
	case "StatefulSet":
		if size, ok := s.Sizes[o.GetName()]; ok {
			set(int64(size), "spec", "replicas")
		}
		if first, ok := s.Starts[o.GetName()]; ok {
			set(int64(first), "spec", "ordinals", "start")
		}
		if !slices.ContainsFunc(s.Config.Kinds, func(k config.Kind) bool { return k.StatefulSet == o.GetName() }) {
			return false, nil
		}
	case "ClusterRole", "ClusterRoleBinding":
		// Two Stacks must not change each other's rights.
		o.SetName(o.GetName() + ":" + s.Namespace)
		if ref, found, _ := unstructured.NestedString(o.Object, "roleRef", "name"); found && strings.HasPrefix(ref, "shardscaler:") {
			set(ref+":"+s.Namespace, "roleRef", "name")
		}
	}
	return true, err
}

func (s *Stack) apply(ctx context.Context, mapper meta.RESTMapper, o *unstructured.Unstructured) error {
	kind := o.GroupVersionKind()
	mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return err
	}
	var client dynamic.ResourceInterface = s.dynamic.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		client = s.dynamic.Resource(mapping.Resource).Namespace(s.Namespace)
	} else if o.GetKind() != "CustomResourceDefinition" { // every Stack brings the same one, and it takes all InstanceGroups along when it goes
		s.installed = append(s.installed, object{mapping.Resource, o.GetName()})
	}
	_, err = client.Apply(ctx, o.GetName(), o, metav1.ApplyOptions{FieldManager: fieldManager, Force: true})
	return err
}

// uninstall removes what is not in the namespace; an APIService without a server would keep every namespace from going.
func (s *Stack) uninstall(ctx context.Context) error {
	var faults []error
	for _, o := range s.installed {
		err := s.dynamic.Resource(o.resource).Delete(ctx, o.name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			faults = append(faults, fmt.Errorf("remove %s %s: %w", o.resource.Resource, o.name, err))
		}
	}
	return errors.Join(faults...)
}

// Configure changes the ConfigMap as an operator would.
func (s *Stack) Configure(ctx context.Context, change func(*config.Config)) error {
	change(s.Config)
	text, err := s.Config.Marshal()
	if err != nil {
		return err
	}
	return s.ConfigureText(ctx, string(text))
}

// ConfigureText writes any text into the ConfigMap.
func (s *Stack) ConfigureText(ctx context.Context, text string) error {
	maps := s.Kube.CoreV1().ConfigMaps(s.Namespace)
	m, err := maps.Get(ctx, configMapName, metav1.GetOptions{})
	if err == nil {
		m.Data[configKey] = text
		_, err = maps.Update(ctx, m, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("change ConfigMap: %w", err)
	}
	return nil
}
