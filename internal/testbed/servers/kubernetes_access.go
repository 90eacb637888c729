package servers

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Client is that of an administrator.
func (k *Kubernetes) Client(t testing.TB) *kubernetes.Clientset {
	t.Helper()
	client, err := k.client()
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// Namespace creates a namespace of this test's own, in which pods can be created, and deletes it
// afterwards.
func (k *Kubernetes) Namespace(t testing.TB) string {
	t.Helper()
	client, ctx, name := k.Client(t), t.Context(), uniqueName(t)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
		t.Fatalf("create namespace: %v", err)
	}
	t.Cleanup(func() {
		if err := client.CoreV1().Namespaces().Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil {
			t.Errorf("delete namespace: %v", err)
		}
	})
	// Pods are refused until the controller manager has made their service account.
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err := until(ctx, 20*time.Millisecond, func(ctx context.Context) error {
		_, err := client.CoreV1().ServiceAccounts(name).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	if err != nil {
		t.Fatalf("create namespace %s: no default service account: %v", name, err)
	}
	return name
}

// Apply is kubectl apply of a manifest in a namespace.
func (k *Kubernetes) Apply(t testing.TB, namespace, manifest string) {
	t.Helper()
	cmd := k.Command(t.Context(), "apply", "-n", namespace, "-f", "-")
	cmd.Stdin = strings.NewReader(manifest)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("apply in %s: %v\n%s", namespace, err, out)
	}
}

// ServiceAccountKubeconfig writes a kubeconfig to file with which a process is that service account and
// nobody else, for a day. The account is created if it does not exist.
func (k *Kubernetes) ServiceAccountKubeconfig(ctx context.Context, namespace, name, file string) error {
	client, err := k.client()
	if err != nil {
		return err
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
	_, err = client.CoreV1().ServiceAccounts(namespace).Create(ctx, account, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("write kubeconfig of %s/%s: %w", namespace, name, err)
	}
	day := int64(24 * time.Hour / time.Second)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &day}}
	token, err := client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, request, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("write kubeconfig of %s/%s: %w", namespace, name, err)
	}
	config, err := clientcmd.LoadFromFile(k.Kubeconfig)
	if err != nil {
		return fmt.Errorf("write kubeconfig of %s/%s: %w", namespace, name, err)
	}
	current := config.Contexts[config.CurrentContext]
	cluster := config.Clusters[current.Cluster]
	err = clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{clusterName: cluster},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{name: {Token: token.Status.Token}},
		Contexts:       map[string]*clientcmdapi.Context{name: {Cluster: clusterName, AuthInfo: name, Namespace: namespace}},
		CurrentContext: name,
	}, file)
	if err != nil {
		return fmt.Errorf("write kubeconfig of %s/%s: %w", namespace, name, err)
	}
	return nil
}

// Audit reads the records of what changed a StatefulSet or its /scale, or created or deleted a pod, in a
// namespace; in the order in which the API server finished them (StageTimestamp).
func (k *Kubernetes) Audit(namespace string) ([]auditv1.Event, error) {
	file, err := os.Open(k.AuditLog)
	if err != nil {
		return nil, fmt.Errorf("read audit log: %w", err)
	}
	defer file.Close()
	var events []auditv1.Event
	for lines := bufio.NewReader(file); ; {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return events, nil // what follows the last newline is still being written
		}
		if err != nil {
			return nil, fmt.Errorf("read audit log: %w", err)
		}
		var event auditv1.Event
		if err := json.Unmarshal(line, &event); err != nil {
			return nil, fmt.Errorf("read audit log: %w", err)
		}
		if event.ObjectRef != nil && event.ObjectRef.Namespace == namespace {
			events = append(events, event)
		}
	}
}

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
