package quorum

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/commitlog"
)

// TestEveryDamageIsFound harms every file of a node that was stopped: one bit of every byte, a
// cut at every length, the file gone, the file as it was earlier. The node refuses to start, or
// its metadata is what it was.
func TestEveryDamageIsFound(t *testing.T) {
	disk := diskio.NewMemory()
	o := testOptions(disk)
	o.SnapshotBytes = 900
	q := open(t, o)
	register(t, q)
	mustCreate(t, q, "a", "b")
	before := disk.Clone()
	mustCreate(t, q, "c", "d", "e")
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	want := string(cluster.Append(nil, q.Image().Records()))
	if told := verified(t, disk); len(told) > 0 {
		t.Fatalf("nothing is damaged, and verify tells of %q", told)
	}
	refused, same := 0, 0
	judge := func(name, what string, do func(*diskio.Memory) error) {
		again := disk.Clone()
		if err := do(again); err != nil {
			t.Fatal(err)
		}
		told := verified(t, again)
		q, err := Open(testOptions(again))
		if err != nil {
			refused++
			if len(told) == 0 {
				t.Errorf("%s: %s: verify finds nothing, and the start says %v", name, what, err)
			}
			return
		}
		defer q.Close() //nolint:errcheck // it was only looked at
		if got := string(cluster.Append(nil, q.Image().Records())); got != want {
			t.Errorf("%s: %s: nobody notices: %d bytes of records, want %d", name, what, len(got), len(want))
			return
		}
		same++
	}
	for _, dir := range []string{"/data/", "/data/" + logFolder + "/"} {
		names, err := disk.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			found, _ := disk.Stat(dir + name)
			if found.Dir || strings.HasSuffix(name, ".lock") {
				continue
			}
			spoil := func(what string, f func([]byte) []byte) {
				judge(name, what, func(m *diskio.Memory) error { return m.Spoil(dir+name, f) })
			}
			for at := range found.Size {
				if at%3 == 0 || found.Size < 300 {
					spoil(fmt.Sprintf("cut to %d of %d", at, found.Size), func(p []byte) []byte { return p[:at] })
				}
				spoil(fmt.Sprintf("bit %d of byte %d of %d flipped", at%8, at, found.Size), func(p []byte) []byte { p[at] ^= 1 << (at % 8); return p })
			}
			spoil("zeros", func(p []byte) []byte { clear(p); return p })
			judge(name, "removed", func(m *diskio.Memory) error { return m.Remove(dir + name) })
			if old, err := diskio.ReadFile(before, dir+name); err == nil && name != propertiesFile {
				spoil("an older version", func([]byte) []byte { return bytes.Clone(old) })
			}
		}
	}
	t.Logf("%d were refused, %d changed nothing", refused, same)
}

// verified is what is told of a node's folder that nobody uses.
func verified(t *testing.T, disk *diskio.Memory) (told []string) {
	t.Helper()
	tell := func(p commitlog.Problem) { told = append(told, p.String()) }
	if err := errors.Join(Verify(disk, "/data", 0, tell), commitlog.Verify(disk, "/data/"+logFolder, tell)); err != nil {
		t.Fatal(err)
	}
	return told
}

// TestVerifyComparesTheFilesOfANode: each of these files is whole, and one does not fit the others.
func TestVerifyComparesTheFilesOfANode(t *testing.T) {
	disk := diskio.NewMemory()
	grown(t, disk)
	names := snapshots(t, disk)
	for name, test := range map[string]struct {
		harm func(*diskio.Memory) error
		want string
	}{
		"no quorum-state":    {func(m *diskio.Memory) error { return m.Remove("/data/" + logFolder + "/" + stateFile) }, "it holds what this node has promised"},
		"no meta.properties": {func(m *diskio.Memory) error { return m.Remove("/data/" + propertiesFile) }, "it says whose folder this is"},
		"no snapshots": {func(m *diskio.Memory) error {
			return errors.Join(m.Remove("/data/"+logFolder+"/"+names[0]), m.Remove("/data/"+logFolder+"/"+names[1]))
		}, "no snapshot that can be read has what came before"},
		"a promise out of reach": {func(m *diskio.Memory) error { return stated(m, func(s *hardState) { s.Commit = 9999 }) }, "entry 9999 is known to be committed"},
		"an older promise":       {func(m *diskio.Memory) error { return stated(m, func(s *hardState) { s.Term = 0 }) }, "it is an older one"},
	} {
		again := disk.Clone()
		if err := test.harm(again); err != nil {
			t.Fatal(err)
		}
		if told := verified(t, again); !strings.Contains(strings.Join(told, "\n"), test.want) {
			t.Errorf("%s: told is %q", name, told)
		}
	}
	var told []string
	if err := Verify(disk, "/data", 10_000, func(p commitlog.Problem) { told = append(told, p.Text) }); err != nil || len(told) != 1 || !strings.Contains(told[0], "at the last clean stop it ended at 10000") {
		t.Errorf("an older log: %v, told is %q", err, told)
	}
}

// stated writes another hard state, as whole as the one before.
func stated(m *diskio.Memory, change func(*hardState)) error {
	return m.Spoil("/data/"+logFolder+"/"+stateFile, func(text []byte) []byte {
		s, err := parseState(text)
		if err != nil {
			panic(err)
		}
		change(&s)
		return s.encode()
	})
}
