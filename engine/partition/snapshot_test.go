package partition

import (
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/fuzz"
	"github.com/millrace/millrace/sdk/batch"
)

func sample(t testing.TB) *Partition {
	p := New(Options{End: 0})
	for _, h := range []header{
		{producer: 4, epoch: 1, sequence: 0, count: 3, timestamp: 1700000000000},
		{producer: 4, epoch: 1, sequence: 3, count: 1, timestamp: 1700000000500},
		{producer: 9, epoch: 0, sequence: 2147483647, count: 2, timestamp: 1700000001000},
	} {
		if _, err := p.Admit(h.batch(), 1700000002000); err != nil {
			t.Fatal(err)
		}
	}
	p.Written(p.End())
	return p
}

// TestGoldenSnapshot keeps the format of FORMAT.md: files of earlier versions must stay readable.
func TestGoldenSnapshot(t *testing.T) {
	golden, err := os.ReadFile("testdata/snapshot-1.hex")
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString(strings.Join(strings.Fields(string(golden)), ""))
	if err != nil {
		t.Fatal(err)
	}
	p := sample(t)
	if got := p.Snapshot(nil); !bytes.Equal(got, want) {
		t.Errorf("snapshot is\n%x, golden file has\n%x", got, want)
	}
	again := New(Options{End: p.End()})
	if err := again.Restore(want); err != nil {
		t.Fatal(err)
	}
	if describe(again) != describe(p) {
		t.Errorf("golden file restores\n%s, want\n%s", describe(again), describe(p))
	}
}

// TestGoldenSnapshotWithAborted keeps version 2.
func TestGoldenSnapshotWithAborted(t *testing.T) {
	golden, err := os.ReadFile("testdata/snapshot-2.hex")
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString(strings.Join(strings.Fields(string(golden)), ""))
	if err != nil {
		t.Fatal(err)
	}
	one := batch.Aborted{ProducerID: 4, First: 0, Last: 5, Stable: 6}
	p := sample(t)
	if got := p.Snapshot(nil, one); !bytes.Equal(got, want) {
		t.Errorf("snapshot is\n%x, golden file has\n%x", got, want)
	}
	again := New(Options{End: p.End()})
	if err := again.Restore(want); err != nil {
		t.Fatal(err)
	}
	if got := again.Restored(); len(got) != 1 || got[0] != one {
		t.Errorf("restored %+v, want %+v", got, one)
	}
	for name, bad := range map[string][]byte{
		"cut short":      want[:len(want)-1],
		"no count":       want[:len(want)-33],
		"ends no later":  append(bytes.Clone(want[:len(want)-32]), bytes.Repeat([]byte{0}, 32)...),
		"too long":       append(bytes.Clone(want), 0),
		"negative first": append(append(bytes.Clone(want[:len(want)-24]), 0x80), want[len(want)-23:]...),
	} {
		if New(Options{End: p.End()}).Restore(bad) == nil {
			t.Errorf("%s: restored", name)
		}
	}
}

func TestDamagedSnapshotChangesNothing(t *testing.T) {
	good := sample(t).Snapshot(nil)
	change := func(at int, b byte) []byte {
		bad := bytes.Clone(good)
		bad[at] = b
		return bad
	}
	for name, bad := range map[string][]byte{
		"empty":             {},
		"cut short":         good[:len(good)-1],
		"too long":          append(bytes.Clone(good), 0),
		"another version":   change(1, 9),
		"more than is here": change(2, 0xff),
		"too many batches":  change(snapshotHead+producerSize-1, 6),
		"negative epoch":    change(snapshotHead+8, 0x80),
		"wrong order":       change(snapshotHead+7, 200),
		"negative id":       change(snapshotHead, 0x80),
		"negative delta":    change(snapshotHead+producerSize+12, 0x80),
		"batches mixed up":  change(snapshotHead+producerSize+sentSize+11, 1),
	} {
		t.Run(name, func(t *testing.T) {
			p := sample(t)
			before := describe(p)
			if err := p.Restore(bad); err == nil {
				t.Error("restored")
			}
			if describe(p) != before {
				t.Error("a refused snapshot changed something")
			}
		})
	}
}

func FuzzRestore(f *testing.F) {
	f.Add(sample(f).Snapshot(nil))
	f.Add(New(Options{}).Snapshot(nil))
	f.Add(sample(f).Snapshot(nil, batch.Aborted{ProducerID: 4, First: 0, Last: 5, Stable: 6}))
	f.Add([]byte{0, 1, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte("\x00\x01\x00\x00\x00\x0200000000000000000000000000000000000000\x0000010000000000000000000000000000000000\x00")) // two transactions from one offset
	fuzz.Run(f, func(t *testing.T, snapshot []byte) {
		p := New(Options{End: 1 << 62})
		if p.Restore(snapshot) != nil {
			return
		}
		if err := p.Check(); err != nil {
			t.Fatal(err)
		}
		saved := p.Snapshot(nil, p.Restored()...)
		again := New(Options{End: 1 << 62})
		if err := again.Restore(saved); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again.Snapshot(nil, again.Restored()...), saved) {
			t.Fatal("what was restored does not save to itself")
		}
	})
}

// FuzzAdmit feeds headers of all kinds: nothing may break the machine.
func FuzzAdmit(f *testing.F) {
	f.Add([]byte(header{producer: 1, count: 2}.batch()))
	f.Add([]byte(header{producer: 1, sequence: 2147483647, count: 2147483647}.batch()))
	fuzz.Run(f, func(t *testing.T, raw []byte) {
		p := New(Options{End: 100, Start: 50})
		for len(raw) >= 61 {
			if a, err := p.Admit(raw[:61], 5); err == nil && !a.Duplicate && a.End != p.End() {
				t.Fatalf("admitted at %+v, end %d", a, p.End())
			}
			if err := p.Check(); err != nil {
				t.Fatal(err)
			}
			raw = raw[61:]
		}
		p.Undo(100)
		if len(p.Producers()) > 0 {
			t.Fatal("undoing everything left producers")
		}
	})
}
