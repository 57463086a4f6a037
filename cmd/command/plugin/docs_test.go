package plugin

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheExampleInGoWorks(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(source, "docs/wasm.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```go\n")
	code, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("docs/wasm.md has no example in Go")
	}
	folder := begin(t, "interceptor", "go", "dropempty")
	test := `package dropempty

import (
	"os"
	"testing"

	"github.com/millrace/millrace/sdk/sdktest"
)

func TestConformance(t *testing.T) {
	if _, err := os.Stat("dropempty.wasm"); err != nil {
		t.Fatal(err)
	}
	sdktest.Interceptor(t, sdktest.Subject{New: New, Module: "dropempty.wasm"})
}
`
	for name, text := range map[string]string{"plugin.go": code, "plugin_test.go": test} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	offline(t)
	if err := (&Guest{Folder: folder, Output: filepath.Join(folder, "dropempty.wasm"), Verbose: io.Discard}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	do(t, folder, "go", "test", "./...")
}
