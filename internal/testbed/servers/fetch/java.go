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
	_, noMaven := exec.LookPath("mvn") // it comes to light next: one command shall do for both
	if err := install(ctx, p, fmt.Sprintf("a JDK %d or newer is needed, found: %s", minJava, found), true, noMaven != nil); err != nil {
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
	if err := install(ctx, p, "Maven is needed and missing", false, true); err != nil {
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

// packageManagers are how families of systems install a JDK; Maven is called maven everywhere. Only
// the first is used by us; the others are for the sentence that tells a person what to do.
var packageManagers = []struct{ program, install, jdk string }{
	{"apt-get", "apt-get install -y --no-install-recommends", "openjdk-17-jdk-headless"},
	{"dnf", "dnf install -y", "java-17-openjdk-devel"},
	{"zypper", "zypper install -y", "java-17-openjdk-devel"},
	{"pacman", "pacman -S --noconfirm", "jdk17-openjdk"},
	{"apk", "apk add", "openjdk17"},
}

// install installs with apt-get where that needs no password of a person, and otherwise returns an
// error with the one command that does it.
func install(ctx context.Context, p *Progress, why string, jdk, maven bool) error {
	for _, manager := range packageManagers {
		if _, err := exec.LookPath(manager.program); err != nil {
			continue
		}
		var names []string
		if jdk {
			names = append(names, manager.jdk)
		}
		if maven {
			names = append(names, "maven")
		}
		command := manager.install + " " + strings.Join(names, " ")
		become, allowed := asRoot(ctx)
		if manager.program != "apt-get" || !allowed {
			return fmt.Errorf("%s; install it with: sudo %s", why, command)
		}
		p.Printf("%s; installing it with: %s", why, command)
		return p.During("installing "+strings.Join(names, " and "), nothing, func() error {
			return aptInstall(ctx, become, command, manager.jdk)
		})
	}
	return fmt.Errorf("%s; install a JDK %d and Maven and put java and mvn on PATH", why, minJava)
}

// aptInstall takes the release's newest JDK where it does not have jdk.
func aptInstall(ctx context.Context, become []string, command, jdk string) error {
	apt := func(command string) error {
		_, err := run(ctx, "", append(slices.Clone(become), strings.Fields(command)...)...)
		return err
	}
	if err := apt("apt-get update -q"); err != nil {
		return err
	}
	err := apt(command)
	newest := strings.Replace(command, jdk, "default-jdk-headless", 1)
	if err == nil || newest == command {
		return err
	}
	if second := apt(newest); second != nil {
		return errors.Join(err, second)
	}
	return nil
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
