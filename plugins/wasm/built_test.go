package wasm

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	. "github.com/millrace/millrace/plugins/wasm/assemble"
	built "github.com/millrace/millrace/plugins/wasm/testdata"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/endless.wasm anew")

// What `millrace bench limits` puts beside others is the module that never ends of these tests.
func TestTheEndlessModuleIsBuilt(t *testing.T) {
	want := guest(Seq(forever, pass)).Bytes()
	if *rewrite {
		if err := os.WriteFile(filepath.Join("testdata", "endless.wasm"), want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(built.Endless, want) {
		t.Error("testdata/endless.wasm is another module: go test ./plugins/wasm -run Endless -rewrite")
	}
}
