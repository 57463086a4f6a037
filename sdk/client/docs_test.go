package client_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/millrace/millrace/sdk/client"
	"github.com/millrace/millrace/sdk/setting"
)

var rewrite = flag.Bool("rewrite", false, "write the tables of settings in docs anew")

const document = "../../docs/client.md"

// pages are where the tables of settings are, of sections that are not in document.
var pages = map[string]string{
	client.Consumers.Title:         "../../docs/consumer.md",
	client.ConsumersAndAdmin.Title: "../../docs/consumer.md",
	client.Registry.Title:          "../../docs/serializers.md",
}

// TestDocsShowEverySetting keeps the tables of the pages, which stand between
//
//	<!-- settings: Producers -->
//	<!-- end -->
func TestDocsShowEverySetting(t *testing.T) {
	for _, section := range client.Keys.Sections() {
		page := pages[section.Title]
		if page == "" {
			page = document
		}
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		begin := fmt.Sprintf("<!-- settings: %s -->\n", section.Title)
		before, rest, found := strings.Cut(string(text), begin)
		_, after, ended := strings.Cut(rest, "<!-- end -->")
		if !found || !ended {
			t.Errorf("%s has no table for %q", page, section.Title)
			continue
		}
		now := before + begin + table(section) + "<!-- end -->" + after
		if now == string(text) {
			continue
		}
		if !*rewrite {
			t.Errorf("%s does not show the settings as they are declared: run go test ./sdk/client -run Docs -rewrite", page)
		} else if err := os.WriteFile(page, []byte(now), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// table is the settings of a section; those without effect in one line below it.
func table(section *setting.Section) string {
	var out strings.Builder
	out.WriteString("| Setting | Default | Meaning |\n|---|---|---|\n")
	ignored := map[string][]string{}
	var notes []string
	for _, d := range client.Keys.All() {
		if d.Section != section {
			continue
		}
		if d.Effect == setting.Ignored {
			if ignored[d.Note] == nil {
				notes = append(notes, d.Note)
			}
			ignored[d.Note] = append(ignored[d.Note], "`"+d.Name+"`")
			continue
		}
		value := "`" + d.Default + "`"
		if d.Null || d.Default == "" {
			value = "unset"
		}
		fmt.Fprintf(&out, "| `%s` | %s | %s |\n", d.Name, value, d.Meaning())
	}
	for _, note := range notes {
		fmt.Fprintf(&out, "\nAccepted without effect (%s): %s.\n", note, strings.Join(ignored[note], ", "))
	}
	return out.String()
}

// TestDocsExamplesAreRun: each Go block of docs/client.md stands in an example that is
// compiled and run.
func TestDocsExamplesAreRun(t *testing.T) {
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	var sources strings.Builder
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasSuffix(f.Name(), "_test.go") {
			source, err := os.ReadFile(f.Name())
			if err != nil {
				t.Fatal(err)
			}
			sources.Write(source)
		}
	}
	blocks := strings.Split(string(text), "```go\n")
	if len(blocks) < 4 {
		t.Fatalf("docs/client.md has %d examples", len(blocks)-1)
	}
	for _, block := range blocks[1:] {
		block, _, _ = strings.Cut(block, "```")
		inside := "\t" + strings.ReplaceAll(strings.TrimRight(block, "\n"), "\n", "\n\t")
		inside = strings.ReplaceAll(inside, "\n\t\n", "\n\n")
		if !strings.Contains(sources.String(), inside) && !strings.Contains(sources.String(), block) {
			t.Errorf("this is in no example:\n%s", block)
		}
	}
}
