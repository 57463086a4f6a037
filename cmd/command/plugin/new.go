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
)

//go:embed all:template
var templates embed.FS

// Kinds are the kinds of plugins that projects can be begun for.
var Kinds = []string{"interceptor", "partitioner", "serializer", "assignor", "producer-interceptor", "consumer-interceptor"}

// Project is a plugin that is begun.
type Project struct {
	Kind, Language, Name string
	// Folder is where it goes; it must not exist.
	Folder string
	// Path is the module's; "": the name.
	Path string
	// Millrace is a folder with the source of Millrace, instead of a released version.
	Millrace string
	// Version of Millrace, if not from a folder.
	Version string
}

var plainName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,40}$`)

// repository is where Millrace is.
const repository = "https://github.com/millrace/millrace"

// New writes the files of a project and says what to do next.
func New(out io.Writer, p Project) error {
	if !plainName.MatchString(p.Name) {
		return fmt.Errorf("%q is no name for a plugin: use lower-case letters, digits and dashes, a letter first", p.Name)
	}
	switch {
	case !slices.Contains(Kinds, p.Kind):
		return fmt.Errorf("unknown kind %q: use one of %s", p.Kind, strings.Join(Kinds, ", "))
	case p.Language != "go" && p.Language != "rust":
		return fmt.Errorf("unknown language %q: use go or rust", p.Language)
	}
	values, err := p.values()
	if err != nil {
		return err
	}
	if err := os.Mkdir(p.Folder, 0o755); err != nil {
		return fmt.Errorf("begin a project: %w", err)
	}
	if err := fill(filepath.Join("template", p.Language, p.Kind), p.Folder, values); err != nil {
		return err
	}
	if p.Language == "rust" {
		if err := fill("template/rust/crate", p.Folder, values); err != nil {
			return err
		}
		fmt.Fprintf(out, "%s is begun. Try:\n\n  cd %s\n  cargo test\n  millrace plugin wasm . -o %s.wasm\n", p.Name, p.Folder, p.Name)
		return os.WriteFile(filepath.Join(p.Folder, ".gitignore"), []byte("/target\n*.wasm\n"), 0o644)
	}
	if err := p.module(values); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s is begun. Try:\n\n  cd %s\n  go mod tidy\n  go test ./...\n  millrace plugin wasm . -o %s.wasm\n", p.Name, p.Folder, p.Name)
	if p.Millrace == "" {
		fmt.Fprintf(out, "\nIt needs %s %s. If Go cannot get that, begin it with --millrace DIR, a folder with the source of Millrace.\n", millraceModule, p.Version)
	}
	return nil
}

// values are what templates name.
func (p *Project) values() (map[string]string, error) {
	v := map[string]string{"Name": p.Name, "Package": strings.ReplaceAll(p.Name, "-", ""), "Path": p.Path, "Crate": fmt.Sprintf("git = %q", repository)}
	if p.Path == "" {
		v["Path"] = p.Name
	}
	if p.Millrace == "" {
		if p.Language == "go" && p.Version == "" {
			return nil, errors.New("this build of millrace has no released version that a project could require: name a folder with its source with --millrace")
		}
		if p.Version != "" {
			v["Crate"] += fmt.Sprintf(", tag = %q", p.Version)
		}
		return v, nil
	}
	folder, err := sourceOf(p.Millrace)
	v["Millrace"] = folder
	v["Crate"] = fmt.Sprintf("path = %q", filepath.Join(folder, "plugins/wasm/guest/rust"))
	return v, err
}

// sourceOf is a folder with the source of Millrace, absolute.
func sourceOf(folder string) (string, error) {
	absolute, err := filepath.Abs(folder)
	if err != nil {
		return "", fmt.Errorf("find the source of Millrace: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(absolute, "go.mod"))
	if err != nil || !strings.HasPrefix(string(text), "module "+millraceModule+"\n") {
		return "", fmt.Errorf("%s is not the source of Millrace: its go.mod is not that of %s", folder, millraceModule)
	}
	return absolute, nil
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
func (p *Project) module(values map[string]string) error {
	text := fmt.Sprintf("module %s\n\ngo %s\n\n", values["Path"], goVersion)
	if p.Millrace == "" {
		text += fmt.Sprintf("require %s %s\n", millraceModule, p.Version)
	} else {
		text += fmt.Sprintf("require %s %s\n\nreplace %s => %q\n", millraceModule, noVersion, millraceModule, values["Millrace"])
		if sums, err := os.ReadFile(filepath.Join(values["Millrace"], "go.sum")); err == nil {
			if err := os.WriteFile(filepath.Join(p.Folder, "go.sum"), sums, 0o644); err != nil {
				return fmt.Errorf("begin a project: %w", err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(p.Folder, ".gitignore"), []byte("*.wasm\n"), 0o644); err != nil {
		return fmt.Errorf("begin a project: %w", err)
	}
	return os.WriteFile(filepath.Join(p.Folder, "go.mod"), []byte(text), 0o644)
}
