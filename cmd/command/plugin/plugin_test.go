package plugin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/pprof/profile"
)

// source is the root of the project.
const source = "../../.."

// begin begins a project in a folder of the test.
func begin(t *testing.T, kind, language, name string) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), name)
	if err := New(io.Discard, Project{Kind: kind, Language: language, Name: name, Folder: folder, Millrace: source}); err != nil {
		t.Fatal(err)
	}
	return folder
}

// modules has every module here that Millrace needs, as far as a project of a plugin may
// need it too: on a fresh machine "go test" has only got those that it compiled.
var modules = sync.OnceValue(func() error {
	cmd := exec.Command("go", "mod", "download") //nolint:noctx // once for all tests
	cmd.Dir = source
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go mod download: %w\n%s", err, out)
	}
	return nil
})

// offline has a test do with the modules that are here, so that it does not depend on what a
// proxy has by now.
func offline(t *testing.T) {
	t.Helper()
	if err := modules(); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOPROXY", "off")
}

// do runs a tool as a person would, with the modules that are here.
func do(t *testing.T, folder, tool string, arguments ...string) string {
	t.Helper()
	if err := modules(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), tool, arguments...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", tool, strings.Join(arguments, " "), err, out)
	}
	return string(out)
}

// apart skips what is done by programs that are built here, of which the race detector sees nothing.
func apart(t *testing.T) {
	t.Helper()
	if raceEnabled {
		t.Skip("programs of their own are built and run: without the race detector, which does not see them")
	}
}

func TestAProjectBuildsTestsAndBecomesAModule(t *testing.T) {
	apart(t)
	folder := begin(t, "interceptor", "go", "redact")
	do(t, folder, "go", "test", "./...")
	module := filepath.Join(folder, "redact.wasm")
	offline(t)
	if err := (&Guest{Folder: folder, Output: module, FailClosed: true, Verbose: io.Discard}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	info, err := Verify(&out, module, "", map[string]string{"config.find": "x"})
	if err != nil || !info.FailClosed || !info.Produce {
		t.Fatalf("the module is %+v: %v", info, err)
	}
	if _, err := Verify(nil, module, info.SHA256, map[string]string{"config.fnd": "x"}); err == nil || !strings.Contains(err.Error(), `unknown setting "fnd"`) {
		t.Errorf("a misspelt setting of the guest gave %v", err)
	}
	if said := do(t, folder, "go", "test", "-count=1", "-v", "-run", "TestConformance", "./..."); !strings.Contains(said, "PASS: TestConformance/module") {
		t.Errorf("the module was not compared with the plugin:\n%s", said)
	}
}

func TestProjectsOfClientsBuildTestAndBecomeModules(t *testing.T) {
	apart(t)
	kinds := []string{"partitioner"}
	if os.Getenv("MILLRACE_WALK") != "" { // each takes a while
		kinds = append(kinds, "serializer", "assignor", "producer-interceptor", "consumer-interceptor")
	}
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			folder := begin(t, kind, "go", "first-byte")
			module := filepath.Join(folder, "first-byte.wasm")
			offline(t)
			if err := (&Guest{Folder: folder, Output: module, Verbose: io.Discard}).Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if info, err := Verify(nil, module, "", nil); err != nil || !slices.Contains(info.Kinds, kind) {
				t.Errorf("the module is %+v: %v", info, err)
			}
			if said := do(t, folder, "go", "test", "-count=1", "-v", "./..."); strings.Contains(said, "SKIP") {
				t.Errorf("the module was not compared with the plugin:\n%s", said)
			}
		})
	}
}

func TestAPackageOfSeveralKinds(t *testing.T) {
	apart(t)
	folder := filepath.Join(source, "plugins/wasm/testdata/kinds")
	g := Guest{Folder: folder, Output: filepath.Join(t.TempDir(), "x.wasm"), Verbose: io.Discard}
	if err := g.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "plugins of 5 kinds (partitioner, serializer, assignor, producer-interceptor, consumer-interceptor): say which is meant with --kind") {
		t.Errorf("got %v", err)
	}
	g.Kind, g.Name = "assignor", "deal"
	if err := g.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if info, err := Verify(nil, g.Output, "", nil); err != nil || !slices.Equal(info.Kinds, []string{"assignor"}) {
		t.Errorf("the module is %+v: %v", info, err)
	}
}

