package docs

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/cmd/command"
	"github.com/millrace/millrace/cmd/command/kafka"
	"github.com/millrace/millrace/cmd/command/session"
	"github.com/millrace/millrace/plugins/wasm/abi"
	"github.com/millrace/millrace/sdk/kit"
)

// TestMain: a process that is called millrace, or as one of Kafka's tools, is that program.
func TestMain(m *testing.M) {
	name := filepath.Base(os.Args[0])
	if _, ok := kafka.Lookup(name); ok || name == "millrace" {
		os.Exit(command.Main(os.Args, os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// drawing is for pictures, which nothing can run.
func drawing(*testing.T, *block) {}

// within is for blocks that the runner of another block of the page runs or compares with it.
func within(runner) runner { return drawing }

// sibling is the block of a page in that language that begins with a text.
func sibling(t *testing.T, page, language, begins string) *block {
	t.Helper()
	want := claim{page, language, begins, nil}
	for _, b := range blocksOf(page, pages(t)[page]) {
		if want.claims(b) {
			return b
		}
	}
	t.Fatalf("%s has no block of %q that begins with %q", page, language, begins)
	return nil
}

// flat is code without its indentation and empty lines.
func flat(code string) string {
	var out strings.Builder
	for line := range strings.Lines(code) {
		if line = strings.TrimSpace(line); line != "" {
			out.WriteString(line + "\n")
		}
	}
	return out.String()
}

// sources are the files of patterns, below the root of the project.
func sources(t *testing.T, patterns []string) string {
	t.Helper()
	var all strings.Builder
	for _, pattern := range patterns {
		files, err := filepath.Glob("../" + pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no files, %v", pattern, err)
		}
		for _, file := range files {
			all.WriteString(read(t, file))
		}
	}
	return all.String()
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o700)); err != nil {
		t.Fatal(err)
	}
}

// goShown is for Go that stands, word for word, in examples and tests that are compiled and run.
func goShown(patterns ...string) runner {
	return func(t *testing.T, b *block) {
		if !strings.Contains(flat(sources(t, patterns)), flat(b.text)) {
			t.Errorf("%v: %v have no such code:\n%s", b, patterns, b.text)
		}
	}
}

var imports = regexp.MustCompile(`(?s)^package \w+\n\nimport (\(.*?\n\)|"[^"]*")\n`)

// goPackage is for whole files of Go: they are compiled as they stand, outside of this module, and what is behind
// their imports stands in tests that run it, if any are named.
func goPackage(patterns ...string) runner {
	return func(t *testing.T, b *block) {
		if len(patterns) > 0 && !strings.Contains(flat(sources(t, patterns)), flat(imports.ReplaceAllString(b.text, ""))) {
			t.Errorf("%v: %v have no such code", b, patterns)
		}
		folder := t.TempDir()
		root := absolute(t, "..")
		write(t, filepath.Join(folder, "shown.go"), b.text)
		write(t, filepath.Join(folder, "go.sum"), read(t, "../go.sum"))
		write(t, filepath.Join(folder, "go.mod"), fmt.Sprintf("module shown\n\ngo 1.26\n\nrequire github.com/millrace/millrace v0.0.0\n\nreplace github.com/millrace/millrace => %q\n", root))
		typed(t, folder, "go vet .")
	}
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// rustShown is for Rust that stands in the documentation of the guest crate, which `.ci/run guests` has cargo
// compile and run (cargo test --doc).
func rustShown(file string) runner {
	return func(t *testing.T, b *block) {
		var doc strings.Builder
		for line := range strings.Lines(read(t, "../"+file)) {
			line = strings.TrimSpace(line)
			for _, mark := range []string{"//!", "///"} {
				if text, ok := strings.CutPrefix(line, mark); ok && !strings.HasPrefix(text, " # ") {
					doc.WriteString(text + "\n")
				}
			}
		}
		if !strings.Contains(flat(doc.String()), flat(b.text)) {
			t.Errorf("%v: the documentation in %s has no such code", b, file)
		}
		if !strings.Contains(ciStep(t, "guests"), "--doc") {
			t.Error(".ci/run guests does not run what the documentation of the crate shows")
		}
	}
}

// ciStep is the text of a step of .ci/run.
func ciStep(t *testing.T, name string) string {
	t.Helper()
	_, step, found := strings.Cut(read(t, "../.ci/run"), "\n"+name+"() {")
	step, _, ended := strings.Cut(step, "}\n\n")
	if !found || !ended {
		t.Fatalf(".ci/run has no step %s", name)
	}
	return step
}

var magic = regexp.MustCompile(`magic ([0-9a-f]{2} [0-9a-f]{2} [0-9a-f]{2} [0-9a-f]{2})\s+u32\s+"(\w{4})"`)

// layout is for drawings of what modules are shown and answer: magics are those of the ABI, and places follow each other.
func layout(t *testing.T, b *block) {
	known := []uint32{abi.BatchMagic, abi.EditsMagic, abi.PlaceMagic, abi.DatumMagic, abi.GroupMagic, abi.DealtMagic, abi.RecordMagic, abi.AckMagic, abi.CommitMagic}
	for _, found := range magic.FindAllStringSubmatch(b.text, -1) {
		var spelled uint32
		for i, c := range []byte(found[2]) {
			spelled |= uint32(c) << (8 * i)
		}
		if fmt.Sprintf("% x", found[2]) != found[1] || !slices.Contains(known, spelled) {
			t.Errorf("%v: no magic of the ABI: %s", b, found[0])
		}
	}
	last := -1
	for line := range strings.Lines(b.text) {
		place, _, _ := strings.Cut(strings.TrimSpace(strings.ReplaceAll(line, "+", "")), " ")
		at, err := strconv.Atoi(place)
		switch {
		case strings.TrimSpace(line) == "":
			last = -1
		case err == nil && at <= last:
			t.Errorf("%v: place %d comes after %d", b, at, last)
		case err == nil:
			last = at
		}
	}
	if last < 0 {
		t.Errorf("%v: this is no layout:\n%s", b, b.text)
	}
}

// programs is a folder with this source's millrace and Kafka's tools, and a go that runs the former without building it.
func programs(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"millrace"}
	for _, tool := range kafka.Tools() {
		names = append(names, tool.Name, tool.Name+".sh")
	}
	for _, name := range names {
		if err := os.Symlink(self, filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(folder, "go"), fmt.Sprintf("#!/bin/sh\nif [ \"$1 $2\" = 'run ./cmd/millrace' ]; then shift 2; exec %q \"$@\"; fi\nexec %q \"$@\"\n",
		filepath.Join(folder, "millrace"), tool))
	return folder
}

// shell is a bash that has the programs, in a folder, and what it says on standard error.
func shell(t *testing.T, folder, lines string, environment ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-c", "set -euo pipefail\n"+lines)
	cmd.Dir = folder
	cmd.Env = append(append(os.Environ(), "PATH="+programs(t)+string(os.PathListSeparator)+os.Getenv("PATH"), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOSUMDB=off"), environment...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	return cmd, &errs
}

// typed types lines in a folder, all of which must succeed, and answers what they print.
func typed(t *testing.T, folder, lines string, environment ...string) string {
	t.Helper()
	cmd, errs := shell(t, folder, lines, environment...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v:\n%s\nprinted\n%s%s", err, lines, out, errs)
	}
	return string(out)
}

// commands are the lines of a block as one types them, without comments.
func commands(text string) (all []string) {
	for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", "")) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), " #")
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// parse reads a line of millrace's with its own flags, and runs nothing.
func parse(t *testing.T, line string) error {
	t.Helper()
	words := strings.Fields(strings.NewReplacer("'", "", "go run ./cmd/millrace", "millrace").Replace(line))
	if words[0] != "millrace" {
		return fmt.Errorf("%q is no line of millrace", line)
	}
	root := command.Root(t.Context(), session.Streams{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard})
	c, rest, err := root.Find(words[1:])
	if err != nil {
		return err
	}
	if c == root || !c.Runnable() {
		return fmt.Errorf("%q names no command", line)
	}
	if err := c.ParseFlags(rest); err != nil {
		return err
	}
	return errors.Join(c.ValidateRequiredFlags(), c.ValidateArgs(c.Flags().Args()))
}

func TestLinesThatAreWrongAreFound(t *testing.T) {
	for line, fine := range map[string]bool{
		"millrace topics create first --partitions 3": true, "go run ./cmd/millrace bench": true,
		"millrace topics create first --partitons 3": false, "millrace topics create": false, "millrace tpics": false, "millrace": false, "make pgo": false,
	} {
		if err := parse(t, line); (err == nil) != fine {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// shellParsed is for lines that cannot be typed in a test; claims say why.
func shellParsed(t *testing.T, b *block) {
	for _, line := range commands(b.text) {
		if err := parse(t, line); err != nil {
			t.Errorf("%v: %s: %v", b, line, err)
		}
	}
}

// walked is for what `.ci/run guests` types line by line (TestTheDocsCanBeWalkedInGo and InRust): each line of
// millrace's is parsed here too.
func walked(t *testing.T, b *block) {
	if step := ciStep(t, "walk"); !strings.Contains(step, "Walk") || !strings.Contains(step, "./cmd/command/plugin") {
		t.Error(".ci/run does not walk through the page")
	}
	if !strings.Contains(read(t, "../cmd/command/plugin/walk_test.go"), `"`+b.page+`"`) {
		t.Errorf("no walk reads %s", b.page)
	}
	for _, line := range commands(b.text) {
		for part := range strings.SplitSeq(line, "&&") {
			if part = strings.TrimSpace(part); !strings.HasPrefix(part, "millrace ") {
				continue
			}
			if err := parse(t, part); err != nil {
				t.Errorf("%v: %s: %v", b, part, err)
			}
		}
	}
}

// firstStart is for a broker that is started without any settings: it greets, keeps its data beside it, and ends well.
// Its port is a free one here.
func firstStart(t *testing.T, b *block) {
	for _, line := range commands(b.text) {
		switch line {
		case "go test ./...":
			if !strings.Contains(ciStep(t, "test"), line) {
				t.Errorf("%v: .ci/run test does not run %s", b, line)
			}
		case "go run ./cmd/millrace serve":
			starts(t, line)
		default:
			t.Errorf("%v: nobody types %s", b, line)
		}
	}
}

func starts(t *testing.T, line string) {
	t.Helper()
	folder := t.TempDir()
	cmd, errs := shell(t, folder, "exec "+line+" --override listeners=PLAINTEXT://127.0.0.1:0 --override admin.listener=")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	address := ""
	said := bufio.NewScanner(out)
	for address == "" && said.Scan() {
		if _, rest, ok := strings.Cut(said.Text(), "--bootstrap-server "); ok {
			address, _, _ = strings.Cut(rest, " ")
		}
	}
	if address == "" {
		t.Fatalf("the broker ended with %v and said %s", cmd.Wait(), errs)
	}
	if listed := typed(t, folder, "millrace topics list", "MILLRACE_BOOTSTRAP_SERVER="+address); strings.TrimSpace(listed) != "" {
		t.Errorf("a new broker has topics: %s", listed)
	}
	if _, err := os.Stat(filepath.Join(folder, "millrace-data")); err != nil {
		t.Error(err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	for said.Scan() { // to its end
		continue
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the broker ended with %v and said %s", err, errs)
	}
}

// firstMinute is for the lines that are typed first. bench takes a minute: it is parsed.
func firstMinute(t *testing.T, b *block) {
	var lines []string
	for _, line := range commands(b.text) {
		if line != "go run ./cmd/millrace bench" {
			lines = append(lines, line)
		} else if err := parse(t, line); err != nil {
			t.Error(err)
		}
	}
	broker := kit.Start(t, kit.Options{})
	if said := typed(t, t.TempDir(), strings.Join(lines, "\n"), "MILLRACE_BOOTSTRAP_SERVER="+broker.Address()); said != "Created topic first.\nhello\n" {
		t.Errorf("%v: printed %q", b, said)
	}
}

// firstProgram is for docs/start.md: the lines are typed in an empty folder, the clone is this one, the editor writes the
// program as the page has it, but for the broker's address, and it prints what the page says.
func firstProgram(t *testing.T, b *block) {
	broker := kit.Start(t, kit.Options{})
	folder := t.TempDir()
	lines := strings.ReplaceAll(b.text, "=../millrace\n", "="+absolute(t, "..")+"\n") // where it is compiled already
	program := filepath.Join(folder, "program")
	write(t, program, strings.ReplaceAll(sibling(t, b.page, "go", "package main").text, "127.0.0.1:9092", broker.Address()))
	want := sibling(t, b.page, "", "stored at offset 0").text
	if said := typed(t, folder, lines, "EDITOR=cp "+program); said != want {
		t.Errorf("%v: the program printed\n%s\nwant\n%s", b, said, want)
	}
}

// profiles is for `millrace pprof`: what prints or writes is typed, for one second, against a broker; what serves
// pages until it is ended is parsed (TestEveryKindOfARunningBrokerHasItsPages of cmd/pprof opens them).
func profiles(t *testing.T, b *block) {
	broker := kit.Start(t, kit.Options{Settings: map[string]string{"admin.listener": "127.0.0.1:0"}})
	folder := t.TempDir()
	for _, line := range commands(b.text) {
		if err := parse(t, line); err != nil {
			t.Errorf("%v: %s: %v", b, line, err)
		}
		_, file, writes := strings.Cut(line, "--out ")
		if !writes && !strings.Contains(line, "--top") {
			continue
		}
		typed(t, folder, line+" --seconds 1 "+broker.AdminAddress())
		if _, err := os.Stat(filepath.Join(folder, file)); err != nil {
			t.Error(err)
		}
	}
}
