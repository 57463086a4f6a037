package quorum

import (
	"bytes"
	"encoding/binary"
	"flag"
	"hash/crc32"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/fuzz"
	"github.com/millrace/millrace/sdk/batch"
	"go.etcd.io/raft/v3/raftpb"
)

var rewriteGolden = flag.Bool("rewrite-golden", false, "write the golden files in testdata anew")

// golden holds bytes against a file, because data folders hold them: what one release
// writes every later one must read.
func golden(t *testing.T, name string, got []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewriteGolden {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is written as\n%q\nwant\n%q", name, got, want)
	}
	return want
}

// sampleEntries are of two terms and all types.
func sampleEntries() []*raftpb.Entry {
	return []*raftpb.Entry{
		{Index: new(uint64(8)), Term: new(uint64(2)), Type: raftpb.EntryNormal.Enum()},
		{Index: new(uint64(9)), Term: new(uint64(2)), Type: raftpb.EntryNormal.Enum(), Data: []byte(`{"type":"removeTopic","version":0,"id":"AQAAAAAAAAAAAAAAAAAAAA"}`)},
		{Index: new(uint64(10)), Term: new(uint64(3)), Type: raftpb.EntryConfChange.Enum(), Data: []byte{8, 1}},
		{Index: new(uint64(11)), Term: new(uint64(3)), Type: raftpb.EntryConfChangeV2.Enum()},
	}
}

func TestGoldenEntries(t *testing.T) {
	var e encoder
	batches, link, err := e.encode(sampleEntries(), 77, 1_700_000_000_000)
	if err != nil {
		t.Fatal(err)
	}
	if len(batches) != 2 {
		t.Fatalf("%d batches for two terms", len(batches))
	}
	text := golden(t, "entries.golden", bytes.Join(batches, nil))
	var read []*raftpb.Entry
	before := chain(77)
	for len(text) > 0 {
		size, err := batch.Peek(text)
		if err != nil {
			t.Fatal(err)
		}
		var some []*raftpb.Entry
		if some, before, err = decode(text[:size], before, true); err != nil {
			t.Fatal(err)
		}
		read, text = append(read, some...), text[size:]
	}
	if before != link || !reflect.DeepEqual(entriesText(read), entriesText(sampleEntries())) {
		t.Fatalf("read %v with chain %08x, want %v with %08x", read, before, sampleEntries(), link)
	}
}

func entriesText(entries []*raftpb.Entry) (text []string) {
	for _, e := range entries {
		text = append(text, e.String())
	}
	return text
}

func TestGoldenFiles(t *testing.T) {
	state := hardState{ClusterID: "MkU3OEVBNTcwNTJENDM2Qg", Term: 3, Vote: 1, Commit: 17}
	if read, err := parseState(golden(t, "quorum-state.golden", state.encode())); err != nil || read != state {
		t.Errorf("read %+v, %v, want %+v", read, err, state)
	}
	p := Properties{ClusterID: "MkU3OEVBNTcwNTJENDM2Qg", NodeID: 1, Directory: cluster.ID{1}}
	if read, err := ParseProperties(golden(t, "meta.properties.golden", p.Encode())); err != nil || read != p {
		t.Errorf("read %+v, %v, want %+v", read, err, p)
	}
	image, at := sampleImage(t), point{Index: 17, Term: 3, Link: 0xcafe}
	text, err := encodeSnapshot(image, at, []int32{1}, 1_700_000_000_000)
	if err != nil {
		t.Fatal(err)
	}
	read, found, voters, err := decodeSnapshot(golden(t, "checkpoint.golden", text))
	if err != nil || found != at || len(voters) != 1 || voters[0] != 1 {
		t.Fatalf("read a snapshot of %+v with voters %v, %v", found, voters, err)
	}
	sameImage(t, read, image)
	if name := snapshotName(at); name != "00000000000000000017-0000000003.checkpoint" {
		t.Errorf("a snapshot is named %s", name)
	}
}

