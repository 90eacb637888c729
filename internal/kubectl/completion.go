package kubectl

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/kubectl/client"
)

const (
	// completeWithin bounds what a person waits for after a tab.
	completeWithin = 1500 * time.Millisecond
	// completeFor is how long answers are kept for the next tab.
	completeFor = 5 * time.Second
	// completeMost bounds what is listed.
	completeMost = 100
)

// argument says what a positional argument is completed from.
type argument int

const (
	kindArg argument = iota
	ordinalArg
	resourceArg
	anyResourceArg // of any kind
)

// complete completes positional arguments from the server.
func (o *options) complete(arguments ...argument) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= len(arguments) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return candidates(o, c.Context(), arguments[len(args)], args, begun), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeFlag completes a flag's value for the kind that is named before it.
func (o *options) completeFlag(a argument) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		return candidates(o, c.Context(), a, args, begun), cobra.ShellCompDirectiveNoFileComp
	}
}

// candidates are none when the server does not answer in time: a tab shows no error.
func candidates(o *options, ctx context.Context, a argument, args []string, begun string) (picked []string) {
	ctx, cancel := context.WithTimeout(ctx, completeWithin)
	defer cancel()
	kind := ""
	if len(args) > 0 {
		kind = args[0]
	}
	text := "" // what is asked of the server; kinds and ordinals are asked whole
	if a == resourceArg || a == anyResourceArg {
		text = begun
	}
	all, err := remembered(o, fmt.Sprint(int(a), "\x00", kind, "\x00", text), func() ([]string, error) {
		to, err := reach(o, ctx)
		if err != nil {
			return nil, err
		}
		return ask(ctx, to, a, kind, text)
	})
	if err != nil {
		cobra.CompDebugln(err.Error(), false)
		return nil
	}
	for _, c := range all {
		if strings.HasPrefix(c, begun) {
			picked = append(picked, c)
		}
	}
	return picked
}

// ask returns candidates; what follows a tab in one is shown beside it.
func ask(ctx context.Context, to *client.Client, a argument, kind, text string) (all []string, err error) {
	switch a {
	case ordinalArg:
		list, err := to.Of(kind).Instances(ctx, client.InstanceQuery{})
		for _, i := range list.Value.Items {
			all = append(all, strconv.Itoa(i.Ordinal)+"\t"+i.State+", "+strconv.Itoa(i.List.Count)+" resources")
		}
		return all, err
	case resourceArg:
		return resources(ctx, to, kind, text)
	}
	list, err := to.Kinds(ctx)
	if err != nil {
		return nil, err
	}
	for _, k := range list.Value.Items {
		if a == kindArg {
			all = append(all, k.Name+"\t"+strings.ReplaceAll(k.Why, "\n", " "))
			continue
		}
		ids, err := resources(ctx, to, k.Name, text)
		if err != nil {
			return all, err
		}
		all = append(all, ids...)
	}
	return all, nil
}

// resources are ids that begin with a text. What a line of candidates cannot hold is left out.
func resources(ctx context.Context, to *client.Client, kind, text string) (ids []string, err error) {
	list, err := to.Of(kind).Resources(ctx, text, completeMost)
	for _, r := range list.Value.Items {
		if strings.HasPrefix(r.ID, text) && !strings.ContainsAny(r.ID, "\t\n\r") {
			ids = append(ids, r.ID)
		}
	}
	return ids, err
}

// kept is an answer in the cache.
type kept struct {
	At  time.Time `json:"at"`
	All []string  `json:"all"`
}

