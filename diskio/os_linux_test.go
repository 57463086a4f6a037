package diskio

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestWhatIsNoFileIsNotOpened: a pipe in the place of a file would hold up who opens it for ever.
func TestWhatIsNoFileIsNotOpened(t *testing.T) {
	dir := t.TempDir()
	pipe, folder := filepath.Join(dir, "pipe"), filepath.Join(dir, "folder")
	if err := errors.Join(unix.Mkfifo(pipe, 0o600), os.Mkdir(folder, 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{pipe, folder, os.DevNull} {
		for _, flag := range []int{os.O_RDONLY, os.O_WRONLY, os.O_RDWR | os.O_CREATE} {
			done := make(chan error, 1)
			go func() {
				f, err := OS.Open(name, flag)
				if err == nil {
					err = errors.Join(f.Close(), io.EOF)
				}
				done <- err
			}()
			select {
			case err := <-done:
				if !errors.Is(err, errNotFile) {
					t.Errorf("%s with flags %x: %v", name, flag, err)
				}
			case <-time.After(5 * time.Second):
				t.Fatalf("%s with flags %x: waits", name, flag)
			}
		}
	}
}
