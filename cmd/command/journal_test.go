package command

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/millrace/millrace/diskio"
)

// journalled is a data folder as a power cut leaves it: bytes of a file stand in the journal.
func journalled(t *testing.T) string {
	t.Helper()
	memory := diskio.NewMemory()
	if err := memory.MkdirAll("/data/orders-0"); err != nil {
		t.Fatal(err)
	}
	const name = "orders-0/00000000000000000000.log"
	f, err := memory.Open("/data/"+name, os.O_RDWR|os.O_CREATE)
	if err != nil {
		t.Fatal(err)
	}
	j, err := diskio.OpenJournal(diskio.JournalOptions{FS: memory, Folder: "/data", Bytes: 4 * 65536, Warmup: 1})
	if err != nil {
		t.Fatal(err)
	}
	s := diskio.NewSyncer(diskio.SyncerOptions{Journal: j})
	done := make(chan error, 1)
	for at := int64(0); j.Stats().Rounds < 3; at += 5 {
		if _, err := f.WriteAt([]byte("bytes"), at); err != nil {
			t.Fatal(err)
		}
		s.Sync(&diskio.Request{File: f, Name: name, From: at, To: at + 5, Done: func(_ *diskio.Request, err error) { done <- err }})
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		runtime.Gosched()
	}
	memory.HaltAfter(0)
	s.Close()
	memory.Crash()
	folder := t.TempDir()
	err = errors.Join(memory.Export(diskio.OS, folder), os.RemoveAll(filepath.Join(folder, "data", "orders-0")))
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(folder, "data")
}

func TestVerifyJournal(t *testing.T) {
	s := newTools(t)
	data := journalled(t)
	writeLog(t, filepath.Join(data, "orders-0"))
	writeOwner(t, data)
	out, errs, code := s.run("", "log verify", data)
	for _, want := range []string{
		filepath.Join(data, "journal", "0.journal") + ": 65536 bytes, epoch 1, needed, blocks: 3",
		filepath.Join(data, "orders-0", "00000000000000000000.log") + ": the journal has 3 ranges of it, 15 bytes, up to position ",
		"1 partitions checked, 0 problems found\n",
	} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit %d, no %q in\n%s%s", code, want, out, errs)
		}
	}
	file := filepath.Join(data, "journal", "0.journal")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text[4096+60] ^= 1
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	out, _, code = s.run("", "log verify", data)
	if code != 1 || !strings.Contains(out, file+": position 4096: its checksum does not fit") || !strings.Contains(out, "1 problems found") {
		t.Errorf("exit %d:\n%s", code, out)
	}
}

// TestVerifyBehindAJournalThatCannotBeRead: the rest of the folder is read all the same.
func TestVerifyBehindAJournalThatCannotBeRead(t *testing.T) {
	s := newTools(t)
	data := t.TempDir()
	writeLog(t, filepath.Join(data, "orders-0"))
	writeOwner(t, data)
	file := filepath.Join(data, "journal")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, code := s.run("", "log verify", data)
	if code != 1 || !strings.Contains(out, file+": ") || !strings.Contains(out, "1 partitions checked, 1 problems found\n") {
		t.Errorf("exit %d:\n%s%s", code, out, errs)
	}
}
