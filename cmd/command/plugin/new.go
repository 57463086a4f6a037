package plugin

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"unicode"
)

//go:embed all:template
var templates embed.FS

// Kinds are the kinds of plugins that can be WebAssembly modules.
var Kinds = []string{"interceptor", "partitioner", "serializer", "assignor", "producer-interceptor", "consumer-interceptor"}

// compiled are the kinds that run only where they are compiled in, with what is said to
// `serve` to use one: a broker asks them whom it may trust.
var compiled = map[string][]string{
	"authenticator": {"listeners=SASL_PLAINTEXT://127.0.0.1:9092", "sasl.enabled.mechanisms=PLAIN", "authenticators={{.Name}}", "plugin.{{.Name}}.config.secret=change-me"},
	"authorizer":    {"authorizer.class.name={{.Name}}", "plugin.{{.Name}}.config.writers=User:ANONYMOUS"},
}

// Projects are the kinds of plugins that projects can be begun for.
var Projects = append(slices.Clone(Kinds), "deserializer", "authenticator", "authorizer")

// canonical is the kind that a name means: a serializer's project, and its module, are the
// deserializer too.
func canonical(kind string) string {
	if kind == "deserializer" {
		return "serializer"
	}
	return kind
}

// Project is a plugin that is begun.
type Project struct {
	Kind, Language, Name string
	// Folder is where it goes; it must not exist.
	Folder string
	// Path is the module's; "": the name.
	Path string
	// Millrace is a version of Millrace, or a folder with its source; "": Own.
	Millrace string
	// Own is the Millrace of this program.
	Own Module
}

// modulePath is what Go takes in go.mod, roughly: what has other characters it cannot even read.
var modulePath = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._~+/-]*$`)

var plainName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,40}$`)

// repository is where Millrace is.
const repository = "https://github.com/millrace/millrace"

// New writes the files of a project and says what to do next.
func New(out io.Writer, p Project) error {
	p.Kind = canonical(p.Kind)
	if err := p.check(); err != nil {
		return err
	}
	millrace, err := Source(p.Millrace, p.Own)
	if err != nil {
		return err
	}
	values := p.values(millrace)
	if err := os.Mkdir(p.Folder, 0o755); err != nil {
		return fmt.Errorf("begin a project: %w", err)
	}
	if err := fill(filepath.Join("template", p.Language, p.Kind), p.Folder, values); err != nil {
		return err
	}
	if p.Language == "rust" {
		err = p.crate(values)
	} else {
		err = p.module(millrace, values)
	}
	if err != nil {
		return err
	}
	return p.advise(out, millrace, values)
}

func (p *Project) check() error {
	switch {
	case !plainName.MatchString(p.Name):
		return fmt.Errorf("%q is no name for a plugin: use lower-case letters, digits and dashes, a letter first", p.Name)
	case p.Path != "" && !modulePath.MatchString(p.Path):
		return fmt.Errorf("%q is no path of a Go module: use one as example.com/redact", p.Path)
	case !slices.Contains(Projects, p.Kind):
		return fmt.Errorf("unknown kind %q: use one of %s", p.Kind, strings.Join(Projects, ", "))
	case p.Language != "go" && p.Language != "rust":
		return fmt.Errorf("unknown language %q: use go or rust", p.Language)
	case p.Language == "rust" && compiled[p.Kind] != nil:
		return fmt.Errorf("an %s runs compiled in only, and is no WebAssembly module: write it in Go (--lang go)", p.Kind)
	}
	return nil
}

