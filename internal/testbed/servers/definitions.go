package servers

import (
	"path/filepath"
	"testing"
)

// InstallDefinitions installs the CustomResourceDefinition that is shipped. It stays: other tests use it too.
func (k *Kubernetes) InstallDefinitions(t testing.TB) {
	t.Helper()
	root, err := ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, "manifests", "cluster", "base", "shardscaler.io_instancegroups.yaml")
	for _, args := range [][]string{
		{"apply", "--server-side", "--force-conflicts", "-f", file},
		{"wait", "--for=condition=Established", "--timeout=60s", "-f", file},
	} {
		if _, err := k.Run(t.Context(), args...); err != nil {
			t.Fatalf("install definitions: %v", err)
		}
	}
}
