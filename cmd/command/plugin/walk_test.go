package plugin

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/sdk/kit"
)

// walking skips what takes minutes, unless CI asks for it.
func walking(t *testing.T) {
	t.Helper()
	if os.Getenv("MILLRACE_WALK") == "" {
		t.Skip("it takes minutes: set MILLRACE_WALK=1, as `.ci/run guests` does")
	}
}

// lines are the commands of a page below a heading, as a person types them: those of the
// indented blocks, from the one that begins with first to the one that begins with last.
func lines(t *testing.T, page, heading, first, last string) (all []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(source, page))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## "+heading+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(section) {
		command, indented := strings.CutPrefix(line, "    ")
		command, _, _ = strings.Cut(command, " #")
		command = strings.TrimSpace(command)
		if !indented || command == "" || len(all) == 0 && !strings.HasPrefix(command, first) {
			continue
		}
		all = append(all, command)
		if strings.HasPrefix(command, last) {
			return all
		}
	}
	t.Fatalf("%s, %q, has no lines from %q to %q: found %v %q", page, heading, first, last, found, all)
	return nil
}

// shim is a folder with a millrace that is the one of this source: it takes Millrace from
// there, and speaks to that broker.
func shim(t *testing.T, broker string) string {
	t.Helper()
	folder := t.TempDir()
	root, err := filepath.Abs(source)
	if err != nil {
		t.Fatal(err)
	}
	real := filepath.Join(folder, "millrace-of-the-source")
	do(t, root, "go", "build", "-o", real, "./cmd/millrace")
	script := fmt.Sprintf(`#!/usr/bin/env bash
case "$2" in
new | build) exec %[1]q "$@" --millrace %[2]q ;;
load | reload | unload | list) exec %[1]q "$@" --bootstrap-server %[3]s ;;
*) exec %[1]q "$@" ;;
esac
`, real, root, broker)
	if err := os.WriteFile(filepath.Join(folder, "millrace"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return folder
}

// walk types the lines in an empty folder, and tells how long each took.
func walk(t *testing.T, commands []string, environment ...string) {
	t.Helper()
	var script strings.Builder
	script.WriteString("set -euo pipefail\n")
	for _, line := range commands {
		fmt.Fprintf(&script, "begin=$(date +%%s%%N)\n%s\nprintf 'WALK %%6d ms  %%s\\n' $((($(date +%%s%%N) - begin) / 1000000)) %q\n", line, line)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script.String())
	cmd.Dir = t.TempDir()
	cmd.Env = append(append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off"), environment...)
	begin := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(begin)
	for line := range strings.Lines(string(out)) {
		if rest, ok := strings.CutPrefix(line, "WALK "); ok {
			t.Log(strings.TrimSpace(rest))
		}
	}
	t.Logf("%d lines took %v", len(commands), took.Round(time.Millisecond))
	if err != nil {
		t.Fatalf("the walk ended with %v:\n%s", err, out)
	}
	if took > 10*time.Minute {
		t.Errorf("it took %v, and the page says ten minutes", took)
	}
}

// The lines of docs/wasm.md, typed one after the other.
func TestTheDocsCanBeWalkedInGo(t *testing.T) {
	walking(t)
	broker := kit.Start(t, kit.Options{Disk: true, Topics: map[string]int32{"orders": 1}})
	commands := lines(t, "docs/wasm.md", "In ten minutes", "millrace plugin new", "millrace plugin unload redact")
	if len(commands) < 10 {
		t.Errorf("only %q", commands)
	}
	walk(t, commands, "PATH="+shim(t, broker.Address())+string(os.PathListSeparator)+os.Getenv("PATH"), `EDITOR=sed -i s/\*\*\*/###/`)
}

func TestTheDocsCanBeWalkedInRust(t *testing.T) {
	walking(t)
	haveRust(t)
	broker := kit.Start(t, kit.Options{Disk: true, Topics: map[string]int32{"orders": 1}})
	commands := lines(t, "docs/wasm.md", "In ten minutes", "millrace plugin new --kind interceptor --lang rust", "millrace plugin unload quiet")
	commands = append(commands, lines(t, "docs/wasm.md", "In clients", "millrace plugin new", "cd by-byte")...)
	walk(t, commands, "PATH="+shim(t, broker.Address())+string(os.PathListSeparator)+os.Getenv("PATH"), "EDITOR=sed -i s/starts_with/ends_with/")
}

func TestWhatIsNoWalk(t *testing.T) {
	if got := lines(t, "docs/wasm.md", "In ten minutes", "millrace plugin wasm . -o redact.wasm", "go test"); len(got) != 2 || got[0] != "millrace plugin wasm . -o redact.wasm" || got[1] != "go test ./..." {
		t.Errorf("the lines are %q", got)
	}
}

// proxied is a version of this source as a Go proxy has it, in a folder.
func proxied(t *testing.T, version string) string {
	t.Helper()
	folder := t.TempDir()
	at := filepath.Join(folder, millraceModule, "@v")
	if err := os.MkdirAll(at, 0o755); err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(source, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(at, version+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(file)
	err = filepath.WalkDir(source, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skipped(path, d)
		}
		name, err := filepath.Rel(source, path)
		if err != nil || !d.Type().IsRegular() || strings.HasPrefix(name, filepath.Join("results", "20")) {
			return err
		}
		in, err := os.Open(path)
		if err != nil {
			return err
		}
		defer in.Close()
		out, err := z.Create(millraceModule + "@" + version + "/" + filepath.ToSlash(name))
		if err == nil {
			_, err = io.Copy(out, in)
		}
		return err
	})
	err = errors.Join(err, z.Close(), file.Close(),
		os.WriteFile(filepath.Join(at, version+".mod"), mod, 0o600),
		os.WriteFile(filepath.Join(at, version+".info"), fmt.Appendf(nil, `{"Version":%q,"Time":"2026-01-01T00:00:00Z"}`, version), 0o600),
		os.WriteFile(filepath.Join(at, "list"), []byte(version+"\n"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return "file://" + filepath.ToSlash(folder)
}

// skipped leaves out what is no part of the module: other modules, and what git and builds keep.
func skipped(path string, d fs.DirEntry) error {
	name := d.Name()
	if path == source {
		return nil
	}
	if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil || name == ".git" || name == ".cache" || name == "target" {
		return filepath.SkipDir
	}
	return nil
}

// A project and a broker that name a version, which comes from a proxy: no folder with the
// source is needed.
func TestAVersionComesFromAProxy(t *testing.T) {
	walking(t)
	const version = "v0.0.1"
	cache := strings.TrimSpace(do(t, source, "go", "env", "GOMODCACHE"))
	// A cache of its own: that version is nobody else's. -trimpath shares what is compiled.
	for name, value := range map[string]string{
		"GOPROXY": proxied(t, version) + ",file://" + filepath.ToSlash(filepath.Join(cache, "cache", "download")), "GOMODCACHE": t.TempDir(),
		"GOSUMDB": "off", "GOFLAGS": "-mod=mod -modcacherw -trimpath",
	} {
		t.Setenv(name, value)
	}
	folder := filepath.Join(t.TempDir(), "redact")
	if err := New(io.Discard, Project{Kind: "interceptor", Language: "go", Name: "redact", Folder: folder, Version: version}); err != nil {
		t.Fatal(err)
	}
	typed := func(tool string, arguments ...string) {
		t.Helper()
		if err := run(t.Context(), io.Discard, folder, nil, tool, arguments...); err != nil {
			t.Fatal(err)
		}
	}
	typed("go", "mod", "tidy")
	typed("go", "test", "./...")
	millrace, err := Source("", version)
	if err != nil {
		t.Fatal(err)
	}
	broker := filepath.Join(t.TempDir(), "broker")
	b := Build{Millrace: millrace, With: []Module{{Path: "redact", Version: noVersion, Folder: folder}}, Output: broker, Verbose: io.Discard}
	if err := b.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if said := do(t, folder, "go", "version", "-m", broker); !strings.Contains(said, "dep\t"+millraceModule+"\t"+version) {
		t.Errorf("the broker is of another version:\n%s", said)
	}
}

func TestAVersionThatCannotBeHad(t *testing.T) {
	t.Setenv("GOPROXY", "off")
	t.Setenv("GOFLAGS", "-mod=mod")
	var said strings.Builder
	folder := filepath.Join(t.TempDir(), "redact")
	if err := New(&said, Project{Kind: "interceptor", Language: "go", Name: "redact", Folder: folder, Version: "v0.99.0"}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said.String(), "It needs github.com/millrace/millrace v0.99.0. If Go cannot get that, begin it with --millrace DIR") {
		t.Errorf("a project says\n%s", said.String())
	}
	millrace, err := Source("", "v0.99.0")
	if err != nil {
		t.Fatal(err)
	}
	b := Build{Millrace: millrace, With: []Module{{Path: "redact", Version: noVersion, Folder: folder}}, Output: filepath.Join(t.TempDir(), "broker"), Verbose: io.Discard}
	if err := b.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "millrace v0.99.0 cannot be had as a Go module") || !strings.Contains(err.Error(), "--millrace") {
		t.Errorf("building with it says %v", err)
	}
	g := Guest{Folder: folder, Output: filepath.Join(t.TempDir(), "redact.wasm"), Verbose: io.Discard}
	if err := g.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "--millrace") {
		t.Errorf("making a module with it says %v", err)
	}
}
