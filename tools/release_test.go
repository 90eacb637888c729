package tools_test

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"debug/buildinfo"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// checkout is the last commit of this checkout in a folder of its own; of a tree that is no clone, or
// another user's, the only commit.
func checkout(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	dir := filepath.Join(t.TempDir(), "shardscaler")
	if exec.CommandContext(t.Context(), "git", "clone", "-q", "--depth", "1", "file://"+root, dir).Run() == nil {
		return dir
	}
	require.NoError(t, os.MkdirAll(dir, 0o755))
	out, err := exec.CommandContext(t.Context(), "sh", "-ec", `
		tar -C "$1" --exclude=./.git --exclude=./bin --exclude=./dist --exclude=node_modules -cf - . | tar -C "$2" -xf -
		cd "$2"; git init -q; git add -A
		GIT_AUTHOR_DATE=@1700000000 GIT_COMMITTER_DATE=@1700000000 git -c user.name=test -c user.email=test@example.com commit -qm all
	`, "sh", root, dir).CombinedOutput()
	require.NoError(t, err, string(out))
	return dir
}

// release runs a command of tools/release in a checkout.
func release(t *testing.T, checkout string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"-C", filepath.Join(checkout, "tools/release"), "run", "."}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	return strings.TrimSpace(string(out))
}

// TestRelease makes a release of one platform from two checkouts, and uses what is in it.
func TestRelease(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: building what is released takes a while")
	}
	dist, again := filepath.Join(t.TempDir(), "dist"), filepath.Join(t.TempDir(), "image.tar")
	release(t, checkout(t), "all", "-version", "v1.2.3", "-repository", "shelf.example/shardscaler",
		"-only", runtime.GOOS+"/"+runtime.GOARCH, "-out", dist)
	digest := release(t, checkout(t), "image", "-version", "v1.2.3", "-out", again)
	archive := read(t, filepath.Join(dist, "shardscaler-image.tar"))
	require.True(t, bytes.Equal(archive, read(t, again)), "two checkouts, one image")

	sums := string(read(t, filepath.Join(dist, "checksums.txt")))
	entries, err := os.ReadDir(dist)
	require.NoError(t, err)
	require.Len(t, strings.Split(strings.TrimSpace(sums), "\n"), len(entries)-1, "all files but the sums")
	for _, e := range entries {
		if e.Name() != "checksums.txt" {
			require.Contains(t, sums, fmt.Sprintf("%x  %s\n", sha256.Sum256(read(t, filepath.Join(dist, e.Name()))), e.Name()))
		}
	}
	manifests := unpack(t, bytes.NewReader(gunzip(t, read(t, filepath.Join(dist, "manifests.tar.gz")))))
	require.Contains(t, string(manifests["manifests/base/kustomization.yaml"]), "- name: shelf.example/shardscaler\n  digest: "+digest+"\n")
	for _, file := range []string{"base/deployment", "components/example-workload/iota-dac", "components/example-workload/iota-rules-engine"} {
		require.Contains(t, string(manifests["manifests/"+file+".yaml"]), "image: shelf.example/shardscaler@"+digest+"\n")
	}

	chart := filepath.Join(dist, "shardscaler-1.2.3.tgz")
	rendered, err := exec.CommandContext(t.Context(), "go", "-C", "helm", "tool", "helm", "template", "any", chart).CombinedOutput()
	require.NoError(t, err, string(rendered))
	require.Contains(t, string(rendered), "image: shelf.example/shardscaler@"+digest+"\n")
	shown, err := exec.CommandContext(t.Context(), "go", "-C", "helm", "tool", "helm", "show", "chart", chart).CombinedOutput()
	require.NoError(t, err, string(shown))
	require.Contains(t, string(shown), "\nversion: 1.2.3\n")

	im := open(t, archive)
	require.Equal(t, digest, im.digest)
	t.Run("config", im.isConfigured)
	t.Run("sbom", im.listsItsModules)
	t.Run("authorities", im.knowsAuthorities)
	t.Run("time zones", im.knowsTimeZones)
}