// advise says what to type next, and where Millrace comes from.
func (p *Project) advise(out io.Writer, millrace Module, values map[string]string) error {
	tests, next := "go mod tidy\n  go test ./...", "millrace plugin wasm . -o {{.Name}}.wasm"
	if p.Language == "rust" {
		tests = "cargo test"
	}
	if settings := compiled[p.Kind]; settings != nil {
		next = "millrace plugin build --with {{.Path}}=. -o millrace-{{.Name}}\n  ./millrace-{{.Name}} serve --override " + strings.Join(settings, " --override ")
	}
	values["Shell"] = word(p.Folder)
	said, err := template.New("").Parse("{{.Name}} is begun. Try:\n\n  cd {{.Shell}}\n  " + tests + "\n  " + next + "\n")
	if err == nil {
		err = said.Execute(out, values)
	}
	if err != nil {
		return fmt.Errorf("begin a project: %w", err)
	}
	tool := "Go"
	if p.Language == "rust" {
		tool = "cargo"
	}
	switch {
	case millrace.Folder == "":
		fmt.Fprintf(out, "\nIt needs %s %s. If %s cannot get that, begin it with --millrace DIR, a folder with the source of Millrace.\n", millraceModule, millrace.Version, tool)
	case p.Millrace == "":
		fmt.Fprintf(out, "\nIt takes Millrace from %s. Another folder or version can be named with --millrace.\n", millrace.Folder)
	}
	return nil
}

// word is a text as one word of a shell.
func word(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("/._-+,:@%", r)
	}) {
		return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
	}
	return text
}

// untagged is a version that Go made up for a commit without a tag; it ends with the commit.
var untagged = regexp.MustCompile(`[-.]\d{14}-([0-9a-f]{12})$`)

// values are what templates name.
func (p *Project) values(millrace Module) map[string]string {
	v := map[string]string{"Name": p.Name, "Package": strings.ReplaceAll(p.Name, "-", ""), "Path": p.Path, "Folder": p.Folder}
	if p.Path == "" {
		v["Path"] = p.Name
	}
	switch commit := untagged.FindStringSubmatch(millrace.Version); {
	case millrace.Folder != "":
		v["Crate"] = fmt.Sprintf("path = %q", filepath.Join(millrace.Folder, "plugins/wasm/guest/rust"))
	case commit != nil:
		v["Crate"] = fmt.Sprintf("git = %q, rev = %q", repository, commit[1])
	default:
		v["Crate"] = fmt.Sprintf("git = %q, tag = %q", repository, millrace.Version)
	}
	return v
}

// crate writes what a project in Rust has besides its code.
func (p *Project) crate(values map[string]string) error {
	if err := fill("template/rust/crate", p.Folder, values); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(p.Folder, ".gitignore"), []byte("/target\n*.wasm\n"), 0o644)
}

// fill writes the templates below from to folder.
func fill(from, folder string, values map[string]string) error {
	return fs.WalkDir(templates, from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := filepath.Join(folder, strings.TrimSuffix(strings.TrimPrefix(path, from), ".tmpl"))
		if d.IsDir() {
			return os.MkdirAll(name, 0o755)
		}
		t, err := template.ParseFS(templates, path)
		if err != nil {
			return err
		}
		file, err := os.Create(name)
		if err != nil {
			return fmt.Errorf("begin a project: %w", err)
		}
		return errors.Join(t.Execute(file, values), file.Close())
	})
}

// module writes go.mod, and go.sum when it is known.
func (p *Project) module(millrace Module, values map[string]string) error {
	text := fmt.Sprintf("module %s\n\ngo %s\n\nrequire %s %s\n", values["Path"], goVersion, millraceModule, millrace.Version)
	if millrace.Folder != "" {
		text += fmt.Sprintf("\nreplace %s => %q\n", millraceModule, millrace.Folder)
		if sums, err := os.ReadFile(filepath.Join(millrace.Folder, "go.sum")); err == nil {
			if err := os.WriteFile(filepath.Join(p.Folder, "go.sum"), sums, 0o644); err != nil {
				return fmt.Errorf("begin a project: %w", err)
			}
		}
	}
	ignored := "*.wasm\n"
	if compiled[p.Kind] != nil {
		ignored = "/millrace-" + p.Name + "\n/millrace-data/\n"
	}
	if err := os.WriteFile(filepath.Join(p.Folder, ".gitignore"), []byte(ignored), 0o644); err != nil {
		return fmt.Errorf("begin a project: %w", err)
	}
	return os.WriteFile(filepath.Join(p.Folder, "go.mod"), []byte(text), 0o644)
}