func sampleImage(t testing.TB) *cluster.Image {
	t.Helper()
	image, err := cluster.Empty().Apply([]cluster.Record{ // not Found: a file of today is read when there are more features
		&cluster.ClusterRecord{ID: "MkU3OEVBNTcwNTJENDM2Qg"}, &cluster.FeatureRecord{Name: "metadata.version", Level: 30},
	})
	if err != nil {
		t.Fatal(err)
	}
	one := cluster.Partition{Leader: 1, Replicas: []int32{1}, ISR: []int32{1}, Directories: []cluster.ID{{1}}}
	image, err = image.Apply([]cluster.Record{
		&cluster.BrokerRecord{ID: 1, Epoch: 1, Incarnation: cluster.ID{2}, Host: "localhost", Port: 9092, Directories: []cluster.ID{{1}}},
		&cluster.TopicRecord{Name: "orders", ID: cluster.ID{4}, Partitions: []cluster.Partition{one, one}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// TestEveryFlippedBitIsNoticed flips each bit of a batch of entries and of a snapshot, and
// cuts the snapshot at each byte.
func TestEveryFlippedBitIsNoticed(t *testing.T) {
	var e encoder
	batches, _, err := e.encode(sampleEntries()[:2], 77, 0)
	if err != nil {
		t.Fatal(err)
	}
	whole := bytes.Clone(batches[0])
	for bit := range len(whole) * 8 {
		spoiled := bytes.Clone(whole)
		spoiled[bit/8] ^= 1 << (bit % 8)
		size, err := batch.Peek(spoiled)
		if err != nil || size != len(whole) {
			continue // noticed
		}
		if read, _, err := decode(spoiled, 77, true); err == nil {
			t.Fatalf("bit %d of byte %d: read %v", bit%8, bit/8, read)
		}
	}
	text, err := encodeSnapshot(sampleImage(t), point{Index: 1, Term: 1}, []int32{1}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range len(text) * 8 {
		spoiled := bytes.Clone(text)
		spoiled[bit/8] ^= 1 << (bit % 8)
		if _, _, _, err := decodeSnapshot(spoiled); err == nil {
			t.Fatalf("bit %d of byte %d of a snapshot changed unnoticed", bit%8, bit/8)
		}
	}
	for size := range text {
		if _, _, _, err := decodeSnapshot(text[:size]); err == nil {
			t.Fatalf("a snapshot cut to %d of %d bytes was read", size, len(text))
		}
	}
}

// repaired gives every batch in text the CRC that it should have, so that what is behind
// the check is tried too.
func repaired(text []byte) []byte {
	text = bytes.Clone(text)
	for rest := text; ; {
		size, err := batch.Peek(rest)
		if err != nil {
			return text
		}
		binary.BigEndian.PutUint32(rest[17:], crc32.Checksum(rest[21:size], castagnoli))
		rest = rest[size:]
	}
}

// FuzzDecode reads any batch as entries; what is read is written and read as the same.
func FuzzDecode(f *testing.F) {
	var e encoder
	batches, _, err := e.encode(sampleEntries(), 0, 5)
	if err != nil {
		f.Fatal(err)
	}
	for _, one := range batches {
		f.Add(bytes.Clone(one))
	}
	fuzz.Run(f, func(t *testing.T, text []byte) {
		text = repaired(text)
		size, err := batch.Peek(text)
		if err != nil {
			return
		}
		entries, link, err := decode(text[:size], 0, false)
		if err != nil || len(entries) == 0 {
			return
		}
		var e encoder
		again, _, err := e.encode(entries, 0, 5)
		if err != nil {
			t.Fatalf("entries %v cannot be written: %v", entries, err)
		}
		read, _, err := decode(again[0], 0, true)
		if err != nil || !reflect.DeepEqual(entriesText(read), entriesText(entries)) {
			t.Fatalf("read %v (chain %08x), written and read as %v, %v", entries, link, read, err)
		}
	})
}

func FuzzDecodeSnapshot(f *testing.F) {
	text, err := encodeSnapshot(sampleImage(f), point{Index: 17, Term: 3}, []int32{1}, 5)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	fuzz.Run(f, func(t *testing.T, text []byte) {
		image, at, voters, err := decodeSnapshot(repaired(text))
		if err != nil {
			return
		}
		again, err := encodeSnapshot(image, at, voters, 5)
		if err != nil {
			t.Fatal(err)
		}
		read, found, _, err := decodeSnapshot(again)
		if err != nil || found != at {
			t.Fatalf("a snapshot of %+v was written and read as of %+v, %v", at, found, err)
		}
		sameImage(t, read, image)
	})
}

func FuzzParseState(f *testing.F) {
	f.Add(hardState{ClusterID: "MkU3OEVBNTcwNTJENDM2Qg", Term: 3, Vote: 1, Commit: 17}.encode())
	fuzz.Run(f, func(t *testing.T, text []byte) {
		state, err := parseState(text)
		if err != nil {
			return
		}
		if again, err := parseState(state.encode()); err != nil || again != state {
			t.Fatalf("%+v was written and read as %+v, %v", state, again, err)
		}
	})
}

func FuzzParseProperties(f *testing.F) {
	f.Add(Properties{ClusterID: "MkU3OEVBNTcwNTJENDM2Qg", NodeID: 1, Directory: cluster.ID{1}}.Encode())
	f.Add([]byte("# Kafka's\nversion=1\ncluster.id=c\nnode.id=1\n"))
	fuzz.Run(f, func(t *testing.T, text []byte) {
		p, err := ParseProperties(text)
		if err != nil {
			return
		}
		if again, err := ParseProperties(p.Encode()); err != nil || again != p {
			t.Fatalf("%+v was written and read as %+v, %v", p, again, err)
		}
	})
}
