package files

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Nobody has the other end of the pipe: who waited for one would wait for ever.
func TestPipesAreNotWaitedFor(t *testing.T) {
	dir, _ := folders(t)
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"pipe", filepath.Join(dir, "pipe")} {
		if _, err := Read(dir, name, 10); err == nil || !strings.Contains(err.Error(), "no regular file") {
			t.Errorf("read: %v", err)
		}
		if _, err := Append(dir, name); err == nil {
			t.Error("a pipe was opened to write to")
		}
	}
	if _, err := Read("", filepath.Join(dir, "pipe"), 10); err == nil {
		t.Error("a pipe was read where files may lie anywhere")
	}
}

func TestDevicesAreRefused(t *testing.T) {
	if _, err := Read("", "/dev/zero", 10); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("read: %v", err)
	}
	if _, err := Append("", "/dev/null"); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("append: %v", err)
	}
}