// haveRust reports whether modules in Rust can be built; CI makes sure that they can.
func haveRust(t *testing.T) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "rustc", "--print", "target-libdir", "--target", "wasm32-unknown-unknown").Output()
	if err == nil {
		_, err = os.Stat(strings.TrimSpace(string(out)))
	}
	if err != nil && os.Getenv("MILLRACE_NEED_RUST") != "" {
		t.Fatalf("rustc with the target wasm32-unknown-unknown is needed: %v", err)
	}
	if err != nil {
		t.Skip("there is no rustc with the target wasm32-unknown-unknown")
	}
}

func TestAProjectInRust(t *testing.T) {
	apart(t)
	haveRust(t)
	folder := begin(t, "interceptor", "rust", "quiet")
	do(t, folder, "cargo", "test", "--quiet")
	module := filepath.Join(folder, "quiet.wasm")
	if err := (&Guest{Folder: folder, Output: module, Verbose: io.Discard}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if info, err := Verify(nil, module, "", map[string]string{"config.prefix": "trace"}); err != nil || info.FailClosed {
		t.Errorf("the module is %+v: %v", info, err)
	}
	if _, err := Verify(nil, module, "", map[string]string{"config.prefx": "trace"}); err == nil || !strings.Contains(err.Error(), "unknown setting prefx") {
		t.Errorf("a misspelt setting gave %v", err)
	}
}

func TestProjectsOfClientsInRust(t *testing.T) {
	apart(t)
	haveRust(t)
	for _, kind := range []string{"partitioner", "serializer", "assignor", "producer-interceptor", "consumer-interceptor"} {
		t.Run(kind, func(t *testing.T) {
			folder := begin(t, kind, "rust", "first-byte")
			do(t, folder, "cargo", "test", "--quiet")
			module := filepath.Join(folder, "first-byte.wasm")
			if err := (&Guest{Folder: folder, Output: module, Verbose: io.Discard}).Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if info, err := Verify(nil, module, "", nil); err != nil || !slices.Contains(info.Kinds, kind) {
				t.Errorf("the module is %+v: %v", info, err)
			}
		})
	}
}

func TestABrokerWithAPlugin(t *testing.T) {
	apart(t)
	if testing.Short() {
		t.Skip("it links a whole broker")
	}
	folder := begin(t, "interceptor", "go", "redact")
	millrace, err := Source(source, Module{})
	if err != nil {
		t.Fatal(err)
	}
	broker := filepath.Join(t.TempDir(), "broker")
	offline(t)
	b := Build{Millrace: millrace, With: []Module{{Path: "redact", Version: noVersion, Folder: folder}}, Output: broker, Verbose: io.Discard}
	if err := b.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if said := do(t, folder, "go", "version", "-m", broker); !strings.Contains(said, "dep\tredact") {
		t.Errorf("the plugin is not in the broker:\n%s", said)
	}
	do(t, folder, broker, "--version")
}

// cpuProfile is a file with a profile of processor time, of one sample.
func cpuProfile(t *testing.T) string {
	t.Helper()
	f := &profile.Function{ID: 1, Name: "main.main", SystemName: "main.main", Filename: "main.go", StartLine: 12}
	at := &profile.Location{ID: 1, Line: []profile.Line{{Function: f, Line: 12}}}
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}, Period: 10_000_000,
		Sample:   []*profile.Sample{{Location: []*profile.Location{at}, Value: []int64{1, 10_000_000}}},
		Location: []*profile.Location{at}, Function: []*profile.Function{f},
	}
	var text bytes.Buffer
	if err := p.Write(&text); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "cpu.pprof")
	if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What Go is told: a toolchain that writes down its arguments takes the place of the real one.
