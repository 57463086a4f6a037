package diskio

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"slices"
	"testing"

	"github.com/millrace/millrace/engine/fuzz"
)

var rewrite = flag.Bool("rewrite", false, "write the golden file as this version writes it")

// goldenJournal is the file that FORMAT.md draws: a header and one block of two entries.
func goldenJournal() []byte {
	id := [16]byte{0x4d, 0x69, 0x6c, 0x6c, 0x72, 0x61, 0x63, 0x65, 0x20, 0x6a, 0x6f, 0x75, 0x72, 0x6e, 0x61, 0x6c}
	tag := [16]byte{0x4a, 0x1b, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	p := make([]byte, journalPage)
	(&fileHead{id: id, epoch: 7, first: 42, tail: 5, size: 32 << 20}).encode(p)
	block := make([]byte, blockHeadSize)
	add := func(e entry) {
		block = append(append(appendEntry(block, &e, len(e.name), len(e.data)), e.name...), e.data...)
	}
	add(entry{kind: entryData, tag: tag, position: 4096, name: []byte("topic-0/00000000000000000000.log"), data: []byte("five bytes, and more")})
	add(entry{kind: entryForget, tag: tag, name: []byte("topic-1/00000000000000000004.log")})
	(&blockHead{count: 2, id: id, epoch: 7, number: 42, tail: 6}).seal(block)
	return append(p, append(block, make([]byte, page(len(block))-len(block))...)...)
}

// The file that is written today is that of the last release, byte by byte.
func TestGoldenJournal(t *testing.T) {
	now := goldenJournal()
	if *rewrite {
		must(t, os.WriteFile("testdata/golden.journal", now, 0o644))
	}
	want, err := os.ReadFile("testdata/golden.journal")
	must(t, err)
	if !bytes.Equal(now, want) {
		t.Fatalf("it is\n%x, want\n%x", now, want)
	}
	head, blank, err := decodeHead(want)
	if err != nil || blank || head.epoch != 7 || head.first != 42 || head.tail != 5 || head.size != 32<<20 {
		t.Fatalf("header %+v, blank %v, %v", head, blank, err)
	}
	var names []string
	b, err := decodeBlock(want[journalPage:], func(e entry) { names = append(names, string(e.name)+" "+string(e.data)) })
	must(t, err)
	if b.epoch != 7 || b.number != 42 || b.tail != 6 ||
		!slices.Equal(names, []string{"topic-0/00000000000000000000.log five bytes, and more", "topic-1/00000000000000000004.log "}) {
		t.Fatalf("block %+v of %q", b, names)
	}
}

// No bit of a header or a block can change unnoticed.
func TestEveryBitIsChecked(t *testing.T) {
	p := goldenJournal()
	head, _ := decodeBlockHead(p[journalPage:])
	for at := range p {
		inHead, inBlock := at < journalHeadSize, at >= journalPage && at < journalPage+head.length
		if !inHead && !inBlock {
			continue // filled up with zeros, which mean nothing
		}
		for bit := range 8 {
			p[at] ^= 1 << bit
			var err error
			if inHead {
				_, _, err = decodeHead(p)
			} else {
				_, err = decodeBlock(p[journalPage:], func(entry) { t.Fatal("an entry of a damaged block") })
			}
			if err == nil {
				t.Fatalf("bit %d of byte %d changed unnoticed", bit, at)
			}
			p[at] ^= 1 << bit
		}
	}
}

func TestNamesInTheJournal(t *testing.T) {
	for name, want := range map[string]bool{
		"topic-0/00000000000000000000.log": true, "a/b": true, "": false, "a": false, "/a": false, "a/": false, "../a": false, "a/..": false,
		"a/b/c": false, "./a": false, "a/.": false, "journal/0.journal": false,
	} {
		if journalled(name) != want {
			t.Errorf("%q may stand in the journal: %v", name, !want)
		}
	}
}

func FuzzJournalBlock(f *testing.F) {
	p := goldenJournal()
	f.Add(p[journalPage:])
	f.Add(p[journalPage : journalPage+100])
	f.Add([]byte(blockMagic))
	f.Add([]byte{})
	fuzz.Run(f, func(t *testing.T, p []byte) {
		called := 0
		b, err := decodeBlock(p, func(e entry) {
			called++
			if e.position < 0 || !journalled(string(e.name)) {
				t.Fatalf("entry %+v", e)
			}
		})
		if err != nil && called > 0 {
			t.Fatalf("%d entries of a block with %v", called, err)
		}
		if err == nil && (called != b.count || b.length > len(p)) {
			t.Fatalf("%d entries of %+v in %d bytes", called, b, len(p))
		}
		if _, _, err := decodeHead(p); err == nil && len(p) < journalHeadSize {
			t.Fatal("a header out of nothing")
		}
		// The same with a checksum that fits: entries are looked at, too.
		if b, err := decodeBlockHead(p); err == nil && b.length <= len(p) && b.length >= blockHeadSize {
			q := slices.Clone(p[:b.length])
			b.seal(q)
			if _, err := decodeBlock(q, func(entry) {}); errors.Is(err, errBlockCRC) {
				t.Fatal("the checksum that was just made does not fit")
			}
		}
	})
}
