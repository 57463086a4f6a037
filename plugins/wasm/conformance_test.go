package wasm_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/plugins/wasm"
	"github.com/millrace/millrace/plugins/wasm/testdata/mask"
	"github.com/millrace/millrace/sdk/sdktest"
)

func TestTheMaskInRustAnswersAsTheNativeOne(t *testing.T) {
	sdktest.Interceptor(t, sdktest.Subject{New: mask.New, Module: "testdata/mask.wasm"})
}

func TestTheMaskFromGoAnswersAsTheNativeOne(t *testing.T) {
	if wasm.RaceEnabled {
		t.Skip("compiling two megabytes takes minutes with the race detector, which sees nothing of what runs then")
	}
	module, err := wasm.GoGuest()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "mask.wasm")
	if err := os.WriteFile(path, module, 0o600); err != nil {
		t.Fatal(err)
	}
	// A record of a mebibyte is copied several times.
	sdktest.Interceptor(t, sdktest.Subject{New: mask.New, Module: path, Limits: map[string]string{"memory.max": "33554432"}})
}