// remembered asks, unless the same was asked a moment ago. The cache is of this user alone.
func remembered(o *options, what string, fetch func() ([]string, error)) ([]string, error) {
	folder, err := os.UserCacheDir()
	if err != nil {
		return fetch()
	}
	folder = filepath.Join(folder, "kubectl-shardscaler")
	sum := sha256.Sum256([]byte(strings.Join([]string{
		what, o.server, *o.kube.Namespace, *o.kube.Context, *o.kube.KubeConfig, os.Getenv("KUBECONFIG"), *o.kube.ClusterName,
		*o.kube.AuthInfoName, *o.kube.Impersonate, *o.kube.BearerToken, o.tokenFile, o.account,
	}, "\x00")))
	file := filepath.Join(folder, hex.EncodeToString(sum[:16])+".json")
	var k kept
	if text, err := os.ReadFile(file); err == nil && exact.JSON(text, &k) == nil && o.now().Sub(k.At).Abs() < completeFor {
		return k.All, nil
	}
	all, err := fetch()
	if err != nil {
		return nil, err
	}
	forget(folder, o.now())
	if text, err := json.Marshal(kept{o.now(), all}); err == nil && os.MkdirAll(folder, 0o700) == nil {
		_ = os.WriteFile(file, text, 0o600) // without a cache the next tab asks again
	}
	return all, nil
}

// forget removes answers that do not count any more, so that they do not gather.
func forget(folder string, now time.Time) {
	entries, _ := os.ReadDir(folder)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && now.Sub(info.ModTime()) > completeFor {
			_ = os.Remove(filepath.Join(folder, e.Name()))
		}
	}
}

func newCompletion(o *options) *cobra.Command {
	c := &cobra.Command{
		Use:   "completion",
		Short: "Have kubectl complete this plugin's commands",
		Args:  words(0, 0),
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newInstall(o))
	return c
}

// shimName is the program that kubectl runs to complete `kubectl shardscaler`.
const shimName = "kubectl_complete-shardscaler"

func newInstall(o *options) *cobra.Command {
	var folder string
	var yes bool
	c := &cobra.Command{
		Use:   "install",
		Short: "Install the program by which kubectl completes this plugin",
		Long: `Install ` + shimName + `, which kubectl 1.26 and later runs to complete "kubectl shardscaler": commands, flags, and from the server
kinds, ordinals and the ids of resources. The folder must be on PATH. kubectl's own completion must be set up: kubectl completion --help.`,
		Example: `  kubectl shardscaler completion install
  kubectl shardscaler completion install --dir ~/.local/bin`,
		Args: words(0, 0),
		RunE: func(*cobra.Command, []string) error { return installShim(o, folder, yes) },
	}
	c.Flags().StringVar(&folder, "dir", "", "The folder; default: where the plugin itself is")
	c.Flags().BoolVar(&yes, "yes", false, "Do not ask")
	_ = c.MarkFlagDirname("dir")
	return c
}

func installShim(o *options, folder string, yes bool) error {
	if folder == "" {
		plugin, err := exec.LookPath("kubectl-shardscaler")
		if err != nil {
			return client.Advise(errors.New("the plugin kubectl-shardscaler is on no folder of PATH"), "put it there, or name a folder with --dir")
		}
		folder = filepath.Dir(plugin)
		if !yes {
			if err := o.ask(fmt.Sprintf("Install %s into %s?", shimName, folder)); err != nil {
				return err
			}
		}
	}
	name, text := shim(runtime.GOOS)
	file := filepath.Join(folder, name)
	if err := os.WriteFile(file, []byte(text), 0o755); err != nil { //nolint:gosec // it is a program, for all to run
		return client.Advise(fmt.Errorf("install %s: %w", shimName, err), "name a folder that you may write, and that is on PATH: --dir FOLDER")
	}
	if err := os.Chmod(file, 0o755); err != nil { //nolint:gosec // one that was there keeps its mode otherwise
		return err
	}
	fmt.Fprintln(o.Out, "installed", file)
	if found, err := exec.LookPath(shimName); err != nil || !sameFile(found, file) {
		fmt.Fprintf(o.ErrOut, "kubectl does not find it there: put %s before the other folders of PATH\n", folder)
	}
	return nil
}

func sameFile(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(one, other)
}

// shim is the file and its text: kubectl hands the words on as they are.
func shim(system string) (name, text string) {
	if system == "windows" {
		return shimName + ".cmd", "@echo off\r\nkubectl-shardscaler __complete %*\r\n"
	}
	return shimName, "#!/bin/sh\nexec kubectl-shardscaler __complete \"$@\"\n"
}
