package servers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shardscaler/shardscaler/internal/testbed/servers/fetch"

	"github.com/shardscaler/shardscaler/internal/testbed/servers/proc"
)

// Part is one of the servers of a sandbox; the control plane is one.
type Part string

// The parts of a sandbox.
const (
	PartKubernetes Part = "kubernetes"
	PartZooKeeper  Part = "zookeeper"
	PartKafka      Part = "kafka"
	PartMQTT       Part = "mqtt"
	PartPostgres   Part = "postgres"
)

// AllParts is what a sandbox consists of unless told otherwise.
var AllParts = []Part{PartKubernetes, PartZooKeeper, PartKafka, PartMQTT, PartPostgres}

// ParseParts reads a list such as "zookeeper,kafka"; the empty one means AllParts.
func ParseParts(names []string) ([]Part, error) {
	if len(names) == 0 {
		return AllParts, nil
	}
	parts := make([]Part, 0, len(names))
	for _, name := range names {
		if !slices.Contains(AllParts, Part(name)) {
			return nil, fmt.Errorf("parse parts: %q is none of %v", name, AllParts)
		}
		parts = append(parts, Part(name))
	}
	return parts, nil
}

// Options say what Start starts.
type Options struct {
	StateDir   string    // folder for all state; must not exist or be empty; default: one in the temporary folder
	Only       []Part    // default: AllParts
	ZooKeepers int       // servers in the ensemble; default 1
	Nodes      int       // nodes of the cluster; default 3
	Progress   io.Writer // told what is being built, fetched or started, and for how long; it may be nil
}

// Env is a running sandbox, and its JSON form is sandbox.json. Parts that were not started are nil.
type Env struct {
	Dir        string      `json:"dir"`
	Tools      Tools       `json:"tools"`
	Kubernetes *Kubernetes `json:"kubernetes,omitempty"`
	ZooKeeper  *ZooKeeper  `json:"zookeeper,omitempty"`
	Kafka      *Kafka      `json:"kafka,omitempty"`
	MQTT       *MQTT       `json:"mqtt,omitempty"`
	Postgres   *Postgres   `json:"postgres,omitempty"`

	endReaper func() // nil in an Env that is only attached
}

// FileVar names, in the environment, the sandbox.json that Attach and Require read.
const FileVar = "SHARDSCALER_SANDBOX"

// startTimeout bounds the start of all servers together, once everything is built and fetched.
const startTimeout = 3 * time.Minute

// Start builds and fetches what is missing, starts the servers side by side, and returns when each
// of them answers. On an error nothing is left running.
func Start(ctx context.Context, options Options) (*Env, error) {
	if runtime.GOOS != "linux" {
		return nil, fmt.Errorf("start sandbox: it needs Linux, this is %s", runtime.GOOS)
	}
	if !roleAware {
		return nil, errors.New("start sandbox: this program does not call servers.RunRole first thing in main or TestMain")
	}
	if len(options.Only) == 0 {
		options.Only = AllParts
	}
	progress := fetch.NewProgress(options.Progress)
	if err := RemoveAbandoned(); err != nil {
		progress.Printf("could not clean up after an earlier sandbox: %v", err)
	}
	tools, err := Fetch(ctx, options.Only, options.Progress)
	if err != nil {
		return nil, err
	}
	env, err := newEnv(options.StateDir, tools)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	err = env.startParts(ctx, options, progress)
	if err == nil {
		err = writeJSON(env.File(), env)
	}
	if err != nil {
		return nil, errors.Join(err, env.Close())
	}
	return env, nil
}

// newEnv makes the folder of a sandbox and the reaper that will remove it.
func newEnv(stateDir string, tools Tools) (*Env, error) {
	dir, err := makeStateDir(stateDir)
	if err != nil {
		return nil, fmt.Errorf("make state folder: %w", err)
	}
	env := &Env{Dir: dir, Tools: tools}
	owner, _ := proc.Identify(os.Getpid())
	if err := writeJSON(filepath.Join(dir, ownerFile), owner); err != nil {
		return nil, fmt.Errorf("record owner: %w", err)
	}
	env.endReaper, err = startReaper(tools.Self, dir)
	return env, err
}

