package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// block is a part of a page that is set apart: fenced, or indented by four.
type block struct {
	page     string
	line     int    // where it begins
	language string // of its fence; "indented" without one
	text     string
}

func (b *block) String() string { return fmt.Sprintf("%s:%d", b.page, b.line) }

// blocksOf are the blocks of a page.
func blocksOf(page, text string) (all []*block) {
	var now *block
	before := "" // the line before
	n := 0
	for line := range strings.Lines(text) {
		n++
		fence, fenced := strings.CutPrefix(strings.TrimRight(line, "\n"), "```")
		indented, deep := strings.CutPrefix(line, "    ")
		switch {
		case now != nil && now.language != "indented":
			if fenced {
				now = nil
			} else {
				now.text += line
			}
		case fenced:
			now = &block{page, n, fence, ""}
			all = append(all, now)
		case deep && now != nil:
			now.text += indented
		case deep && strings.TrimSpace(before) == "":
			now = &block{page, n, "indented", indented}
			all = append(all, now)
		default:
			now = nil
		}
		before = line
	}
	return all
}

// pages are README.md and the pages beside this file, by their paths in the project.
func pages(t *testing.T) map[string]string {
	t.Helper()
	found, err := filepath.Glob("*.md")
	if err != nil || len(found) < 10 {
		t.Fatalf("%d pages, %v", len(found), err)
	}
	all := map[string]string{}
	for _, name := range append(found, "../README.md") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimPrefix("docs/"+name, "docs/../")] = string(text)
	}
	return all
}

// runner makes sure of one block.
type runner func(t *testing.T, b *block)

// claim is how blocks are made sure of: those of a page, in a language (or one of "a|b"), that begin with a text ("": all).
type claim struct {
	page, language, begins string
	run                    runner
}

func (c *claim) claims(b *block) bool {
	return c.page == b.page && slices.Contains(strings.Split(c.language, "|"), b.language) && strings.HasPrefix(b.text, c.begins)
}

// claimed is the first claim on a block; nil: there is none.
func claimed(all []claim, b *block) *claim {
	for i := range all {
		if all[i].claims(b) {
			return &all[i]
		}
	}
	return nil
}

// TestEveryBlockIsTrue has every block of every page made sure of by the claim on it.
func TestEveryBlockIsTrue(t *testing.T) {
	used := map[*claim]bool{}
	for page, text := range pages(t) {
		for _, b := range blocksOf(page, text) {
			t.Run(fmt.Sprintf("%s/%d", b.page, b.line), func(t *testing.T) {
				c := claimed(claims, b)
				if c == nil {
					t.Fatalf("%v: nobody makes sure of this block: add a claim to docs/claims_test.go\n%s", b, b.text)
				}
				used[c] = true
				c.run(t, b)
			})
		}
	}
	if t.Failed() {
		return
	}
	for i := range claims {
		if c := &claims[i]; !used[c] && !strings.Contains(fmt.Sprint(os.Args), "-test.run=TestEveryBlockIsTrue/") {
			t.Errorf("a claim is of no block: %s, %q, %q", c.page, c.language, c.begins)
		}
	}
}

// A page with blocks of all sorts, and those that must not be taken for claimed.
func TestBlocksAreFound(t *testing.T) {
	page := "# A page\n\n```go\na\n\nb\n```\n\ntext\n    no block, for it goes on with text\n\n    typed\n    lines\n\n```\nplain\n    deep\n```\n\n```sh\nlast\n```\n"
	var got []string
	all := blocksOf("docs/a.md", page)
	for _, b := range all {
		got = append(got, fmt.Sprintf("%d %s %q", b.line, b.language, b.text))
	}
	want := `[3 go "a\n\nb\n" 12 indented "typed\nlines\n" 15  "plain\n    deep\n" 20 sh "last\n"]`
	if fmt.Sprint(got) != want {
		t.Errorf("the blocks are %v\nwant %s", got, want)
	}
	some := []claim{{page: "docs/a.md", language: "go"}, {page: "docs/a.md", language: "sh", begins: "first"}, {page: "docs/b.md", language: ""}}
	for i, want := range []bool{true, false, false, false} {
		if got := claimed(some, all[i]) != nil; got != want {
			t.Errorf("%v is claimed: %v, want %v", all[i], got, want)
		}
	}
}
