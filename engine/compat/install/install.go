// Package install brings what the client programs need: jars from Maven Central, a Python environment, Node modules,
// kcat. Everything goes to the cache folder once, appears there whole or not at all, and what cannot be had is an
// error that says what was tried.
package install

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Limit is how long one installation may take.
const Limit = 8 * time.Minute

// Cache is the folder that keeps what was installed: MILLRACE_CACHE, or the user's cache folder.
func Cache() (string, error) {
	dir := os.Getenv("MILLRACE_CACHE")
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find a cache folder (MILLRACE_CACHE names one): %w", err)
		}
		dir = filepath.Join(user, "millrace")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the cache folder: %w", err)
	}
	return dir, nil
}

// once makes a folder of the cache named for what it is made from, and answers its path. make fills a new empty
// folder, which takes its name only when it is complete.
func once(name string, from []string, fill func(dir string) error) (string, error) {
	cache, err := Cache()
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	for _, file := range from {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("install %s: %w", name, err)
		}
		hash.Write(text)
	}
	final := filepath.Join(cache, fmt.Sprintf("%s-%x", name, hash.Sum(nil)[:6]))
	if _, err := os.Stat(filepath.Join(final, "complete")); err == nil {
		return final, nil
	}
	// A Python environment cannot be moved, so the mark, not the name, says that it is complete.
	if err := os.RemoveAll(final); err != nil {
		return "", fmt.Errorf("install %s: %w", name, err)
	}
	if err := os.MkdirAll(final, 0o755); err != nil {
		return "", fmt.Errorf("install %s: %w", name, err)
	}
	if err := fill(final); err != nil {
		return "", fmt.Errorf("install %s: %w", name, err)
	}
	if err := os.WriteFile(filepath.Join(final, "complete"), nil, 0o644); err != nil {
		return "", fmt.Errorf("install %s: %w", name, err)
	}
	return final, nil
}

// run runs one command to its end within Limit. Its output is in the error.
func run(ctx context.Context, dir, name string, arguments ...string) error {
	ctx, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()
	command := exec.CommandContext(ctx, name, arguments...)
	command.Dir = dir
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = time.Second
	output, err := command.CombinedOutput()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("no end within %v: %w", Limit, ctx.Err())
	}
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(arguments, " "), err, strings.Join(lines[max(0, len(lines)-15):], "\n"))
}

// need fails when a program of the machine is not there.
func need(programs ...string) error {
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			return fmt.Errorf("%s is needed and not on this machine: %w", p, err)
		}
	}
	return nil
}
