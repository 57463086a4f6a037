package commitlog

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

// TestReadingOnLooksAtTwoHeaders: who reads on where he stopped has two headers looked at, of the first batch that is
// sent and of the last, when batches are larger than what lies between entries of the index.
func TestReadingOnLooksAtTwoHeaders(t *testing.T) {
	disk := diskio.NewMemory()
	o := keep()
	o.FS, o.IndexInterval = disk, 4096
	s := newStage(t, o)
	s.open(s.recovery())
	for range 40 {
		s.ok(s.log.Append([][]byte{records(t, s.log.End(), 0, 3, today.UnixMilli(), 5000)}, today))
	}
	for offset := int64(12); offset < 100; offset += 12 {
		before := disk.Counts().Reads
		r, err := s.log.LocateCached(offset, 64<<10, math.MaxInt64)
		s.ok(err)
		r.Release()
		s.want("end", r.End, offset+12)
		s.want("reads", disk.Counts().Reads-before, 2)
	}
	s.close()
}

// TestLocateAmongBatchesOfAllSizes: some batches have an entry of the index, and some are behind one.
func TestLocateAmongBatchesOfAllSizes(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	o := keep()
	o.SegmentBytes, o.IndexInterval = 300<<10, 4096
	s := newStage(t, o)
	s.open(s.recovery())
	var oracle []byte
	var begins, ends []int64
	var at []int
	for range 200 {
		b := records(t, s.log.End(), 0, 1+random.IntN(3), today.UnixMilli(), []int{10, 1000, 5000, 9000}[random.IntN(4)])
		begins, ends, at = append(begins, s.log.End()), append(ends, batch.Batch(b).NextOffset()), append(at, len(oracle))
		oracle = append(oracle, b...)
		s.ok(s.log.Append([][]byte{b}, today))
	}
	for i := range begins {
		for offset := begins[i]; offset < ends[i]; offset++ {
			for _, most := range []int{1, 10_000, 64 << 10} {
				want := expected(s, oracle[at[i]:], begins[i:], ends[i:], most, math.MaxInt64)
				if got := s.read(offset, most, math.MaxInt64); !bytes.Equal(got, want) {
					t.Fatalf("locate %d, %d bytes: %d bytes, want %d", offset, most, len(got), len(want))
				}
			}
		}
	}
	s.close()
}
