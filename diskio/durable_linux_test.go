package diskio

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// What goes past the page cache is read back through it, and what cannot go there is
// refused before anything is written; the file goes on as any other.
func TestWriteDurable(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	f, err := OS.Open(name, os.O_RDWR|os.O_CREATE)
	must(t, err)
	defer f.Close() //nolint:errcheck // a test
	_, err = f.WriteAt(make([]byte, 8*journalPage), 0)
	must(t, err)
	must(t, f.Sync())
	d := f.(durable)
	if !d.beDurable() {
		t.Skip("the file system has no direct writes")
	}
	p := aligned(2 * journalPage)
	for i := range p {
		p[i] = byte(i % 251)
	}
	must(t, d.writeDurable(p, 3*journalPage))
	read, err := ReadFile(OS, name)
	must(t, err)
	want := append(append(make([]byte, 3*journalPage), p...), make([]byte, 3*journalPage)...)
	if !bytes.Equal(read, want) {
		t.Fatal("what was written is not what is read")
	}
	if err := d.writeDurable(p[1:journalPage], 1); !errors.Is(err, errIndirect) {
		t.Fatalf("a write that is not aligned: %v", err)
	}
	_, err = f.WriteAt([]byte("any"), 5)
	must(t, err)
	copy(want[5:], "any")
	if read, err = ReadFile(OS, name); err != nil || !bytes.Equal(read, want) {
		t.Fatalf("the file does not go on as any other: %v", err)
	}
}

// fickle is a file system whose files say that they can be written to directly, and then cannot.
type fickle struct {
	FS
	refused *atomic.Int64
}

type fickleFile struct {
	File
	refused *atomic.Int64
}

func (fs fickle) Open(name string, flag int) (File, error) {
	f, err := fs.FS.Open(name, flag)
	return fickleFile{f, fs.refused}, err
}

func (f fickleFile) beDurable() bool { return true }

func (f fickleFile) writeDurable([]byte, int64) error {
	f.refused.Add(1)
	return errIndirect
}

// On a real disk the journal brings back what was acknowledged, whether it is written to
// directly or not.
func TestJournalOnARealDisk(t *testing.T) {
	refused := new(atomic.Int64)
	for name, fs := range map[string]FS{"direct": OS, "not after all": fickle{OS, refused}} {
		t.Run(name, func(t *testing.T) {
			folder, copied := t.TempDir(), t.TempDir()
			o := JournalOptions{FS: fs, Folder: folder, Bytes: 64 << 20, Warmup: 1, Age: time.Hour}
			j, err := OpenJournal(o)
			must(t, err)
			r := &room{t: t, journal: j, syncer: NewSyncer(SyncerOptions{Journal: j})}
			defer r.syncer.Close()
			must(t, OS.MkdirAll(filepath.Join(folder, "t-0")))
			f, err := OS.Open(filepath.Join(folder, "t-0", "0.log"), os.O_RDWR|os.O_CREATE)
			must(t, err)
			defer f.Close() //nolint:errcheck // a test
			r.files = []*tail{{File: f, name: "t-0/0.log"}}
			r.warm()
			const rounds = 10 // one after the other, none of which the file was synced for
			for done := 0; done < rounds; done++ {
				before := j.Stats().Rounds
				must(t, r.append(r.files[0], bytes.Repeat([]byte{byte(done)}, 1000)))
				if j.Stats().Rounds == before {
					done = -1
				}
			}
			must(t, os.CopyFS(copied, os.DirFS(folder)))
			want := r.files[0].want
			must(t, os.Truncate(filepath.Join(copied, "t-0", "0.log"), int64(len(want)-(rounds-1)*1000))) // as a power cut may leave it
			o.Folder = copied
			again, err := OpenJournal(o)
			must(t, err)
			NewSyncer(SyncerOptions{Journal: again}).Close()
			found, err := ReadFile(OS, filepath.Join(copied, "t-0", "0.log"))
			must(t, err)
			if !bytes.Equal(found, want) {
				t.Fatalf("%d bytes of %d came back", len(found), len(want))
			}
		})
	}
	if refused.Load() == 0 {
		t.Fatal("nobody wrote directly")
	}
}
