package command

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/commitlog"
	"github.com/millrace/millrace/sdk/batch"
)

// writeLog makes a partition with one record.
func writeLog(t *testing.T, dir string) {
	t.Helper()
	l, err := commitlog.Open(dir, commitlog.Options{FS: diskio.OS, SegmentBytes: 1 << 20}, commitlog.Recovery{Clean: true, From: -1})
	if err != nil {
		t.Fatal(err)
	}
	var builder batch.Builder
	builder.Append(1000, []byte("the key"), []byte("the value"), nil)
	one, err := builder.Finish(batch.NoProducer())
	if err != nil {
		t.Fatal(err)
	}
	one.SetBaseOffset(0)
	one.SetLeaderEpoch(0)
	if err := l.Append([][]byte{one}, time.UnixMilli(1000)); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	topic := []byte("version: 0\ntopic_id: ShsCAwQFBgcICQoLDA0ODw\n")
	if err := os.WriteFile(filepath.Join(dir, "partition.metadata"), topic, 0o600); err != nil {
		t.Fatal(err)
	}
}

// writeOwner says whose a data folder is.
func writeOwner(t *testing.T, data string) {
	t.Helper()
	const text = "version=1\nnode.id=1\ncluster.id=MkU3OEVBNTcwNTJENDM2Qg\n"
	if err := os.WriteFile(filepath.Join(data, "meta.properties"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLog(t *testing.T) {
	s := newTools(t)
	data := t.TempDir()
	partition := filepath.Join(data, "orders-0")
	writeLog(t, partition)
	writeOwner(t, data)
	out, errs, code := s.run("", "log dump --print-data-log", partition)
	if code != 0 || !strings.Contains(out, "the key") || !strings.Contains(out, "the value") || !strings.Contains(out, "baseOffset: 0") {
		t.Errorf("dumped %d %s %s", code, out, errs)
	}
	s.expect("1 partitions checked, 0 problems found\n", "", "log verify", data)
	s.expect("1 partitions checked, 0 problems found\n", "", "log verify", partition)

	file := filepath.Join(partition, "00000000000000000000.log")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	i := strings.Index(string(text), "the value")
	text[i] ^= 1
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	out, _, code = s.run("", "log verify", data)
	if code != 1 || strings.HasSuffix(out, ", 0 problems found\n") || !strings.Contains(out, ".log") {
		t.Errorf("verified %d %s", code, out)
	}
	if _, errs, code := s.run("", "log verify", t.TempDir()); code != 1 || !strings.Contains(errs, "neither the folder of a partition nor holds any") {
		t.Errorf("verified nothing: %d %s", code, errs)
	}
}

// TestVerifyGoesOn: what cannot be read in one partition keeps nobody from being told of the next.
func TestVerifyGoesOn(t *testing.T) {
	s := newTools(t)
	data := t.TempDir()
	first, second := filepath.Join(data, "a-0"), filepath.Join(data, "b-0")
	writeLog(t, first)
	writeLog(t, second)
	epochs := filepath.Join(first, "leader-epoch-checkpoint")
	if err := errors.Join(os.RemoveAll(epochs), os.Mkdir(epochs, 0o755)); err != nil {
		t.Fatal(err)
	}
	out, _, code := s.run("", "log verify", data)
	if code != 1 || !strings.Contains(out, epochs) || !strings.Contains(out, "2 partitions checked") {
		t.Errorf("verified %d %s", code, out)
	}
}
