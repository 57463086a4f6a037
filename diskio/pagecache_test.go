package diskio

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// watched is a file that writes down what a PageCache does with it, in MiB.
type watched struct {
	File
	did  []string
	fail error
}

func (w *watched) WriteBack(offset, size int64) error {
	w.did = append(w.did, fmt.Sprintf("write %d+%d", offset>>20, size>>20))
	return w.fail
}

func (w *watched) Evict(offset, size int64) error {
	w.did = append(w.did, fmt.Sprintf("drop %d+%d", offset>>20, size>>20))
	return w.fail
}

// cached is one file under a PageCache with a limit of so many MiB.
type cached struct {
	*PageCache
	file  watched
	trail Trail
}

// underLimit runs a test while somebody waits for syncs.
func underLimit(t *testing.T, mib int64, test func(*cached)) {
	synctest.Test(t, func(t *testing.T) {
		c := &cached{PageCache: NewPageCache(PageCacheOptions{Bytes: mib << 20})}
		defer c.Close()
		c.Awaited()
		test(c)
	})
}

// wrote appends up to a position in MiB and tells what was done about it.
func (c *cached) wrote(mib ...int64) []string {
	for _, end := range mib {
		c.Wrote(&c.trail, &c.file, end<<20)
		synctest.Wait()
	}
	did := c.file.did
	c.file.did = nil
	return did
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestPageCacheWritesBehindAndDropsTheOldest(t *testing.T) {
	underLimit(t, 4, func(c *cached) {
		expect(t, c.wrote(1), "write 0+1")
		expect(t, c.wrote(3), "write 1+2")
		expect(t, c.wrote(4), "write 3+1")
		expect(t, c.wrote(6), "write 4+2", "drop 0+2")
		expect(t, c.wrote(11), "write 6+5", "drop 2+2", "drop 4+2", "drop 6+4")
		c.Done(&c.trail, &c.file, 11<<20)
		synctest.Wait()
		expect(t, c.wrote())
		if s := c.Stats(); s != (PageCacheStats{Written: 11 << 20, Dropped: 10 << 20}) {
			t.Errorf("%+v", s)
		}
	})
}

// What is dropped is whole blocks, in however small pieces it was written, and whoever else
// wrote meanwhile.
func TestPageCacheDropsWholeBlocks(t *testing.T) {
	underLimit(t, 4, func(c *cached) {
		var other Trail
		var did []string
		for at := int64(1); at <= 32; at++ {
			end := at * (256 << 10)
			c.Wrote(&c.trail, &c.file, end)
			c.Wrote(&other, &c.file, end)
			synctest.Wait()
			for _, one := range c.wrote() {
				if len(one) > 4 && one[:4] == "drop" {
					did = append(did, one)
				}
			}
		}
		expect(t, did, "drop 0+2", "drop 0+2", "drop 2+2", "drop 2+2", "drop 4+2", "drop 4+2")
	})
}

// A block that came in parts, since many files share the limit, goes whole with the last of them.
func TestPageCacheDropsBlocksThatCameInParts(t *testing.T) {
	underLimit(t, 4, func(c *cached) {
		files := make([]cached, 8)
		for at := int64(256 << 10); at <= 16<<20; at += 256 << 10 {
			for i := range files {
				files[i].trail.Read(at)
				c.Wrote(&files[i].trail, &files[i].file, at)
				synctest.Wait()
			}
		}
		for i := range files {
			whole := 0
			for _, did := range files[i].file.did {
				if strings.HasPrefix(did, "drop") && strings.HasSuffix(did, "+2") {
					whole++
				}
			}
			if whole < 7 {
				t.Errorf("%d of 7 blocks of file %d went whole: %q", whole, i, files[i].file.did)
			}
		}
	})
}

// Pieces are small for a while after somebody waited for a sync, and large when nobody does.
func TestPageCacheWritesSmallPiecesBesideSyncs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cached{PageCache: NewPageCache(PageCacheOptions{Bytes: -1})}
		defer c.Close()
		pieces := func(from, to int64) (n int) {
			for end := from + 64<<10; end <= to; end += 64 << 10 {
				c.Wrote(&c.trail, &c.file, end)
				synctest.Wait()
			}
			return len(c.wrote())
		}
		const mib = 1 << 20
		if got := pieces(0, 8*mib); got != 8 {
			t.Errorf("8 MiB went to the disk in %d pieces, want 8", got)
		}
		c.Awaited()
		if got := pieces(8*mib, 72*mib); got != 256 {
			t.Errorf("64 MiB went to the disk in %d pieces while somebody waited, want 256", got)
		}
		if got := pieces(72*mib, 80*mib); got != 8 {
			t.Errorf("8 MiB went to the disk in %d pieces long after somebody waited, want 8", got)
		}
	})
}

