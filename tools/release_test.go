package tools_test

import (
	"bufio"
	"bytes"
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
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/testbed/container"
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
	manifests, err := container.Unpack(read(t, filepath.Join(dist, "manifests.tar.gz")))
	require.NoError(t, err)
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

	opened, err := container.Open(archive, t.TempDir())
	require.NoError(t, err)
	require.Equal(t, digest, opened.Digest)
	im := released{opened}
	t.Run("config", im.isConfigured)
	t.Run("sbom", im.listsItsModules)
	t.Run("authorities", im.knowsAuthorities)
	t.Run("time zones", im.knowsTimeZones)
}

// released is the image of a release.
type released struct{ *container.Image }

// run runs a program to its end.
func (im released) run(t *testing.T, env []string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd, err := im.Command(ctx, env, args...)
	require.NoError(t, err)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (im released) isConfigured(t *testing.T) {
	c := im.Config
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
	require.NoError(t, filepath.WalkDir(im.Root, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files = append(files, strings.TrimPrefix(path, im.Root))
		}
		return err
	}))
	require.Equal(t, []string{"/prestop", "/shardscaler", "/var/lib/db/sbom/shardscaler.cdx.json"}, files, "nothing else")
}

// listsItsModules compares the SBOM with what the linker has written into the program.
func (im released) listsItsModules(t *testing.T) {
	var sbom struct {
		BOMFormat  string
		Components []struct{ Name, Version, PURL string }
	}
	require.NoError(t, json.Unmarshal(read(t, filepath.Join(im.Root, "var/lib/db/sbom/shardscaler.cdx.json")), &sbom))
	require.Equal(t, "CycloneDX", sbom.BOMFormat)
	versions := map[string]string{}
	for _, c := range sbom.Components {
		versions[c.Name] = c.Version
		require.True(t, strings.HasPrefix(c.PURL, "pkg:golang/"+c.Name+"@v") || c.Name == "std", c.PURL)
	}
	info, err := buildinfo.ReadFile(filepath.Join(im.Root, "shardscaler"))
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
func (im released) knowsAuthorities(t *testing.T) {
	authority := pkix.Name{Country: []string{"US"}, Organization: []string{"Internet Security Research Group"}, CommonName: "ISRG Root X1"}
	server, ca := impostor(t, authority)
	require.NoError(t, os.WriteFile(filepath.Join(im.Root, "ca.crt"), ca, 0o644))
	ask := func(more ...string) string {
		out, err := im.run(t, []string{"SHARDSCALER_TOKEN=none"}, append([]string{"/shardscaler", "pause", "Thing", "--server", server.URL}, more...)...)
		require.Error(t, err)
		return out
	}
	require.Contains(t, ask(), `candidate authority certificate "ISRG Root X1"`)
	require.Contains(t, ask("--ca-file", "/ca.crt"), "the server that a test stands for", "it is trusted where it is named")
}

// knowsTimeZones has the server say something, and looks at the time that it says it at.
func (im released) knowsTimeZones(t *testing.T) {
	for name, text := range map[string]string{
		"config.yaml":   string(read(t, "../manifests/tuning/default/config.yaml")),
		"catalogue-dsn": "mysql://user:password@127.0.0.1:1/catalogue",
		"kubeconfig": `{apiVersion: v1, kind: Config, current-context: a, contexts: [{name: a, context: {cluster: a, user: a}}],
			clusters: [{name: a, cluster: {server: "http://127.0.0.1:1"}}], users: [{name: a, user: {}}]}`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(im.Root, name), []byte(text), 0o644))
	}
	for zone, ends := range map[string]string{"Asia/Shanghai": `\+08:00`, "America/St_Johns": "-0[23]:30", "": "Z"} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		server, err := im.Command(ctx, []string{"TZ=" + zone}, "/shardscaler", "run", "--namespace=none", "--pod-name=none", "--config=/config.yaml",
			"--kubeconfig=/kubeconfig", "--zookeeper=127.0.0.1:1", "--mqtt=tcp://127.0.0.1:1", "--catalogue-dsn-file=/catalogue-dsn",
			"--listen=127.0.0.1:0", "--secure-port=0", "--mode=recommend")
		require.NoError(t, err)
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
