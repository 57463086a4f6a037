package engine

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/millrace/millrace/"

// arrows are the imports that ARCHITECTURE.md allows: package → packages.
type arrows map[string][]string

// readArrows reads the block of ARCHITECTURE.md that begins with ```imports.
func readArrows(text string) (arrows, error) {
	_, block, found := strings.Cut(text, "```imports\n")
	block, _, closed := strings.Cut(block, "```")
	if !found || !closed {
		return nil, fmt.Errorf("there is no block of imports")
	}
	allowed := arrows{}
	for line := range strings.SplitSeq(strings.TrimSpace(block), "\n") {
		name, list, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("line %q has no colon", line)
		}
		allowed[name] = strings.Fields(list)
	}
	return allowed, nil
}

// covers reports whether pattern, perhaps with /... at its end, means name.
func covers(pattern, name string) bool {
	prefix, deep := strings.CutSuffix(pattern, "/...")
	return name == pattern || deep && (name == prefix || strings.HasPrefix(name, prefix+"/"))
}

// allow reports whether from may import to.
func (a arrows) allow(from, to string) error {
	for pattern, list := range a {
		if !covers(pattern, from) {
			continue
		}
		if slices.ContainsFunc(list, func(p string) bool { return covers(p, to) }) {
			return nil
		}
		return fmt.Errorf("%s must not import %s: ARCHITECTURE.md does not have that arrow", from, to)
	}
	return fmt.Errorf("%s is not in the block of imports of ARCHITECTURE.md", from)
}

// imports calls f for every import of one of our packages by another, tests left out.
func imports(root string, f func(from, to string)) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			_, nested := os.Stat(filepath.Join(path, "go.mod"))
			if path != root && (nested == nil || strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		for _, i := range file.Imports {
			if to, ours := strings.CutPrefix(strings.Trim(i.Path.Value, `"`), module); ours {
				f(filepath.ToSlash(folder), to)
			}
		}
		return nil
	})
}

func TestArrowsPointDown(t *testing.T) {
	text, err := os.ReadFile("../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	allowed, err := readArrows(string(text))
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	if err := imports("..", func(from, to string) {
		seen++
		if err := allowed.allow(from, to); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if seen < 20 {
		t.Fatalf("only %d imports were found: the test looks in the wrong place", seen)
	}
}

// A rule that cannot fire is decoration.
func TestArrowsFire(t *testing.T) {
	allowed, err := readArrows("```imports\nnetpoll:\na: b c/...\nd/...: a\n```")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		from, to string
		fine     bool
	}{
		"listed":               {"a", "b", true},
		"below a pattern":      {"a", "c/x", true},
		"from below a pattern": {"d/y", "a", true},
		"not listed":           {"a", "netpoll", false},
		"upwards":              {"netpoll", "a", false},
		"unknown package":      {"new", "a", false},
		"a longer name":        {"a", "cx", false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := allowed.allow(test.from, test.to); (err == nil) != test.fine {
				t.Fatalf("got %v", err)
			}
		})
	}
	if _, err := readArrows("nothing here"); err == nil {
		t.Fatal("a page without the block passed")
	}
}