func TestPageCacheWithoutLimitDropsNothing(t *testing.T) {
	underLimit(t, 4, func(c *cached) {
		c.SetLimit(-1)
		for end := int64(2); end <= 100; end += 2 {
			expect(t, c.wrote(end), fmt.Sprintf("write %d+2", end-2))
		}
		c.SetLimit(96 << 20)
		expect(t, c.wrote(102), "write 100+2", "drop 0+2", "drop 2+2", "drop 4+2")
	})
}

func TestPageCacheGoesOnInAFileThatHasBytes(t *testing.T) {
	underLimit(t, 4, func(c *cached) {
		c.trail.Start(5 << 20)
		expect(t, c.wrote(7), "write 4+3") // what the last run wrote of the chunk is in it
	})
}

// A reader keeps the chunk that it is in and the next, and the newest stay beside them; one
// that was left far behind keeps nothing, for it would come too late.
func TestPageCacheKeepsWhatAReaderNeeds(t *testing.T) {
	underLimit(t, 4, func(c *cached) {
		for _, step := range []struct {
			to   int64
			want []string
		}{
			{2, []string{"write 0+2"}},
			{4, []string{"write 2+2"}},
			{6, []string{"write 4+2"}},                // 0 is held
			{8, []string{"write 6+2"}},                // 2 is held
			{10, []string{"write 8+2", "drop 4+2"}},   // there is no room for a third
			{12, []string{"write 10+2", "drop 6+2"}},  // 8 and 10 are the newest
			{14, []string{"write 12+2", "drop 8+2"}},  // 10 and 12
			{16, []string{"write 14+2", "drop 10+2"}}, // and so on
			{18, []string{"write 16+2", "drop 12+2"}}, // and so on
			{20, []string{"write 18+2", "drop 14+2"}}, // and so on
		} {
			c.trail.Read(1 << 20)
			expect(t, c.wrote(step.to), step.want...)
		}
		if s := c.Stats(); s.Kept != 4<<20 {
			t.Errorf("%+v", s)
		}
	})
	underLimit(t, 4, func(c *cached) {
		c.trail.Start(20 << 20)
		c.trail.Read(1 << 20)
		expect(t, c.wrote(22, 24, 26), "write 20+2", "write 22+2", "write 24+2", "drop 20+2")
	})
}

// All readers together keep no more than the limit, beside the newest.
func TestPageCacheBoundsWhatReadersNeed(t *testing.T) {
	underLimit(t, 4, func(c *cached) {
		var others [8]Trail
		for i := range others {
			for j := range i {
				others[j].Read(0)
			}
			others[i].Read(0)
			c.Wrote(&others[i], &c.file, 2<<20)
			synctest.Wait()
		}
		dropped := 0
		for _, did := range c.wrote() {
			if did == "drop 0+2" {
				dropped++
			}
		}
		if dropped != 4 {
			t.Errorf("%d of 8 chunks were dropped, want 4: twice the limit stays", dropped)
		}
		var small Trail
		for end, limit := int64(256<<10), int64(4<<20); limit > 1<<20; end, limit = 2*end, limit/2 {
			c.SetLimit(limit)
			for i := range others {
				others[i].Read(0)
			}
			c.Wrote(&small, &c.file, end)
			synctest.Wait()
			if c.holds > limit || c.cached > limit {
				t.Errorf("%d bytes are held and %d in the queue, the limit is %d", c.holds, c.cached, limit)
			}
		}
	})
}

// What readers have left behind, of files that nobody appends to any more, takes no place from
// what is appended to another: the newest are in memory when somebody comes to read them.
func TestPageCacheKeepsTheNewestWhoeverReadBefore(t *testing.T) {
	underLimit(t, 8, func(c *cached) {
		old := make([]cached, 8)
		for i := range old {
			c.Wrote(&old[i].trail, &old[i].file, 2<<20)
			old[i].trail.Read(0)
			synctest.Wait()
		}
		for end := int64(2); end <= 40; end += 2 {
			for _, did := range c.wrote(end) {
				if from := int64(0); len(did) > 4 && did[:4] == "drop" {
					_, err := fmt.Sscanf(did, "drop %d+2", &from)
					must(t, err)
					if from+2 > end-8 {
						t.Fatalf("%s when %d MiB were appended: the newest 8 must stay", did, end)
					}
				}
			}
		}
		for i := range old {
			if !slices.Contains(old[i].file.did, "drop 0+2") {
				t.Errorf("what was read long ago is still there: %q", old[i].file.did)
			}
		}
	})
}

// Who read long ago is forgotten, and the chunks that were kept for it go.
func TestPageCacheForgetsReaders(t *testing.T) {
	underLimit(t, 4, func(c *cached) {
		c.trail.Read(1 << 20)
		var did []string
		for end := int64(2); end <= 20; end += 2 {
			did = append(did, c.wrote(end)...)
		}
		if !slices.Contains(did, "drop 0+2") || !slices.Contains(did, "drop 2+2") {
			t.Errorf("a reader that never came back still keeps memory: %q", did)
		}
	})
}

