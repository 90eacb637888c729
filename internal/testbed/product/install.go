package product

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// Names that the manifests give.
const (
	serviceName        = "shardscaler-metrics"
	serviceAccountName = "shardscaler"
	configMapName      = "shardscaler"
	configKey          = "config.yaml"
)

// kustomization is the overlay of one Stack: the manifests as they are shipped, in its namespace.
const kustomization = `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: %[1]s
resources: [%[2]s/cluster/base, %[2]s/base, %[2]s/tuning/default]
components: [%[2]s/components/example-workload%[3]s]
`

// install applies the manifests. Processes on this machine stand for the Deployment, and a front on
// a loopback port for the Service of the metrics API, so those two differ; everything else is what
// is shipped.
func (s *Stack) install(ctx context.Context) error {
	front, err := s.newFront(func(v *Server) string { return v.Secure })
	if err != nil {
		return err
	}
	s.front = front
	objects, err := s.render(ctx)
	if err != nil {
		return err
	}
	var all, outside unstructured.UnstructuredList // outside of the namespace
	for _, o := range objects {
		keep, err := s.adapt(&o)
		if err != nil {
			return fmt.Errorf("adapt %s %s: %w", o.GetKind(), o.GetName(), err)
		}
		if !keep {
			continue
		}
		all.Items = append(all.Items, o)
		if o.GetNamespace() == "" && o.GetKind() != "CustomResourceDefinition" {
			// every Stack brings the same one, and it takes all InstanceGroups along when it goes
			outside.Items = append(outside.Items, o)
		}
	}
	// An APIService without a server would keep every namespace from going.
	s.onClose(func(ctx context.Context) error {
		return s.kubectl(ctx, outside, "delete", "--ignore-not-found", "--wait=false")
	})
	if err := s.kubectl(ctx, all, "apply", "--server-side", "--force-conflicts", "--field-manager", "installer"); err != nil {
		return err
	}
	s.Kubeconfig = filepath.Join(s.Dir, "kubeconfig")
	return s.control.ServiceAccountKubeconfig(ctx, s.Namespace, serviceAccountName, s.Kubeconfig)
}

// kubectl does something with objects.
func (s *Stack) kubectl(ctx context.Context, objects unstructured.UnstructuredList, args ...string) error {
	objects.Object = map[string]any{"apiVersion": "v1", "kind": "List"}
	text, err := objects.MarshalJSON()
	if err != nil {
		return err
	}
	file, err := s.write(args[0]+".json", text)
	if err == nil {
		_, err = s.control.Run(ctx, append(args, "-f", file)...)
	}
	return err
}

// render runs kustomize over the shipped manifests.
func (s *Stack) render(ctx context.Context) (objects []unstructured.Unstructured, err error) {
	root, err := servers.ModuleRoot()
	if err != nil {
		return nil, err
	}
	dir, err := filepath.EvalSymlinks(s.Dir)
	if err != nil {
		return nil, err
	}
	// kustomize refuses absolute paths
	relative, err := filepath.Rel(dir, filepath.Join(root, "manifests"))
	if err != nil {
		return nil, err
	}
	more := ""
	if s.SelfManagedCert {
		more = ", " + relative + "/components/self-managed-cert"
	}
	if _, err := s.write("kustomization.yaml", fmt.Appendf(nil, kustomization, s.Namespace, relative, more)); err != nil {
		return nil, err
	}
	out, err := s.control.Run(ctx, "kustomize", dir)
	if err != nil {
		return nil, err
	}
	for in := utilyaml.NewYAMLOrJSONDecoder(strings.NewReader(out), 4096); ; {
		var o unstructured.Unstructured
		switch err := in.Decode(&o); {
		case errors.Is(err, io.EOF):
			return objects, nil
		case err != nil:
			return nil, fmt.Errorf("read manifests: %w", err)
		}
		objects = append(objects, o)
	}
}

// apiOf is the group and version that an APIService leads to.
func apiOf(o *unstructured.Unstructured) string {
	version, group, _ := strings.Cut(o.GetName(), ".") // Kubernetes wants the name so
	return group + "/" + version
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
		// Endpoints may not be loopback addresses; an ExternalName leads to the APIService's port.
		set(map[string]any{"type": "ExternalName", "externalName": "localhost"}, "spec")
	case "APIService":
		if s.Private {
			return false, nil
		}
		s.apis = append(s.apis, apiOf(o))
		set(int64(s.front.port()), "spec", "service", "port")
		if !s.SelfManagedCert { // else the product does it
			set(base64.StdEncoding.EncodeToString(s.Certs.CA), "spec", "caBundle")
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

// Configure changes the ConfigMap as an operator would.
func (s *Stack) Configure(ctx context.Context, change func(*config.Config)) error {
	change(s.Config)
	text, err := s.Config.Marshal()
	if err != nil {
		return err
	}
	return s.ConfigureText(ctx, string(text))
}
