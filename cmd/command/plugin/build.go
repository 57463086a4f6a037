package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/millrace/millrace/plugins/wasm/abi"
)

const (
	millraceModule = "github.com/millrace/millrace"
	goVersion      = "1.26"
	// noVersion stands for a module that is replaced by a folder.
	noVersion = "v0.0.0-00010101000000-000000000000"
)

// Module is a Go module: module@version, module=folder or module@version=folder.
type Module struct{ Path, Version, Folder string }

// ParseModule reads a module as --with has it.
func ParseModule(text string) (Module, error) {
	var m Module
	rest, folder, replaced := strings.Cut(text, "=")
	m.Path, m.Version, _ = strings.Cut(rest, "@")
	if m.Path == "" || replaced && folder == "" || !replaced && m.Version == "" {
		return m, fmt.Errorf("%q is no module: use module@version, or module=folder", text)
	}
	if replaced {
		var err error
		if m.Folder, err = filepath.Abs(folder); err != nil {
			return m, fmt.Errorf("find %s: %w", folder, err)
		}
		if m.Version == "" {
			m.Version = noVersion
		}
	}
	return m, nil
}

// Build is a broker to be built.
type Build struct {
	Millrace Module
	With     []Module
	Profile  string // for -pgo
	Output   string
	Verbose  io.Writer
}

var errNoGo = errors.New("there is no Go toolchain on the PATH, which builds brokers and Go modules: get one from https://go.dev/dl")

// goTool finds the Go command.
func goTool() (string, error) {
	path, err := exec.LookPath("go")
	if err != nil {
		return "", errNoGo
	}
	return path, nil
}

// fileOf is the path of a file that is to be written. In a folder Go would write one of another name.
func fileOf(output string) (string, error) {
	if info, err := os.Stat(output); err == nil && info.IsDir() || strings.HasSuffix(output, string(filepath.Separator)) {
		return "", fmt.Errorf("%s is a folder: name a file with -o", output)
	}
	return filepath.Abs(output)
}

// noWorkspace has Go build a module by itself: what a workspace around it says is for other modules, and none can be
// had with -mod=mod.
const noWorkspace = "GOWORK=off"

// Run builds the broker in a folder of its own, which is removed.
func (b *Build) Run(ctx context.Context) error {
	tool, err := goTool()
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "millrace-build-")
	if err != nil {
		return fmt.Errorf("build a broker: %w", err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	if err := b.write(folder); err != nil {
		return err
	}
	output, err := fileOf(b.Output)
	if err != nil {
		return fmt.Errorf("build a broker: %w", err)
	}
	arguments := []string{"build", "-mod=mod", "-o", output}
	if b.Profile != "" {
		profile, err := filepath.Abs(b.Profile)
		if err != nil {
			return fmt.Errorf("build a broker: %w", err)
		}
		arguments = append(arguments, "-pgo="+profile)
	}
	if err = run(ctx, b.Verbose, folder, nil, tool, append(arguments, ".")...); err != nil && b.Millrace.Folder == "" && absent(ctx, tool, folder) {
		return fmt.Errorf("millrace %s cannot be had as a Go module: name a version that can, or a folder with its source, with --millrace\n%w", b.Millrace.Version, err)
	}
	return err
}

// absent reports whether Go cannot get the Millrace that a module requires, to say so when
// something has failed.
func absent(ctx context.Context, tool, folder string) bool {
	return run(ctx, io.Discard, folder, nil, tool, "mod", "download", millraceModule) != nil
}

// write writes main.go and go.mod.
func (b *Build) write(folder string) error {
	main := "// Command millrace is a broker with plugins of its own.\npackage main\n\nimport (\n\t\"os\"\n\n\t\"" + millraceModule + "/cmd/command\"\n\t_ \"" + millraceModule + "/plugins/standard\"\n"
	mod := fmt.Sprintf("module millrace.build/broker\n\ngo %s\n\n", goVersion)
	for _, m := range append([]Module{b.Millrace}, b.With...) {
		mod += fmt.Sprintf("require %s %s\n", m.Path, m.Version)
		if m.Folder != "" {
			mod += fmt.Sprintf("replace %s => %q\n", m.Path, m.Folder)
		}
	}
	for _, m := range b.With {
		main += fmt.Sprintf("\t_ %q\n", m.Path)
	}
	main += ")\n\nfunc main() { os.Exit(command.Main(os.Args, os.Stdin, os.Stdout, os.Stderr)) }\n"
	files := map[string]string{"main.go": main, "go.mod": mod}
	if b.Millrace.Folder != "" {
		sums, err := os.ReadFile(filepath.Join(b.Millrace.Folder, "go.sum"))
		if err != nil {
			return fmt.Errorf("build a broker: %w", err)
		}
		files["go.sum"] = string(sums)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("build a broker: %w", err)
		}
	}
	return nil
}

