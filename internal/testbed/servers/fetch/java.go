package fetch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// minJava is the oldest Java that Kafka 4 runs on.
const minJava = 17

// Java returns a java that is new enough. Where there is none and the system's package manager may
// be used, it is installed, after saying so.
func Java(ctx context.Context, p *Progress) (string, error) {
	java, found := findJava(ctx)
	if java != "" {
		return java, nil
	}
	what := []wanted{jdkPackage}
	if _, err := exec.LookPath("mvn"); err != nil {
		what = append(what, mavenPackage) // it comes to light next: one command shall do for both
	}
	if err := install(ctx, p, fmt.Sprintf("a JDK %d or newer is needed, found: %s", minJava, found), what...); err != nil {
		return "", err
	}
	if java, found = findJava(ctx); java == "" {
		return "", fmt.Errorf("find java: still not %d or newer after the installation, but %s", minJava, found)
	}
	return java, nil
}

// Maven is Java for Maven, which needs a Java itself.
func Maven(ctx context.Context, p *Progress) (maven, java string, err error) {
	if java, err = Java(ctx, p); err != nil {
		return "", "", err
	}
	if maven, err = exec.LookPath("mvn"); err == nil {
		return maven, java, nil
	}
	if err := install(ctx, p, "Maven is needed and missing", mavenPackage); err != nil {
		return "", "", err
	}
	if maven, err = exec.LookPath("mvn"); err != nil {
		return "", "", fmt.Errorf("find Maven: %w", err)
	}
	return maven, java, nil
}

var javaVersion = regexp.MustCompile(`version "(\d+)`)

// findJava looks where JAVA_HOME says, then on PATH; found says what there is, for a person.
func findJava(ctx context.Context) (java, found string) {
	java = "java"
	if home := os.Getenv("JAVA_HOME"); home != "" {
		java = filepath.Join(home, "bin", "java")
	}
	path, err := exec.LookPath(java)
	if err != nil {
		return "", "none"
	}
	out, err := exec.CommandContext(ctx, path, "-version").CombinedOutput()
	if err != nil {
		return "", fmt.Sprintf("%s, which says %q", path, out)
	}
	if match := javaVersion.FindSubmatch(out); match != nil {
		if major, err := strconv.Atoi(string(match[1])); err == nil && major >= minJava {
			return path, ""
		}
	}
	return "", path + ", which says " + strings.SplitN(string(out), "\n", 2)[0]
}

// packageManager is how one family of systems installs a JDK or Maven. Only the first is used by us; the
// others are for the sentence that tells a person what to do.
type packageManager struct {
	program string
	install string
	names   map[wanted]string
}

type wanted int

const (
	jdkPackage wanted = iota
	mavenPackage
)

var packageManagers = []packageManager{
	{"apt-get", "apt-get install -y --no-install-recommends", map[wanted]string{jdkPackage: "openjdk-17-jdk-headless", mavenPackage: "maven"}},
	{"dnf", "dnf install -y", map[wanted]string{jdkPackage: "java-17-openjdk-devel", mavenPackage: "maven"}},
	{"zypper", "zypper install -y", map[wanted]string{jdkPackage: "java-17-openjdk-devel", mavenPackage: "maven"}},
	{"pacman", "pacman -S --noconfirm", map[wanted]string{jdkPackage: "jdk17-openjdk", mavenPackage: "maven"}},
	{"apk", "apk add", map[wanted]string{jdkPackage: "openjdk17", mavenPackage: "maven"}},
}

// install installs with apt-get where that may be done without asking anybody, and otherwise returns an
// error with the one command that does it.
func install(ctx context.Context, p *Progress, why string, what ...wanted) error {
	for _, manager := range packageManagers {
		if _, err := exec.LookPath(manager.program); err != nil {
			continue
		}
		names := make([]string, len(what))
		for i, one := range what {
			names[i] = manager.names[one]
		}
		become, allowed := asRoot(ctx)
		if manager.program != "apt-get" || !allowed {
			return fmt.Errorf("%s; install it with: sudo %s %s", why, manager.install, strings.Join(names, " "))
		}
		p.Printf("%s; installing it with: %s %s", why, manager.install, strings.Join(names, " "))
		return p.During("installing "+strings.Join(names, " and "), nothing, func() error {
			return aptInstall(ctx, become, manager, names)
		})
	}
	return fmt.Errorf("%s; install a JDK %d and Maven and put java and mvn on PATH", why, minJava)
}

func aptInstall(ctx context.Context, become []string, apt packageManager, names []string) error {
	run := func(command string) error {
		line := append(slices.Clone(become), strings.Fields(command)...)
		cmd := exec.CommandContext(ctx, line[0], line[1:]...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", command, err, out)
		}
		return nil
	}
	if err := run("apt-get update -q"); err != nil {
		return err
	}
	packages := strings.Join(names, " ")
	err := run(apt.install + " " + packages)
	if newer := strings.Replace(packages, apt.names[jdkPackage], "default-jdk-headless", 1); err != nil && newer != packages {
		if second := run(apt.install + " " + newer); second != nil { // a release that has only newer ones
			return errors.Join(err, second)
		}
		return nil
	}
	return err
}

// asRoot says what to put before a command so that root runs it, if that needs no password.
func asRoot(ctx context.Context) (prefix []string, allowed bool) {
	if os.Geteuid() == 0 {
		return nil, true
	}
	if exec.CommandContext(ctx, "sudo", "-n", "true").Run() == nil {
		return []string{"sudo", "-n", "DEBIAN_FRONTEND=noninteractive"}, true
	}
	return nil, false
}
