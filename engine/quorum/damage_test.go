package quorum

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/sdk/batch"
	"go.etcd.io/raft/v3/raftpb"
)

// grown runs a node until it has taken more than two snapshots, and answers the last image.
func grown(t *testing.T, disk *diskio.Memory) *cluster.Image {
	t.Helper()
	o := testOptions(disk)
	o.SnapshotBytes = 5000
	q := open(t, o)
	register(t, q)
	for n := range 200 {
		mustCreate(t, q, fmt.Sprintf("t%03d", n))
	}
	image := q.Image()
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	return image
}

func snapshots(t *testing.T, disk diskio.FS) []string {
	t.Helper()
	names, err := disk.ReadDir("/data/" + logFolder)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(names, func(name string) bool { return !strings.HasSuffix(name, snapshotSuffix) })
}

func TestSnapshots(t *testing.T) {
	disk := diskio.NewMemory()
	want := grown(t, disk)
	names := snapshots(t, disk)
	if len(names) != 2 {
		t.Fatalf("snapshots are %v, want two", names)
	}
	q := open(t, testOptions(disk))
	sameImage(t, q.Image(), want)
	older, _ := parseSnapshotName(names[0])
	newer, _ := parseSnapshotName(names[1])
	if s := q.Status(); s.Start != int64(older.Index) || s.Snapshot != int64(newer.Index) {
		t.Fatalf("the log begins at %d, the newest snapshot is %d; snapshots are %v", s.Start, s.Snapshot, names)
	}
	register(t, q)
	mustCreate(t, q, "after")
}

func TestDamagedSnapshots(t *testing.T) {
	disk := diskio.NewMemory()
	want := grown(t, disk)
	names := snapshots(t, disk)
	flip(t, disk, names[1])
	q := open(t, testOptions(disk)) // the one before it and the log will do
	sameImage(t, q.Image(), want)
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	o := testOptions(disk) // the next snapshot takes the damaged one's place
	o.SnapshotBytes = 1
	q = open(t, o)
	mustCreate(t, q, "more")
	want = q.Image()
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	names = snapshots(t, disk)
	flip(t, disk, names[1])
	sameImage(t, open(t, testOptions(disk)).Image(), want)
	flip(t, disk, names[0])
	if _, err := Open(testOptions(disk)); err == nil || !strings.Contains(err.Error(), "the newest snapshot that can be read ends at 0") {
		t.Fatalf("opened without a snapshot: %v", err)
	}
}

// flip changes one bit in the middle of a file.
func flip(t *testing.T, disk diskio.FS, name string) {
	t.Helper()
	rewrite(t, disk, name, func(text []byte) []byte {
		text[len(text)/2] ^= 4
		return text
	})
}

func rewrite(t *testing.T, disk diskio.FS, name string, change func([]byte) []byte) {
	t.Helper()
	name = "/data/" + logFolder + "/" + name
	text, err := diskio.ReadFile(disk, name)
	if err != nil {
		t.Fatal(err)
	}
	if err := diskio.WriteFile(disk, name, change(text)); err != nil {
		t.Fatal(err)
	}
}