// run runs a tool; what it says goes to out, and to the error when it fails.
func run(ctx context.Context, out io.Writer, folder string, environment []string, tool string, arguments ...string) error {
	cmd := exec.CommandContext(ctx, tool, arguments...)
	cmd.Dir = folder
	cmd.Env = append(append(os.Environ(), noWorkspace), environment...)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = out, io.MultiWriter(out, &said)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", filepath.Base(tool), strings.Join(arguments, " "), err, strings.TrimSpace(said.String()))
	}
	return nil
}

// Guest is a WebAssembly module to be made of a plugin.
type Guest struct {
	Folder     string // with a Go package, or a Cargo.toml
	Kind       string // of a Go package; "": what it registers. A Rust plugin says it itself
	Name       string // of the plugin, if the package has several
	FailClosed bool   // of a Go package; a Rust plugin says it itself
	Output     string
	Verbose    io.Writer
}

// Run makes the module.
func (g *Guest) Run(ctx context.Context) error {
	output, err := fileOf(g.Output)
	if err != nil {
		return fmt.Errorf("make a module: %w", err)
	}
	if _, err := os.Stat(filepath.Join(g.Folder, "Cargo.toml")); err == nil {
		return g.cargo(ctx)
	}
	tool, err := goTool()
	if err != nil {
		return err
	}
	folder, err := filepath.Abs(g.Folder)
	if err != nil {
		return fmt.Errorf("make a module: %w", err)
	}
	path, err := importPath(ctx, tool, folder)
	if err != nil {
		return err
	}
	if g.Kind == "" {
		if g.Kind, err = kindOf(folder); err != nil {
			return err
		}
	}
	if g.Kind = canonical(g.Kind); !slices.Contains(Kinds, g.Kind) {
		return fmt.Errorf("there are no modules of kind %q: use one of %s", g.Kind, strings.Join(Kinds, ", "))
	}
	aside, err := os.MkdirTemp("", "millrace-wasm-")
	if err != nil {
		return fmt.Errorf("make a module: %w", err)
	}
	defer func() { _ = os.RemoveAll(aside) }()
	overlay, err := g.overlay(folder, aside, path)
	if err != nil {
		return err
	}
	err = run(ctx, g.Verbose, folder, []string{"GOOS=wasip1", "GOARCH=wasm"}, tool,
		"build", "-mod=mod", "-trimpath", "-ldflags=-s -w", "-buildmode=c-shared", "-overlay="+overlay, "-o", output, "./"+guestFolder)
	if err != nil && absent(ctx, tool, folder) {
		return fmt.Errorf("the Millrace that %s requires cannot be had as a Go module: put `replace %s => DIR` into its go.mod, as `millrace plugin new --millrace DIR` does\n%w", folder, millraceModule, err)
	}
	return err
}

// guestFolder is where the main of a guest seems to be: below the plugin, so that it is in
// the same module. An overlay puts it there, nothing is written.
const guestFolder = "millrace-guest-main"

func importPath(ctx context.Context, tool, folder string) (string, error) {
	cmd := exec.CommandContext(ctx, tool, "list", "-mod=mod", "-f", "{{.ImportPath}} {{.Name}}", ".")
	cmd.Dir, cmd.Env = folder, append(os.Environ(), noWorkspace)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s is no Go package: %w\n%s", folder, err, strings.TrimSpace(said.String()))
	}
	path, name, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if name == "main" {
		return "", fmt.Errorf("%s is a program: name the package of the plugin", folder)
	}
	return path, nil
}

// registers is how a Go package registers plugins of each kind that modules can be.
var registers = map[string]*regexp.Regexp{
	"interceptor": regexp.MustCompile(`\bsdk\.Interceptors\.Register\(`),
	"partitioner": regexp.MustCompile(`\bsdk\.Partitioners\.Register\(`),
	"serializer":  regexp.MustCompile(`\bsdk\.(Ser|Deser)ializers\[.*\]\(\)\.Register\(`),
	"assignor":    regexp.MustCompile(`\bsdk\.Assignors\.Register\(`),

	"producer-interceptor": regexp.MustCompile(`\bsdk\.ProducerInterceptors\.Register\(`),
	"consumer-interceptor": regexp.MustCompile(`\bsdk\.ConsumerInterceptors\.Register\(`),
}