func TestAProfileIsGivenToGo(t *testing.T) {
	millrace, err := Source(source, Module{})
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	said := filepath.Join(folder, "said")
	if err := os.WriteFile(filepath.Join(folder, "go"), fmt.Appendf(nil, "#!/bin/sh\necho \"$@\" >%q\n", said), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", folder)
	t.Chdir(folder)
	for given, want := range map[string]string{"": "", "cpu.pprof": " -pgo=" + filepath.Join(folder, "cpu.pprof") + " "} {
		b := Build{Millrace: millrace, Profile: given, Output: "broker", Verbose: io.Discard}
		if err := b.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(said)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), want) || given == "" && strings.Contains(string(text), "-pgo") {
			t.Errorf("with the profile %q Go is told %s", given, text)
		}
	}
}

// The real toolchain compiles everything anew for a profile, which takes minutes.
func TestABrokerIsBuiltWithAProfileWalk(t *testing.T) {
	walking(t)
	folder := begin(t, "interceptor", "go", "redact")
	millrace, err := Source(source, Module{})
	if err != nil {
		t.Fatal(err)
	}
	offline(t)
	broker, profile := filepath.Join(t.TempDir(), "broker"), cpuProfile(t)
	b := Build{Millrace: millrace, With: []Module{{Path: "redact", Version: noVersion, Folder: folder}}, Profile: profile, Output: broker, Verbose: io.Discard}
	if err := b.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if said := do(t, folder, "go", "version", "-m", broker); !strings.Contains(said, "build\t-pgo="+profile) || !strings.Contains(said, "dep\tredact") {
		t.Errorf("the broker does not say that it was built with the profile:\n%s", said)
	}
	do(t, folder, broker, "--version")
}

func TestWithoutAToolchain(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if err := (&Build{Output: "x"}).Run(context.Background()); !errors.Is(err, errNoGo) {
		t.Errorf("building without Go gave %v", err)
	}
	if err := (&Guest{Folder: t.TempDir(), Output: "x"}).Run(context.Background()); !errors.Is(err, errNoGo) {
		t.Errorf("making a module without Go gave %v", err)
	}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "Cargo.toml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (&Guest{Folder: folder, Output: "x"}).Run(context.Background()); err == nil || !strings.Contains(err.Error(), "no cargo") {
		t.Errorf("making a module without cargo gave %v", err)
	}
}

// Guards are compiled in: each is built into a broker, which must serve with it.
func TestGuardsAreTestedAndServe(t *testing.T) {
	apart(t)
	if testing.Short() {
		t.Skip("it links a whole broker")
	}
	offline(t)
	millrace, err := Source(source, Module{})
	if err != nil {
		t.Fatal(err)
	}
	b := Build{Millrace: millrace, Output: filepath.Join(t.TempDir(), "broker"), Verbose: io.Discard}
	var settings []string
	for kind, values := range compiled {
		folder := begin(t, kind, "go", "of-"+kind)
		do(t, folder, "go", "test", "-count=1", "./...")
		b.With = append(b.With, Module{Path: "of-" + kind, Version: noVersion, Folder: folder})
		for _, value := range values {
			settings = append(settings, "--override", strings.NewReplacer("{{.Name}}", "of-"+kind, ":9092", ":0").Replace(value))
		}
		if err := (&Guest{Folder: folder, Output: "x.wasm", Verbose: io.Discard}).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "run compiled in only") {
			t.Errorf("a module of an %s: %v", kind, err)
		}
	}
	if err := b.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), b.Output, append([]string{"serve", "--override", "admin.listener=", "--override", "log.dirs=" + t.TempDir()}, settings...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	first := make([]byte, len("Millrace listens on 127.0.0.1:"))
	_, read := io.ReadFull(out, first)
	killed := cmd.Process.Kill()
	_ = cmd.Wait() // it was killed
	if read != nil || killed != nil || string(first) != "Millrace listens on 127.0.0.1:" {
		t.Errorf("the broker said %q, %v, %v\n%s", first, read, killed, said.String())
	}
}