// wrongFolders are the ways in which a folder can be wrong. Each has its own words.
var wrongFolders = map[string]struct {
	spoil  func(*testing.T, diskio.FS)
	change func(*Options)
	fail   string
}{
	"another node": {
		change: func(o *Options) { o.NodeID = 2 },
		fail:   "/data belongs to node 1, and this is node 2: set node.id=1 if this is that node's data, or choose another log directory",
	},
	"another cluster": {
		change: func(o *Options) { o.ClusterID = "MkU3OEVBNTcwNTJENDM2Qg" },
		fail:   "/data belongs to cluster AAAAAAAAQACAAAAAAAAAAQ, and the configuration says cluster MkU3OEVBNTcwNTJENDM2Qg",
	},
	"a lost meta.properties": {
		spoil: func(t *testing.T, disk diskio.FS) {
			if err := disk.Remove("/data/meta.properties"); err != nil {
				t.Fatal(err)
			}
		},
		fail: "/data has a metadata log and no meta.properties: bring the file back, it says whose log this is",
	},
	"a hard state that is damaged": {
		spoil: func(t *testing.T, disk diskio.FS) { flip(t, disk, stateFile) },
		fail:  "read quorum-state: checksum is ",
	},
	"a commit beyond the log": {
		spoil: func(t *testing.T, disk diskio.FS) {
			rewrite(t, disk, stateFile, func(text []byte) []byte {
				state, err := parseState(text)
				if err != nil {
					t.Fatal(err)
				}
				state.Commit = 99
				return state.encode()
			})
		},
		fail: "the log ends at entry 5 and entry 99 is known to be committed: what was promised is gone",
	},
	"another program's log": {
		spoil: func(t *testing.T, disk diskio.FS) {
			appendBatch(t, disk, func(b *batch.Builder, o *batch.BatchOptions) { b.Append(0, nil, []byte{1, 2, 3}, nil) })
		},
		fail: "the metadata log was written by another program: record at offset 5 has key",
	},
	"an entry that does not follow": {
		spoil: func(t *testing.T, disk diskio.FS) {
			appendBatch(t, disk, func(b *batch.Builder, o *batch.BatchOptions) {
				b.Append(0, []byte("entry"), nil, []batch.Header{{Key: chainHeader, Value: []byte{1, 2, 3, 4}}})
			})
		},
		fail: "the metadata log's chain is broken: entry 6 has the mark 01020304",
	},
	"a record of the future": {
		spoil: func(t *testing.T, disk diskio.FS) { appendEntry(t, disk, `{"type":"gossip","version":0}`) },
		fail:  `read entry 6 of the metadata log: line 1: metadata record is of an unknown type: "gossip" version 0`,
	},
	"a record that does not fit": {
		spoil: func(t *testing.T, disk diskio.FS) {
			appendEntry(t, disk, `{"type":"removeTopic","version":0,"id":"AQAAAAAAAAAAAAAAAAAAAA"}`)
		},
		fail: "of the metadata log: apply removeTopic record",
	},
}

func TestRefusesToOpen(t *testing.T) {
	for name, test := range wrongFolders {
		t.Run(name, func(t *testing.T) {
			disk := diskio.NewMemory()
			q := open(t, testOptions(disk))
			register(t, q)
			mustCreate(t, q, "a", "b")
			if err := q.Close(); err != nil {
				t.Fatal(err)
			}
			if test.spoil != nil {
				test.spoil(t, disk)
			}
			o := testOptions(disk)
			if test.change != nil {
				test.change(&o)
			}
			if _, err := Open(o); err == nil || !strings.Contains(err.Error(), test.fail) {
				t.Fatalf("got %v\nwant %s", err, test.fail)
			}
		})
	}
}

