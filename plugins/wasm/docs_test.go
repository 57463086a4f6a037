package wasm

import (
	"os"
	"strings"
	"testing"
)

// block is the first block of docs/wasm.md in a language.
func block(t *testing.T, language string) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/wasm.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "```"+language+"\n")
	code, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatalf("docs/wasm.md has no block in %s", language)
	}
	return code
}

func TestTheExampleInRustIsThatOfTheCrate(t *testing.T) {
	crate, err := os.ReadFile("guest/rust/src/lib.rs")
	if err != nil {
		t.Fatal(err)
	}
	var doc strings.Builder // what cargo test compiles
	for line := range strings.Lines(string(crate)) {
		if text, ok := strings.CutPrefix(line, "//!"); ok {
			doc.WriteString(strings.TrimPrefix(text, " "))
		}
	}
	if !strings.Contains(doc.String(), block(t, "rust")) {
		t.Error("the example in docs/wasm.md is not the one in guest/rust/src/lib.rs, which cargo compiles")
	}
}