func TestTheDeserializerIsInTheProjectOfTheSerializer(t *testing.T) {
	for _, language := range []string{"go", "rust"} {
		files, err := filepath.Glob(filepath.Join(begin(t, "deserializer", language, "both"), map[string]string{"go": "plugin.go", "rust": "src/lib.rs"}[language]))
		if err != nil || len(files) != 1 {
			t.Fatalf("the project has %q, %v", files, err)
		}
		text, err := os.ReadFile(files[0])
		if err != nil || !strings.Contains(strings.ToLower(string(text)), "deserialize") {
			t.Errorf("in %s there is no deserializer: %v", language, err)
		}
	}
}

func TestProjectsThatAreNone(t *testing.T) {
	for name, test := range map[string]struct {
		project Project
		want    string
	}{
		"a kind":            {Project{Kind: "plug", Language: "go", Name: "x"}, "unknown kind"},
		"a language":        {Project{Kind: "interceptor", Language: "cobol", Name: "x"}, "unknown language"},
		"a guard in Rust":   {Project{Kind: "authorizer", Language: "rust", Name: "x", Millrace: source}, "runs compiled in only"},
		"a name":            {Project{Kind: "interceptor", Language: "go", Name: "../x"}, "is no name"},
		"a path":            {Project{Kind: "interceptor", Language: "go", Name: "x", Path: "my redact"}, "is no path of a Go module"},
		"a version":         {Project{Kind: "interceptor", Language: "go", Name: "x"}, "--millrace DIR"},
		"a version in Rust": {Project{Kind: "interceptor", Language: "rust", Name: "x"}, "--millrace DIR"},
		"a source":          {Project{Kind: "interceptor", Language: "go", Name: "x", Millrace: "/"}, "is not the source"},
	} {
		t.Run(name, func(t *testing.T) {
			test.project.Folder = filepath.Join(t.TempDir(), "x")
			if err := New(io.Discard, test.project); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// Go would put a file of another name into a folder, and say nothing.
func TestAFolderIsNoOutput(t *testing.T) {
	folder := t.TempDir()
	millrace, err := Source(source, Module{})
	if err != nil {
		t.Fatal(err)
	}
	crate := t.TempDir()
	if err := os.WriteFile(filepath.Join(crate, "Cargo.toml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, run := range map[string]func(output string) error{
		"a broker": func(output string) error {
			return (&Build{Millrace: millrace, Output: output, Verbose: io.Discard}).Run(t.Context())
		},
		"a module": func(output string) error {
			return (&Guest{Folder: folder, Output: output, Verbose: io.Discard}).Run(t.Context())
		},
		"a module in Rust": func(output string) error {
			return (&Guest{Folder: crate, Output: output, Verbose: io.Discard}).Run(t.Context())
		},
	} {
		for _, output := range []string{folder, filepath.Join(folder, "none") + "/"} {
			if err := run(output); err == nil || !strings.Contains(err.Error(), "is a folder: name a file with -o") {
				t.Errorf("%s to %s: %v", name, output, err)
			}
		}
	}
	if files, err := os.ReadDir(folder); err != nil || len(files) != 0 {
		t.Errorf("the folder has %v: %v", files, err)
	}
}

// In a workspace of other modules -mod=mod may not be said.
func TestAModuleInAWorkspaceOfOthers(t *testing.T) {
	apart(t)
	folder := begin(t, "interceptor", "go", "redact")
	work := filepath.Join(filepath.Dir(folder), "go.work")
	if err := os.WriteFile(work, []byte("go 1.26\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	offline(t)
	t.Setenv("GOWORK", work)
	if err := (&Guest{Folder: folder, Output: filepath.Join(folder, "redact.wasm"), Verbose: io.Discard}).Run(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestParseModule(t *testing.T) {
	for text, want := range map[string]Module{
		"example.com/m@v1.2.3":      {"example.com/m", "v1.2.3", ""},
		"example.com/m=/src/m":      {"example.com/m", noVersion, "/src/m"},
		"example.com/m@v1.0.0=/src": {"example.com/m", "v1.0.0", "/src"},
	} {
		if got, err := ParseModule(text); err != nil || got != want {
			t.Errorf("%s is %+v: %v", text, got, err)
		}
	}
	for _, text := range []string{"", "m", "m=", "@v1"} {
		if _, err := ParseModule(text); err == nil {
			t.Errorf("%q is a module", text)
		}
	}
}
