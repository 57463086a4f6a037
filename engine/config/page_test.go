package config_test

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/config"
)

var rewrite = flag.Bool("rewrite", false, "write docs/settings.md anew")

const page = "../../docs/settings.md"

// docs/settings.md is what the declarations say.
func TestDocsAreUpToDate(t *testing.T) {
	var now bytes.Buffer
	if err := config.Page(&now); err != nil {
		t.Fatal(err)
	}
	if *rewrite {
		if err := os.MkdirAll("../../docs", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(page, now.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	before, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, now.Bytes()) {
		t.Fatal("docs/settings.md is out of date: run `go test ./engine/config -run Docs -rewrite`")
	}
}

func TestHelpIsAligned(t *testing.T) {
	var out strings.Builder
	if err := config.Help(&out, 120); err != nil {
		t.Fatal(err)
	}
	text, rest, ok := strings.Cut(out.String(), "\nKnown, checked and without effect:\n")
	if !ok || !strings.Contains(rest, " zookeeper.connect ") {
		t.Error("the help does not list what has no effect")
	}
	head, _, _ := strings.Cut(text, "\n")
	value, meaning := strings.Index(head, "DEFAULT"), strings.Index(head, "MEANING")
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if len(line) > meaning && strings.TrimSpace(line[value-2:value]) != "" {
			t.Errorf("no gap before the default: %q", line)
		}
		if len(line) > 120 {
			t.Errorf("%d columns: %q", len(line), line)
		}
	}
	for _, want := range []string{"\nlog.segment.bytes ", " 1073741824 ", "(fsync", "\nDurability\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("the help does not say %q", want)
		}
	}
	if strings.Contains(text, "\nzookeeper.connect ") {
		t.Error("the help explains what has no effect")
	}
}