// guards is how it registers what brokers run only when it is compiled in.
var guards = regexp.MustCompile(`\bsdk\.(Authenticators|Authorizers)\.Register\(`)

// does is what modules of each kind export, besides what all do.
var does = map[string][]string{
	"interceptor": {abi.OnProduce, abi.OnFetch},
	"partitioner": {abi.Partition, abi.OnNewBatch},
	"serializer":  {abi.Serialize, abi.Deserialize},
	"assignor":    {abi.Assignor, abi.Assign, abi.UserData},

	"producer-interceptor": {abi.OnSend, abi.OnAck},
	"consumer-interceptor": {abi.OnConsume, abi.OnCommit},
}

// kindOf looks what the package in a folder registers.
func kindOf(folder string) (string, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		return "", fmt.Errorf("make a module: %w", err)
	}
	var found []string
	guarding := false
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("make a module: %w", err)
		}
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		guarding = guarding || guards.Match(text)
		for _, kind := range Kinds {
			if registers[kind].Match(text) && !slices.Contains(found, kind) {
				found = append(found, kind)
			}
		}
	}
	switch {
	case len(found) == 0 && guarding:
		return "", fmt.Errorf("%s registers an authenticator or an authorizer, which run compiled in only: use `millrace plugin build --with module=%s`", folder, folder)
	case len(found) == 0:
		return "", fmt.Errorf("%s registers no plugin that can be a module: those are %s", folder, strings.Join(Kinds, ", "))
	case len(found) > 1:
		return "", fmt.Errorf("%s registers plugins of %d kinds (%s): say which is meant with --kind", folder, len(found), strings.Join(found, ", "))
	}
	return found[0], nil
}

// overlay writes the main of the guest aside, and the file that says where it seems to be.
func (g *Guest) overlay(folder, aside, path string) (string, error) {
	main := "package main\n\nimport (\n\t\"" + millraceModule + "/plugins/wasm/guest\"\n\n\t_ \"" + path + "\"\n)\n\n" +
		fmt.Sprintf("func init() { guest.Serve(%q, %q) }\n\nfunc main() {}\n", g.Kind, g.Name)
	for i, export := range does[g.Kind] {
		main += fmt.Sprintf("\n//go:wasmexport %s\nfunc does%d(n uint32) uint64 { return guest.Call(%q, n) }\n", export, i, export)
	}
	var marks []string
	if g.FailClosed {
		marks = append(marks, abi.FailClosed)
		main += "\nfunc init() { guest.FailsClosed() }\n"
	}
	if g.Kind == "partitioner" {
		marks = append(marks, abi.LeaderRacks)
	}
	for i, export := range marks {
		main += fmt.Sprintf("\n//go:wasmexport %s\nfunc mark%d() {}\n", export, i)
	}
	file := filepath.Join(aside, "main.go")
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(folder, guestFolder, "main.go"): file}})
	if err != nil {
		return "", fmt.Errorf("make a module: %w", err)
	}
	overlay := filepath.Join(aside, "overlay.json")
	if err := errors.Join(os.WriteFile(file, []byte(main), 0o600), os.WriteFile(overlay, text, 0o600)); err != nil {
		return "", fmt.Errorf("make a module: %w", err)
	}
	return overlay, nil
}

// cargo makes a module of a Rust crate.
func (g *Guest) cargo(ctx context.Context) error {
	tool, err := exec.LookPath("cargo")
	if err != nil {
		return errors.New("there is no cargo on the PATH, which builds modules in Rust: get it from https://rustup.rs, then `rustup target add wasm32-unknown-unknown`")
	}
	target, err := os.MkdirTemp("", "millrace-wasm-")
	if err != nil {
		return fmt.Errorf("make a module: %w", err)
	}
	defer func() { _ = os.RemoveAll(target) }()
	if err := run(ctx, g.Verbose, g.Folder, nil, tool, "build", "--release", "--target", "wasm32-unknown-unknown", "--target-dir", target); err != nil {
		return err
	}
	made, err := filepath.Glob(filepath.Join(target, "wasm32-unknown-unknown", "release", "*.wasm"))
	if err != nil || len(made) != 1 {
		return fmt.Errorf("make a module: cargo made %d modules and not one: the crate needs crate-type = [\"cdylib\"]", len(made))
	}
	module, err := os.ReadFile(made[0])
	if err != nil {
		return fmt.Errorf("make a module: %w", err)
	}
	return os.WriteFile(g.Output, module, 0o644)
}