// Whatever is appended, read and allowed: what is counted is what there is, within the limits, and
// only what is in the queue grows.
func TestPageCacheCountsWhatThereIs(t *testing.T) {
	underLimit(t, 8, func(c *cached) {
		random := rand.New(rand.NewPCG(3, 4))
		var files [6]*cached
		var ends [6]int64
		for i := range files {
			files[i] = new(cached)
		}
		most := int64(8 << 20)
		for step := range 4000 {
			switch i := random.IntN(len(files)); random.IntN(8) {
			case 0:
				c.Done(&files[i].trail, &files[i].file, ends[i])
			case 1, 2:
				if ends[i] > 0 {
					files[i].trail.Read(random.Int64N(ends[i]))
				}
			case 3:
				if random.IntN(20) == 0 {
					most = []int64{-1, 0, 1 << 20, 5 << 20, 8 << 20, 30 << 20}[random.IntN(6)]
					c.SetLimit(most)
				}
			case 4:
				if random.IntN(10) == 0 { // another segment
					files[i].trail.Close()
					files[i], ends[i] = new(cached), 0
				}
				if random.IntN(10) == 0 {
					c.sweeps = 0
				}
			default:
				before := c.passed
				ends[i] += random.Int64N(3 << 20)
				c.Wrote(&files[i].trail, &files[i].file, ends[i])
				synctest.Wait()
				if c.passed != before && most >= 0 && max(c.cached, c.holds) > most {
					t.Fatalf("step %d: %d bytes in the queue and %d held, the limit is %d", step, c.cached, c.holds, most)
				}
			}
			synctest.Wait()
			c.counts(t, step, files[:])
		}
		if c.Stats().Kept == 0 {
			t.Error("nothing was ever held")
		}
	})
}

// counts holds what a PageCache counts against what it has, between two of its turns.
func (c *cached) counts(t *testing.T, step int, files []*cached) {
	t.Helper()
	var queued, held int64
	for _, k := range c.queue[c.head:] {
		queued += k.to - k.from
	}
	for _, k := range c.held {
		held += k.to - k.from
	}
	if queued != c.cached || held != c.holds {
		t.Fatalf("step %d: %d bytes in the queue and %d held, counted are %d and %d", step, queued, held, c.cached, c.holds)
	}
	if c.passed != c.Stats().Written {
		t.Fatalf("step %d: %d bytes came to the queue, %d were written behind", step, c.passed, c.Stats().Written)
	}
	for i := range files {
		if o := files[i].trail.open; o != nil && !slices.Contains(c.queue[c.head:], o) {
			t.Fatalf("step %d: what file %d goes on with is not in the queue", step, i)
		}
	}
}

func TestPageCacheLetsClosedFilesBe(t *testing.T) {
	underLimit(t, 2, func(c *cached) {
		c.file.fail = os.ErrClosed
		expect(t, c.wrote(2, 4, 6), "write 0+2", "write 2+2", "drop 0+2", "write 4+2", "drop 2+2")
		if s := c.Stats(); s != (PageCacheStats{}) {
			t.Errorf("%+v for a file that was closed", s)
		}
	})
}

func TestEvictedBytesCanBeRead(t *testing.T) {
	f := create(t, OS, filepath.Join(t.TempDir(), "a"))
	want := make([]byte, 1<<20)
	for i := range want {
		want[i] = byte(i * i)
	}
	_, err := f.WriteAt(want, 0)
	must(t, err)
	must(t, f.WriteBack(0, 1<<20))
	must(t, f.Sync())
	must(t, f.Evict(0, 1<<20))
	got := make([]byte, len(want))
	if _, err := f.ReadAt(got, 0); err != nil || !slices.Equal(got, want) {
		t.Errorf("what was evicted reads differently, %v", err)
	}
	must(t, f.Close())
	for name, err := range map[string]error{"WriteBack": f.WriteBack(0, 1), "Evict": f.Evict(0, 1)} {
		if err == nil {
			t.Errorf("%s of a closed file went well", name)
		}
	}
}

// What was removed is not remembered, however little it was: each trail is part of a segment.
func TestPageCacheForgetsClosedFiles(t *testing.T) {
	for _, mib := range []int64{4, -1} {
		underLimit(t, mib, func(c *cached) {
			c.wrote(1)
			for range 10 * leastSwept {
				trail := new(Trail)
				c.Done(trail, &c.file, 100)
				trail.Close()
				synctest.Wait()
			}
			if n := len(c.queue) - c.head; n > leastSwept {
				t.Errorf("%d pieces are remembered", n)
			}
			c.SetLimit(0)
			c.file.did = nil
			if did := c.wrote(2); did[0] != "write 1+1" || did[1] != "drop 0+2" && did[1] != "drop 0+1" || c.cached > 0 {
				t.Errorf("%q, and %d bytes are left", did[:2], c.cached)
			}
		})
	}
}
