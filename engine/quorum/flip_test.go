package quorum

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/cluster"
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
	refused, same := 0, 0
	judge := func(name, what string, do func(*diskio.Memory) error) {
		again := disk.Clone()
		if err := do(again); err != nil {
			t.Fatal(err)
		}
		q, err := Open(testOptions(again))
		if err != nil {
			refused++
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
