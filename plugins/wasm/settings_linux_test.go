package wasm

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/millrace/millrace/sdk"
)

// Nobody has the other end of the pipe: who waited for one would wait for ever.
func TestAModuleThatIsAPipeIsNotWaitedFor(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "guest.wasm")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, settings := range []map[string]string{{"path": pipe}, {"path": "guest.wasm", "dir": dir}} {
		if _, err := sdk.Interceptors.New("wasm", sdk.NewConfig(settings)); err == nil || !strings.Contains(err.Error(), "no regular file") {
			t.Errorf("%v: %v", settings, err)
		}
	}
}