func (e *Env) startParts(ctx context.Context, options Options, progress *fetch.Progress) error {
	starts := map[Part]func(context.Context) error{
		PartKubernetes: into(&e.Kubernetes, func(ctx context.Context) (*Kubernetes, error) {
			return e.startKubernetes(ctx, cmp.Or(options.Nodes, 3))
		}),
		PartZooKeeper: into(&e.ZooKeeper, func(ctx context.Context) (*ZooKeeper, error) {
			return e.startZooKeeper(ctx, "zookeeper", max(options.ZooKeepers, 1))
		}),
		PartKafka:    into(&e.Kafka, func(ctx context.Context) (*Kafka, error) { return e.startKafka(ctx, "kafka", "", "") }),
		PartMQTT:     into(&e.MQTT, func(ctx context.Context) (*MQTT, error) { return e.startMQTT(ctx, "mqtt", "", "") }),
		PartPostgres: into(&e.Postgres, func(ctx context.Context) (*Postgres, error) { return e.startPostgres(ctx, "postgres") }),
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, part := range options.Only {
		group.Go(func() error {
			began := time.Now()
			if err := starts[part](ctx); err != nil {
				return err
			}
			progress.Printf("%s answers after %s", part, time.Since(began).Round(100*time.Millisecond))
			return nil
		})
	}
	return group.Wait()
}

// into starts a server up to three times: another process may take the port that we chose.
func into[S any](server *S, start func(context.Context) (S, error)) func(context.Context) error {
	return func(ctx context.Context) (err error) {
		for range 3 {
			if *server, err = start(ctx); err == nil || ctx.Err() != nil {
				break
			}
		}
		return err
	}
}

// Attach reads the sandbox.json of a sandbox that another process started.
func Attach(file string) (*Env, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("attach to sandbox: %w", err)
	}
	env := &Env{}
	if err := json.Unmarshal(raw, env); err != nil {
		return nil, fmt.Errorf("attach to sandbox: read %s: %w", file, err)
	}
	if abandoned(env.Dir) {
		return nil, fmt.Errorf("attach to sandbox: the one of %s has ended", file)
	}
	for _, server := range env.Servers() {
		server.owner = env.Dir
	}
	return env, nil
}

// Close ends every process of the sandbox, also those that tests started within it, and removes its
// folder. In an attached Env it does nothing.
func (e *Env) Close() error {
	if e.endReaper == nil {
		return nil
	}
	err := reap(e.Dir)
	e.endReaper()
	return err
}

// Servers lists every server process that Start started.
func (e *Env) Servers() (all []*Server) {
	for _, part := range AllParts {
		all = append(all, e.part(part)...)
	}
	return all
}

// part are the servers of a part; none if it was not started.
func (e *Env) part(part Part) []*Server {
	switch {
	case part == PartKubernetes && e.Kubernetes != nil:
		return e.Kubernetes.Servers()
	case part == PartZooKeeper && e.ZooKeeper != nil:
		return e.ZooKeeper.Servers
	case part == PartKafka && e.Kafka != nil:
		return []*Server{e.Kafka.Server}
	case part == PartMQTT && e.MQTT != nil:
		return []*Server{e.MQTT.Server}
	case part == PartPostgres && e.Postgres != nil:
		return []*Server{e.Postgres.Server}
	}
	return nil
}

// sandboxRoot holds the folder of every sandbox of this user, or a link to it. It is not in the
// user's home: PostgreSQL, as another user, must get through.
func sandboxRoot() (string, error) {
	root := filepath.Join(os.TempDir(), fmt.Sprintf("shardscaler-%d", os.Getuid()))
	err := os.MkdirAll(root, 0o755)
	if err == nil {
		var info os.FileInfo
		info, err = os.Lstat(root)
		if err == nil && (!info.IsDir() || info.Sys().(*syscall.Stat_t).Uid != uint32(os.Getuid())) {
			err = fmt.Errorf("%s belongs to another user", root)
		}
	}
	if err != nil {
		return "", fmt.Errorf("make folder for sandboxes: %w", err)
	}
	return root, nil
}

// openDir makes a fresh folder that PostgreSQL, as another user, can pass through.
func openDir(parent, name string) (string, error) {
	dir, err := os.MkdirTemp(parent, name+"-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}

// makeStateDir makes the folder of a sandbox: in sandboxRoot, or elsewhere with a link from there.
func makeStateDir(wanted string) (string, error) {
	root, err := sandboxRoot()
	if err != nil {
		return "", err
	}
	if wanted == "" {
		if wanted, err = openDir(root, "sandbox"); err != nil {
			return "", err
		}
		return filepath.EvalSymlinks(wanted)
	}
	if err := os.MkdirAll(wanted, 0o755); err != nil {
		return "", err
	}
	dir, err := filepath.EvalSymlinks(wanted)
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	if err != nil {
		return "", err
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		return "", fmt.Errorf("%s is not empty", dir)
	}
	link := filepath.Join(root, strings.ReplaceAll(strings.Trim(dir, "/"), "/", "-"))
	_ = os.Remove(link) // of an earlier sandbox in the same place
	return dir, os.Symlink(dir, link)
}
