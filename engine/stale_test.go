package engine

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/config"
)

// started is a broker that the test stops.
func started(t *testing.T, folder string) *Broker {
	t.Helper()
	b, err := begin(folder)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// stopped is the folder of a broker that was stopped, with four partitions of two topics, each with as many
// records of its own.
func stopped(t *testing.T) (folder string) {
	t.Helper()
	folder = t.TempDir()
	b := started(t, folder)
	createTopic(t, b, 2, "t", "u")
	c := client(t, b, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for _, topic := range []string{"t", "u"} {
		for p := range int32(2) {
			r := &kgo.Record{Topic: topic, Partition: p, Value: []byte(topic + string(rune('0'+p)))}
			if err := c.ProduceSync(limited(t), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.Close()
	stop(t, b)
	return folder
}

// TestFilesOfAnotherPartitionAreRefused: nothing in the files of a log says of which partition it is, and those of
// one topic have the same id.
func TestFilesOfAnotherPartitionAreRefused(t *testing.T) {
	swap := func(a, b string) error {
		return errors.Join(os.Rename(a, a+"#"), os.Rename(b, a), os.Rename(a+"#", b))
	}
	const log, index = "00000000000000000000.log", "00000000000000000000.index"
	for name, harm := range map[string]func(folder string) error{
		"two folders of a topic": func(f string) error { return swap(f+"/t-0", f+"/t-1") },
		"two segments":           func(f string) error { return swap(f+"/t-0/"+log, f+"/t-1/"+log) },
		"two segments and their indexes": func(f string) error {
			return errors.Join(swap(f+"/t-0/"+log, f+"/t-1/"+log), swap(f+"/t-0/"+index, f+"/t-1/"+index))
		},
		"two segments after a stop that was not clean": func(f string) error {
			return errors.Join(swap(f+"/t-0/"+log, f+"/t-1/"+log), os.Remove(filepath.Join(f, cleanFile)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			folder := stopped(t)
			if err := harm(folder); err != nil {
				t.Fatal(err)
			}
			before, err := os.ReadFile(filepath.Join(folder, "t-0", index))
			if err != nil {
				t.Fatal(err)
			}
			b := started(t, folder)
			defer stop(t, b)
			for p := range int32(2) {
				r := b.registry.Named("t").Replica(p)
				if r.Shard().Wait(func() { r.Settle() }); r.Whole() {
					t.Errorf("partition %d was opened", p)
				}
			}
			if got := readAll(t, b, "u"); len(got) != 2 {
				t.Errorf("of the other topic there are %q", got)
			}
			if after, err := os.ReadFile(filepath.Join(folder, "t-0", index)); string(after) != string(before) {
				t.Errorf("what was refused has changed: %v", err)
			}
		})
	}
}

// TestAnOlderMetadataLogIsRefused: beside it what was made since would belong to nobody.
func TestAnOlderMetadataLogIsRefused(t *testing.T) {
	folder := stopped(t)
	old := filepath.Join(t.TempDir(), "old")
	if err := os.CopyFS(old, os.DirFS(filepath.Join(folder, metadataFolder))); err != nil {
		t.Fatal(err)
	}
	b := started(t, folder)
	createTopic(t, b, 1, "later")
	produce(t, client(t, b), "later", 1)
	stop(t, b)
	newest := filepath.Join(folder, metadataFolder)
	if err := errors.Join(os.Rename(newest, newest+"#"), os.CopyFS(newest, os.DirFS(old))); err != nil {
		t.Fatal(err)
	}
	for range 2 { // a start that was refused has taken nothing away
		if b, err := begin(folder); err == nil || !strings.Contains(err.Error(), "at the last clean stop it ended") {
			if err == nil {
				stop(t, b)
			}
			t.Fatalf("an older metadata log: %v", err)
		}
	}
	if err := errors.Join(os.RemoveAll(newest), os.Rename(newest+"#", newest)); err != nil {
		t.Fatal(err)
	}
	b = started(t, folder)
	defer stop(t, b)
	if got := readAll(t, b, "later"); len(got) != 1 {
		t.Errorf("with the newest there are %q", got)
	}
}

func TestMarker(t *testing.T) {
	if n, err := parseMarker(cleanText); n != 0 || err != nil {
		t.Errorf("as it was: %d, %v", n, err)
	}
	text := encodeMarker(1042)
	if n, err := parseMarker(string(text)); n != 1042 || err != nil {
		t.Errorf("%q is read as %d, %v", text, n, err)
	}
	for at := range text {
		harmed := append([]byte{}, text...)
		harmed[at] ^= 1 << (at % 8)
		for _, one := range []string{string(harmed), string(text[:at])} {
			if n, err := parseMarker(one); err == nil && one != cleanText {
				t.Errorf("%q is read as %d", one, n)
			}
		}
	}
}

// TestARefusedStartLeavesAFolderAsItWas: what the next start may rely on is neither better nor forgotten because this
// one ended before it knew of partitions.
func TestARefusedStartLeavesAFolderAsItWas(t *testing.T) {
	for name, harm := range map[string]func(folder string) error{
		"clean":         func(string) error { return nil },
		"a crash":       func(f string) error { return os.Remove(filepath.Join(f, cleanFile)) },
		"a failed sync": func(f string) error { return os.WriteFile(filepath.Join(f, doubtFile), nil, 0o644) },
	} {
		folder := stopped(t)
		if err := harm(folder); err != nil {
			t.Fatal(err)
		}
		state := func() (all [3]string) {
			for i, file := range []string{cleanFile, doubtFile, pointsFile} {
				text, err := os.ReadFile(filepath.Join(folder, file))
				all[i] = string(text)
				if err != nil {
					all[i] = "none"
				}
			}
			if all[1] != "none" {
				all[0] = "none" // both are one crash after a clean stop, which counts as a failed sync
			}
			return all
		}
		before := state()
		if _, err := begin(folder, "cluster.id=AAAAAAAAAAAAAAAAAAAAAA"); err == nil {
			t.Fatalf("%s: started as another cluster", name)
		}
		if after := state(); after != before {
			t.Errorf("%s: before %q, after %q", name, before, after)
		}
		b := started(t, folder)
		if got := len(readAll(t, b, "t")); got != 2 {
			t.Errorf("%s: %d records of t, want 2", name, got)
		}
		stop(t, b)
	}
}

// TestAJournalThatCannotBeOpenedForgetsNoCleanStop: a start that the journal refuses comes before any log was opened,
// and the next one must know still where they end.
func TestAJournalThatCannotBeOpenedForgetsNoCleanStop(t *testing.T) {
	folder := stopped(t)
	marker := filepath.Join(folder, cleanFile)
	before, err := os.ReadFile(marker)
	if err != nil {
		t.Fatal(err)
	}
	journal := filepath.Join(folder, "journal")
	if err := errors.Join(os.RemoveAll(journal), os.MkdirAll(filepath.Join(journal, "0.journal"), 0o755)); err != nil {
		t.Fatal(err)
	}
	if b, err := begin(folder); err == nil {
		stop(t, b)
		t.Fatal("started without its journal")
	}
	if after, err := os.ReadFile(marker); string(after) != string(before) {
		t.Errorf("the marker of the clean stop was %q, and is %q (%v)", before, after, err)
	}
	if err := os.RemoveAll(journal); err != nil {
		t.Fatal(err)
	}
	b := started(t, folder)
	if got := len(readAll(t, b, "t")); got != 2 {
		t.Errorf("%d records of t, want 2", got)
	}
	stop(t, b)
}

// TestAnEmptiedFolderIsANewDataSet, although small files of the old one are left.
func TestAnEmptiedFolderIsANewDataSet(t *testing.T) {
	folder := stopped(t)
	for _, name := range []string{metadataFolder, "t-0", "t-1", "u-0", "u-1"} {
		if err := os.RemoveAll(filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	b := started(t, folder)
	defer stop(t, b)
	createTopic(t, b, 1, "t")
	produce(t, client(t, b), "t", 1)
}

// unsyncing is a file system on which nothing below a folder of that name can be synced while it says so.
type unsyncing struct {
	diskio.FS
	name string
	now  atomic.Bool
}

func (u *unsyncing) Open(name string, flag int) (diskio.File, error) {
	f, err := u.FS.Open(name, flag)
	if err != nil || !strings.Contains(name, u.name) {
		return f, err
	}
	return &unsynced{f, u}, nil
}

type unsynced struct {
	diskio.File
	fs *unsyncing
}

func (f *unsynced) Sync() error {
	if f.fs.now.Load() {
		return syscall.EIO
	}
	return f.File.Sync()
}

// TestASyncThatFailsInTheStartIsNoted: the next start must not believe what it reads of the metadata log.
func TestASyncThatFailsInTheStartIsNoted(t *testing.T) {
	files := &unsyncing{FS: diskio.NewMemory(), name: metadataFolder}
	begin := func() (*Broker, error) {
		settings, err := config.Parse("", "", []string{"listeners=PLAINTEXT://127.0.0.1:0", "log.dirs=/data", "admin.listener="})
		if err != nil {
			t.Fatal(err)
		}
		return Start(Options{Settings: settings, FS: files, Log: slog.New(slog.DiscardHandler)})
	}
	noted := func() bool {
		_, err := files.Stat(filepath.Join("/data", doubtFile))
		return err == nil
	}
	b, err := begin()
	if err != nil {
		t.Fatal(err)
	}
	stop(t, b)
	files.now.Store(true)
	if _, err := begin(); err == nil {
		t.Fatal("started although the metadata log cannot be synced")
	}
	_, err = files.Stat(filepath.Join("/data", cleanFile))
	if !noted() || err == nil {
		t.Errorf("noted: %v; a clean stop: %v", noted(), err == nil)
	}
	files.now.Store(false)
	for range 2 { // the first writes all again, and then nothing is in doubt
		if b, err = begin(); err != nil {
			t.Fatal(err)
		}
		stop(t, b)
	}
	if noted() {
		t.Error("still in doubt")
	}
}