// TestDamageIsNoTornTail flips a bit of the log of a node that was killed. In the last
// batch that is what a torn write looks like; before it, it is damage and is refused.
func TestDamageIsNoTornTail(t *testing.T) {
	segment := "/data/" + logFolder + "/00000000000000000000.log"
	for position := 70; ; position++ {
		disk := diskio.NewMemory()
		q := open(t, testOptions(disk))
		register(t, q)
		mustCreate(t, q, "a", "b")
		text, err := diskio.ReadFile(disk, segment) // as a kill would leave it
		if err != nil {
			t.Fatal(err)
		}
		if position >= len(text) {
			return
		}
		disk.Crash()
		last := 0
		for at := 0; at < len(text); {
			last = at
			at += batch.Batch(text[at:]).Size()
		}
		text[position] ^= 1
		if err := diskio.WriteFile(disk, segment, text); err != nil {
			t.Fatal(err)
		}
		again, err := Open(testOptions(disk))
		switch {
		case position < last && err == nil:
			t.Fatalf("position %d of %d, before the last batch, was opened with topics %v", position, len(text), topics(again.Image()))
		case position >= last+16 && err != nil: // the first bytes are the chain's to guard, not the CRC's
			t.Fatalf("position %d of %d, in the last batch: %v", position, len(text), err)
		case err == nil:
			if got := topics(again.Image()); !slices.Equal(got, []string{"a"}) {
				t.Fatalf("topics are %v", got)
			}
			if err := again.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// appendBatch adds a batch to the log in the next term, behind this program's back.
func appendBatch(t *testing.T, disk diskio.FS, fill func(*batch.Builder, *batch.BatchOptions)) {
	t.Helper()
	j, err := openJournal(testOptions(disk), "/data/"+logFolder)
	if err != nil {
		t.Fatal(err)
	}
	var b batch.Builder
	o := batch.NoProducer()
	o.BaseOffset, o.LeaderEpoch = int64(j.last()), 1
	fill(&b, &o)
	one, err := b.Finish(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(j.log.Append([][]byte{one}, time.UnixMilli(0)), j.log.Sync(), j.log.Close()); err != nil {
		t.Fatal(err)
	}
}

// appendEntry adds an entry that raft would take.
func appendEntry(t *testing.T, disk diskio.FS, data string) {
	t.Helper()
	j, err := openJournal(testOptions(disk), "/data/"+logFolder)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.load(point{}); err != nil {
		t.Fatal(err)
	}
	entry := &raftpb.Entry{Index: new(j.last() + 1), Term: new(uint64(1)), Data: []byte(data)}
	if err := errors.Join(j.append([]*raftpb.Entry{entry}, time.UnixMilli(0)), j.log.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestClaim(t *testing.T) {
	disk := diskio.NewMemory()
	newID := testOptions(disk).NewID
	first, err := Claim(disk, []string{"/a", "/b"}, 0, "", newID)
	if err != nil {
		t.Fatal(err)
	}
	if first[0].ClusterID != first[1].ClusterID || first[0].Directory == first[1].Directory || first[0].NodeID != 0 {
		t.Fatalf("claimed %+v", first)
	}
	again, err := Claim(disk, []string{"/b", "/a", "/c"}, 0, first[0].ClusterID, newID)
	if err != nil {
		t.Fatal(err)
	}
	if again[0] != first[1] || again[1] != first[0] || again[2].ClusterID != first[0].ClusterID {
		t.Fatalf("claimed %+v, then %+v", first, again)
	}
	if _, err := Claim(disk, []string{"/d"}, 0, "", newID); err != nil {
		t.Fatal(err)
	}
	if _, err := Claim(disk, []string{"/a", "/d"}, 0, "", newID); err == nil || !strings.Contains(err.Error(), "/d belongs to cluster") {
		t.Fatalf("two clusters in one node: %v", err)
	}
	text, err := diskio.ReadFile(disk, "/a/meta.properties")
	if err != nil {
		t.Fatal(err)
	}
	if err := disk.MkdirAll("/copy"); err != nil {
		t.Fatal(err)
	}
	if err := diskio.WriteFile(disk, "/copy/meta.properties", text); err != nil {
		t.Fatal(err)
	}
	if _, err := Claim(disk, []string{"/a", "/copy"}, 0, "", newID); err == nil || !strings.Contains(err.Error(), "one is a copy of the other") {
		t.Fatalf("a copied directory: %v", err)
	}
}

func TestParseProperties(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want Properties
		fail string
	}{
		"as Kafka writes it": {
			"#\n#Fri Nov 20 10:00:00 UTC 2026\ncluster.id=MkU3OEVBNTcwNTJENDM2Qg\ndirectory.id=AQAAAAAAAAAAAAAAAAAAAA\nnode.id=3\nversion=1\n",
			Properties{ClusterID: "MkU3OEVBNTcwNTJENDM2Qg", NodeID: 3, Directory: cluster.ID{1}}, "",
		},
		"without a directory":     {"cluster.id = c\nnode.id: 0\nversion=1", Properties{ClusterID: "c"}, ""},
		"of ZooKeeper's time":     {"version=0\nbroker.id=1\n", Properties{}, `version is "0"; this program knows version 1`},
		"without a cluster":       {"version=1\nnode.id=1\n", Properties{}, "cluster.id is missing"},
		"without a node":          {"version=1\ncluster.id=c\n", Properties{}, `node.id "" is not a node id`},
		"with a negative node":    {"version=1\ncluster.id=c\nnode.id=-1\n", Properties{}, `node.id "-1" is not a node id`},
		"with a bad directory":    {"version=1\ncluster.id=c\nnode.id=1\ndirectory.id=x\n", Properties{}, `directory.id: id "x"`},
		"with a line without '='": {"version\n", Properties{}, `line "version" has no value`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseProperties([]byte(test.text))
			if got != test.want || (err == nil) != (test.fail == "") || err != nil && !strings.Contains(err.Error(), test.fail) {
				t.Fatalf("got %+v, %v, want %+v, %s", got, err, test.want, test.fail)
			}
		})
	}
}

func TestFilesOfOthersStay(t *testing.T) {
	disk := diskio.NewMemory()
	if err := disk.MkdirAll("/data"); err != nil {
		t.Fatal(err)
	}
	if f, err := disk.Open("/data/notes.txt", os.O_RDWR|os.O_CREATE); err != nil || f.Close() != nil {
		t.Fatal(err)
	}
	open(t, testOptions(disk))
	if names, err := disk.ReadDir("/data"); err != nil || !slices.Contains(names, "notes.txt") {
		t.Fatalf("files are %v, %v", names, err)
	}
}
