package container

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Cluster is where the objects are that a pod names.
type Cluster struct {
	Client kubernetes.Interface
	Config *rest.Config // its address and authority are those that the pod sees
}

// Pod is a pod that a template makes.
type Pod struct {
	Namespace, Name, IP string
	Spec                corev1.PodSpec
}

// Process is a container that runs.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error

	mu      sync.Mutex
	printed bytes.Buffer
}

// Start starts the only container of a pod. root is an empty folder that becomes its root; it must
// be on the file system of the image. What is not known here is an error, and not left out.
func Start(ctx context.Context, c Cluster, im *Image, pod Pod, root string) (*Process, error) {
	if len(pod.Spec.Containers) != 1 || len(pod.Spec.InitContainers) != 0 {
		return nil, fmt.Errorf("pod %s: want one container, got %d, and %d that come before", pod.Name, len(pod.Spec.Containers), len(pod.Spec.InitContainers))
	}
	s := starting{c, pod, &pod.Spec.Containers[0], root}
	if err := os.CopyFS(root, os.DirFS(im.Root)); err != nil {
		return nil, fmt.Errorf("copy the image: %w", err)
	}
	if err := s.makeRunnable(); err != nil {
		return nil, err
	}
	env, err := s.environment(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.mountAll(ctx); err != nil {
		return nil, err
	}
	user := pod.Spec.SecurityContext
	if user == nil || user.RunAsUser == nil || user.RunAsGroup == nil {
		return nil, fmt.Errorf("pod %s: want runAsUser and runAsGroup", pod.Name)
	}
	args := s.container.Command
	if len(args) == 0 {
		args = im.Config.Config.Entrypoint
	}
	args = slices.Concat(args, s.container.Args)
	for i := range args {
		args[i] = expand(args[i], env)
	}
	p := &Process{cmd: exec.Command(args[0], args[1:]...), done: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env = "/", slices.Clone(im.Config.Config.Env)
	for _, name := range slices.Sorted(maps.Keys(env)) {
		p.cmd.Env = append(p.cmd.Env, name+"="+env[name])
	}
	p.cmd.SysProcAttr = within(root, int(*user.RunAsUser), int(*user.RunAsGroup))
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", args[0], err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// starting is a container that is being started.
type starting struct {
	Cluster
	pod       Pod
	container *corev1.Container
	root      string
}

// makeRunnable gives programs the right that os.CopyFS takes no notice of.
func (s *starting) makeRunnable() error {
	return filepath.WalkDir(s.root, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chmod(path, 0o755)
	})
}

// environment is what the container's process sees, by name; later entries win.
func (s *starting) environment(ctx context.Context) (map[string]string, error) {
	host, err := url.Parse(s.Config.Host)
	if err != nil {
		return nil, err
	}
	name, port, err := net.SplitHostPort(host.Host)
	if err != nil {
		return nil, err
	}
	env := map[string]string{"KUBERNETES_SERVICE_HOST": name, "KUBERNETES_SERVICE_PORT": port, "HOSTNAME": s.pod.Name}
	for _, from := range s.container.EnvFrom {
		if from.ConfigMapRef == nil || from.SecretRef != nil {
			return nil, fmt.Errorf("envFrom %v: only ConfigMaps are known here", from)
		}
		m, err := s.Client.CoreV1().ConfigMaps(s.pod.Namespace).Get(ctx, from.ConfigMapRef.Name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		for key, value := range m.Data {
			env[from.Prefix+key] = value
		}
	}
	fields := map[string]string{"metadata.name": s.pod.Name, "metadata.namespace": s.pod.Namespace, "status.podIP": s.pod.IP}
	for _, e := range s.container.Env {
		if e.ValueFrom == nil {
			env[e.Name] = expand(e.Value, env)
			continue
		}
		ref := e.ValueFrom.FieldRef
		if ref == nil || fields[ref.FieldPath] == "" {
			return nil, fmt.Errorf("env %s: where its value is from is not known here", e.Name)
		}
		env[e.Name] = fields[ref.FieldPath]
	}
	return env, nil
}

// reference is $(NAME), and $$ that stands for a $.
var reference = regexp.MustCompile(`\$\$|\$\(([-._a-zA-Z][-._a-zA-Z0-9]*)\)`)

// expand fills in the references to variables that there are, as Kubernetes does.
func expand(text string, env map[string]string) string {
	return reference.ReplaceAllStringFunc(text, func(found string) string {
		if found == "$$" {
			return "$"
		}
		if value, ok := env[found[len("$("):len(found)-1]]; ok {
			return value
		}
		return found
	})
}

// mountAll writes what the container mounts into its root.
func (s *starting) mountAll(ctx context.Context) error {
	if auto := s.pod.Spec.AutomountServiceAccountToken; auto == nil || *auto {
		if err := s.mountToken(ctx); err != nil {
			return fmt.Errorf("token of %s: %w", s.pod.Spec.ServiceAccountName, err)
		}
	}
	for _, m := range s.container.VolumeMounts {
		i := slices.IndexFunc(s.pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
		if i < 0 || m.SubPath != "" {
			return fmt.Errorf("mount %s: no such volume, or a part of one", m.Name)
		}
		files, err := s.filesOf(ctx, &s.pod.Spec.Volumes[i])
		if err != nil {
			return fmt.Errorf("volume %s: %w", m.Name, err)
		}
		if err := s.mount(m.MountPath, files); err != nil {
			return err
		}
	}
	return nil
}

// filesOf are the files of a Secret's volume; a Secret that is not there keeps a pod from starting.
func (s *starting) filesOf(ctx context.Context, v *corev1.Volume) (map[string][]byte, error) {
	if v.Secret == nil {
		return nil, errors.New("only Secrets are known here")
	}
	secret, err := s.Client.CoreV1().Secrets(s.pod.Namespace).Get(ctx, v.Secret.SecretName, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	if len(v.Secret.Items) == 0 {
		return secret.Data, nil
	}
	files := map[string][]byte{}
	for _, item := range v.Secret.Items {
		text, ok := secret.Data[item.Key]
		if !ok {
			return nil, fmt.Errorf("%s has no %s", secret.Name, item.Key)
		}
		files[item.Path] = text
	}
	return files, nil
}

// mountToken is what the kubelet mounts of a ServiceAccount.
func (s *starting) mountToken(ctx context.Context) error {
	hour := int64(time.Hour / time.Second)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &hour}}
	request, err := s.Client.CoreV1().ServiceAccounts(s.pod.Namespace).CreateToken(ctx, s.pod.Spec.ServiceAccountName, request, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	authority := s.Config.CAData
	if len(authority) == 0 {
		if authority, err = os.ReadFile(s.Config.CAFile); err != nil {
			return err
		}
	}
	return s.mount("/var/run/secrets/kubernetes.io/serviceaccount", map[string][]byte{
		"token": []byte(request.Status.Token), "namespace": []byte(s.pod.Namespace), "ca.crt": authority,
	})
}

func (s *starting) mount(path string, files map[string][]byte) error {
	for name, text := range files {
		file := filepath.Join(s.root, path, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Write notes what the process prints.
func (p *Process) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.printed.Write(text)
}

// Printed is what the process has printed.
func (p *Process) Printed() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.printed.String()
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// ExitCode is that of a process that has ended; -1: a signal ended it.
func (p *Process) ExitCode() int {
	<-p.done
	return p.cmd.ProcessState.ExitCode()
}

// Signal sends a signal; what has ended takes none.
func (p *Process) Signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// Stop ends the process as the kubelet does: SIGTERM, and SIGKILL when its grace is over.
func (p *Process) Stop(grace time.Duration) (code int) {
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(grace):
		_ = p.cmd.Process.Kill()
	}
	return p.ExitCode()
}

// Probe is where an HTTP probe of the pod's container asks.
func (p Pod) Probe(probe *corev1.Probe) (string, error) {
	get := probe.HTTPGet
	if get == nil {
		return "", errors.New("the probe asks by no HTTP")
	}
	port := get.Port.String()
	for _, named := range p.Spec.Containers[0].Ports {
		if named.Name == port {
			port = fmt.Sprint(named.ContainerPort)
		}
	}
	return "http://" + net.JoinHostPort(p.IP, port) + "/" + strings.TrimPrefix(get.Path, "/"), nil
}
