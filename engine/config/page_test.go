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
	head, _, _ := strings.Cut(out.String(), "\n")
	value, meaning := strings.Index(head, "DEFAULT"), strings.Index(head, "MEANING")
	for line := range strings.Lines(out.String()) {
		line = strings.TrimRight(line, "\n")
		if len(line) > meaning && strings.TrimSpace(line[value-2:value]) != "" {
			t.Errorf("no gap before the default: %q", line)
		}
	}
	for _, want := range []string{"log.segment.bytes ", "1073741824 ", "fsync", "No effect:", "Older names"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the help does not say %q", want)
		}
	}
}