// ociImage is an image of an archive, unpacked.
type ociImage struct {
	digest string
	config struct {
		Architecture, OS string
		Created          time.Time
		Config           struct {
			User, WorkingDir string
			Entrypoint, Env  []string
			Labels           map[string]string
		}
	}
	root string // its files
}

// descriptor names a part of an image.
type descriptor struct{ Digest string }

func open(t *testing.T, archive []byte) *ociImage {
	t.Helper()
	blobs := unpack(t, bytes.NewReader(archive))
	blob := func(d descriptor) []byte {
		text := blobs["blobs/"+strings.Replace(d.Digest, ":", "/", 1)]
		require.Equal(t, d.Digest, fmt.Sprintf("sha256:%x", sha256.Sum256(text)))
		return text
	}
	var index struct{ Manifests []descriptor }
	require.NoError(t, json.Unmarshal(blobs["index.json"], &index))
	require.Len(t, index.Manifests, 1)
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	require.NoError(t, json.Unmarshal(blob(index.Manifests[0]), &manifest))
	im := &ociImage{digest: index.Manifests[0].Digest, root: t.TempDir()}
	require.NoError(t, json.Unmarshal(blob(manifest.Config), &im.config))
	for _, layer := range manifest.Layers {
		for name, text := range unpack(t, bytes.NewReader(gunzip(t, blob(layer)))) {
			file := filepath.Join(im.root, name)
			require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
			require.NoError(t, os.WriteFile(file, text, 0o755))
		}
	}
	return im
}

// command is a program of the image as a container would run it: in its root, with its environment
// and as its user, on the network of this machine.
func (im *ociImage) command(ctx context.Context, t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Env = im.config.Config.WorkingDir, slices.Concat(im.config.Config.Env, env)
	uid, gid := 0, 0
	_, err := fmt.Sscanf(im.config.Config.User, "%d:%d", &uid, &gid)
	require.NoError(t, err)
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: im.root}
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	} else {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: os.Getgid(), Size: 1}}
	}
	return cmd
}

// run runs a program to its end.
func (im *ociImage) run(t *testing.T, env []string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := im.command(ctx, t, env, args...).CombinedOutput()
	return string(out), err
}

func (im *ociImage) isConfigured(t *testing.T) {
	c := im.config
	require.Equal(t, "linux/"+runtime.GOARCH, c.OS+"/"+c.Architecture)
	require.Equal(t, "65532:65532", c.Config.User)
	require.Equal(t, []string{"/shardscaler"}, c.Config.Entrypoint)
	require.Equal(t, "v1.2.3", c.Config.Labels["org.opencontainers.image.version"])
	require.Regexp(t, "^[0-9a-f]{40}$", c.Config.Labels["org.opencontainers.image.revision"])
	out, err := im.run(t, nil, c.Config.Entrypoint[0], "version")
	require.NoError(t, err, out)
	require.Contains(t, out, "v1.2.3")
	out, err = im.run(t, nil, "/prestop", "--help")
	require.NoError(t, err, out)
	var files []string
	require.NoError(t, filepath.WalkDir(im.root, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files = append(files, strings.TrimPrefix(path, im.root))
		}
		return err
	}))
	require.Equal(t, []string{"/prestop", "/shardscaler", "/var/lib/db/sbom/shardscaler.cdx.json"}, files, "nothing else")
}

// listsItsModules compares the SBOM with what the linker has written into the program.
func (im *ociImage) listsItsModules(t *testing.T) {
	var sbom struct {
		BOMFormat  string
		Components []struct{ Name, Version, PURL string }
	}
	require.NoError(t, json.Unmarshal(read(t, filepath.Join(im.root, "var/lib/db/sbom/shardscaler.cdx.json")), &sbom))
	require.Equal(t, "CycloneDX", sbom.BOMFormat)
	versions := map[string]string{}
	for _, c := range sbom.Components {
		versions[c.Name] = c.Version
		require.True(t, strings.HasPrefix(c.PURL, "pkg:golang/"+c.Name+"@v") || c.Name == "std", c.PURL)
	}
	info, err := buildinfo.ReadFile(filepath.Join(im.root, "shardscaler"))
	require.NoError(t, err)
	require.Len(t, versions, len(info.Deps)+1)
	for _, m := range info.Deps {
		require.Equal(t, m.Version, versions[m.Path])
	}
	require.Contains(t, versions, "k8s.io/client-go")
	require.Equal(t, strings.TrimPrefix(info.GoVersion, "go"), versions["std"])
}

