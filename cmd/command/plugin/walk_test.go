package plugin

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
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

// published makes a repository of this source as it is now, and is what has git take it for
// the one that the page names.
func published(t *testing.T) []string {
	t.Helper()
	folder := t.TempDir()
	copied(t, func(name string, in io.Reader) error {
		path := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		out, err := os.Create(path)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, in)
		return errors.Join(err, out.Close())
	})
	do(t, folder, "git", "init", "-q")
	do(t, folder, "git", "add", "-A")
	do(t, folder, "git", "-c", "user.name=walk", "-c", "user.email=walk@example.com", "commit", "-q", "-m", "The source")
	return []string{"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=url." + folder + ".insteadOf", "GIT_CONFIG_VALUE_0=" + repository}
}

// clean is the environment of somebody who has Go and nothing else: no modules, which come
// from a proxy. Only what was compiled once is kept for the next walk, which takes -trimpath:
// the first is as slow as theirs.
func clean(t *testing.T) []string {
	t.Helper()
	cache := strings.TrimSpace(do(t, source, "go", "env", "GOMODCACHE"))
	return []string{"GOPROXY=file://" + filepath.ToSlash(filepath.Join(cache, "cache", "download")), "GOMODCACHE=" + t.TempDir(), "GOSUMDB=off", "GOFLAGS=-modcacherw -trimpath"}
}

// port is one of loopback that is free.
func port(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed at once
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// walk types the lines in an empty folder, tells how long each took, and is what was said.
//
// One thing is not as on the page: ports that may be others' on this machine. The broker
// gets one of its own by a setting, millrace finds it by MILLRACE_BOOTSTRAP_SERVER, and the
// second broker's stands in the lines.
func walk(t *testing.T, commands []string, environment ...string) string {
	t.Helper()
	first, second := port(t), port(t)
	var script strings.Builder
	script.WriteString("set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n")
	for _, line := range commands {
		typed := strings.ReplaceAll(line, "127.0.0.1:9093", second)
		if typed == "millrace serve &" {
			typed = "millrace serve --override listeners=PLAINTEXT://" + first + " &"
		}
		fmt.Fprintf(&script, "begin=$(date +%%s%%N)\n%s\n[ $? = 0 ] || exit 1\nprintf 'WALK %%6d ms  %%s\\n' $((($(date +%%s%%N) - begin) / 1000000)) %s\n", typed, quoted(line))
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script.String())
	cmd.Dir = t.TempDir()
	cmd.Env = slices.Concat(os.Environ(), clean(t), published(t), []string{"MILLRACE_BOOTSTRAP_SERVER=" + first}, environment)
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
	return string(out)
}

// quoted is a text as bash has it.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// begun are the lines of docs/wasm.md that make a millrace and start a broker.
func begun(t *testing.T) []string {
	t.Helper()
	return lines(t, "docs/wasm.md", "In ten minutes", "git clone", "millrace serve")
}

// The lines of docs/wasm.md, typed one after the other by somebody who changes the stars.
func TestTheDocsCanBeWalkedInGo(t *testing.T) {
	walking(t)
	commands := append(begun(t), lines(t, "docs/wasm.md", "In ten minutes", "millrace topics create orders", "cd ..")...)
	if len(commands) < 20 {
		t.Errorf("only %q", commands)
	}
	said := walk(t, commands, `EDITOR=sed -i s/\*\*\*/###/;t;s/###/+++/`)
	if strings.Count(said, "\na ###\n") != 3 || strings.Count(said, "\nanother +++\n") != 1 {
		t.Errorf("records were not changed as the plugin was, in the broker that has it and in the one that loaded it:\n%s", said)
	}
	if !strings.Contains(said, "It takes Millrace from ") || !strings.Contains(said, "The broker takes Millrace from ") {
		t.Errorf("nobody says where Millrace comes from:\n%s", said)
	}
}

func TestTheDocsCanBeWalkedInRust(t *testing.T) {
	walking(t)
	haveRust(t)
	commands := slices.Concat(begun(t), lines(t, "docs/wasm.md", "In ten minutes", "millrace topics create lines", "kill %1"),
		lines(t, "docs/wasm.md", "In clients", "millrace plugin new", "cd by-byte"))
	said := walk(t, commands, "EDITOR=sed -i s/starts_with/ends_with/")
	if !strings.Contains(said, "\nnothing else\n") || strings.Contains(said, "\ndebug\n") {
		t.Errorf("what is debug was not left out:\n%s", said)
	}
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
	copied(t, func(name string, in io.Reader) error {
		out, err := z.Create(millraceModule + "@" + version + "/" + name)
		if err == nil {
			_, err = io.Copy(out, in)
		}
		return err
	})
	err = errors.Join(z.Close(), file.Close(),
		os.WriteFile(filepath.Join(at, version+".mod"), mod, 0o600),
		os.WriteFile(filepath.Join(at, version+".info"), fmt.Appendf(nil, `{"Version":%q,"Time":"2026-01-01T00:00:00Z"}`, version), 0o600),
		os.WriteFile(filepath.Join(at, "list"), []byte(version+"\n"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return "file://" + filepath.ToSlash(folder)
}

// copied hands on each file of the module, by its name below the root.
func copied(t *testing.T, each func(name string, in io.Reader) error) {
	t.Helper()
	err := filepath.WalkDir(source, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skipped(path, d)
		}
		name, err := filepath.Rel(source, path)
		if err != nil || !d.Type().IsRegular() || name == ".git" || strings.HasPrefix(name, filepath.Join("results", "20")) { // a work tree has a file of that name
			return err
		}
		in, err := os.Open(path)
		if err != nil {
			return err
		}
		defer in.Close()
		return each(filepath.ToSlash(name), in)
	})
	if err != nil {
		t.Fatal(err)
	}
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
	if err := New(io.Discard, Project{Kind: "interceptor", Language: "go", Name: "redact", Folder: folder, Own: Module{Path: millraceModule, Version: version}}); err != nil {
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
	millrace, err := Source(version, Module{})
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
	offline(t)
	t.Setenv("GOFLAGS", "-mod=mod")
	var said strings.Builder
	folder := filepath.Join(t.TempDir(), "redact")
	if err := New(&said, Project{Kind: "interceptor", Language: "go", Name: "redact", Folder: folder, Own: Module{Path: millraceModule, Version: "v0.99.0"}}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said.String(), "It needs github.com/millrace/millrace v0.99.0. If Go cannot get that, begin it with --millrace DIR") {
		t.Errorf("a project says\n%s", said.String())
	}
	millrace, err := Source("v0.99.0", Module{})
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
