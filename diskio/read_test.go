package diskio

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadFileTakesNoMoreThanItCanBe: a file that says to be larger than any is refused by its name, and not read.
func TestReadFileTakesNoMoreThanItCanBe(t *testing.T) {
	name := filepath.Join(t.TempDir(), "checkpoint")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(1<<40), f.Close()); err != nil { // there is nothing in it, and it takes no room
		t.Skip("no sparse files here: ", err)
	}
	if _, err := ReadFile(OS, name); !errors.Is(err, errTooLarge) || !strings.Contains(err.Error(), name) {
		t.Errorf("reading it ended with %v", err)
	}
}