// knowsAuthorities has a server show a certificate that claims to be of a public authority. That it
// is not can only be told by a client that knows the authority.
func (im *ociImage) knowsAuthorities(t *testing.T) {
	authority := pkix.Name{Country: []string{"US"}, Organization: []string{"Internet Security Research Group"}, CommonName: "ISRG Root X1"}
	server, ca := impostor(t, authority)
	require.NoError(t, os.WriteFile(filepath.Join(im.root, "ca.crt"), ca, 0o644))
	ask := func(more ...string) string {
		out, err := im.run(t, []string{"SHARDSCALER_TOKEN=none"}, append([]string{"/shardscaler", "pause", "Thing", "--server", server.URL}, more...)...)
		require.Error(t, err)
		return out
	}
	require.Contains(t, ask(), `candidate authority certificate "ISRG Root X1"`)
	require.Contains(t, ask("--ca-file", "/ca.crt"), "the server that a test stands for", "it is trusted where it is named")
}

// knowsTimeZones has the server say something, and looks at the time that it says it at.
func (im *ociImage) knowsTimeZones(t *testing.T) {
	for name, text := range map[string]string{
		"config.yaml":   string(read(t, "../manifests/tuning/default/config.yaml")),
		"catalogue-dsn": "mysql://user:password@127.0.0.1:1/catalogue",
		"kubeconfig": `{apiVersion: v1, kind: Config, current-context: a, contexts: [{name: a, context: {cluster: a, user: a}}],
			clusters: [{name: a, cluster: {server: "http://127.0.0.1:1"}}], users: [{name: a, user: {}}]}`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(im.root, name), []byte(text), 0o644))
	}
	for zone, ends := range map[string]string{"Asia/Shanghai": `\+08:00`, "America/St_Johns": "-0[23]:30", "": "Z"} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		server := im.command(ctx, t, []string{"TZ=" + zone}, "/shardscaler", "run", "--namespace=none", "--pod-name=none", "--config=/config.yaml",
			"--kubeconfig=/kubeconfig", "--zookeeper=127.0.0.1:1", "--mqtt=tcp://127.0.0.1:1", "--catalogue-dsn-file=/catalogue-dsn",
			"--listen=127.0.0.1:0", "--secure-port=0", "--dry-run")
		said, err := server.StderrPipe()
		require.NoError(t, err)
		require.NoError(t, server.Start())
		line, err := bufio.NewReader(said).ReadString('\n')
		require.NoError(t, err)
		cancel()
		_ = server.Wait() // it was killed
		require.Regexp(t, `^time=\S*`+ends+" ", line)
	}
}

// impostor is a server with a certificate of an authority of any name, and that authority.
func impostor(t *testing.T, authority pkix.Name) (*httptest.Server, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: authority, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	made, err := x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key)
	require.NoError(t, err)
	shown, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, key)
	require.NoError(t, err)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "the server that a test stands for", http.StatusTeapot)
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{shown}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made})
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return text
}

func gunzip(t *testing.T, packed []byte) []byte {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(packed))
	require.NoError(t, err)
	text, err := io.ReadAll(zip)
	require.NoError(t, err)
	return text
}

// unpack are the files of an archive.
func unpack(t *testing.T, archive io.Reader) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for r := tar.NewReader(archive); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		require.NoError(t, err)
		if h.Typeflag != tar.TypeReg {
			continue
		}
		files[h.Name], err = io.ReadAll(r)
		require.NoError(t, err)
	}
}
