package txn

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/spent"
	"github.com/millrace/millrace/sdk/batch"
)

// TestHundredThousandIDs keeps 100,000 transactional ids of which nobody hears anything, every third with an open
// transaction. They take less than 200 MiB, and ten minutes of ticks less than 1 % of a processor.
func TestHundredThousandIDs(t *testing.T) {
	const ids = 100_000
	now := time.UnixMilli(1_000_000)
	before := spent.Heap()
	c := New(Options{Version: 2}, silent{})
	for i := range ids {
		m := metadata{producer: int64(i), previous: -1, next: -1, epoch: 3, last: 2, version: 2, timeout: 900_000, state: CompleteCommit, started: -1, updated: now.UnixMilli()}
		if i%3 == 0 {
			m.state, m.started, m.partitions = Ongoing, now.UnixMilli(), []Partition{{"t", 0}, {"t", 1}, {"u", 0}}
		}
		if err := c.Replay(c.record(fmt.Sprintf("transactional-id-%06d", i), &m)); err != nil {
			t.Fatal(err)
		}
	}
	c.Loaded(now)
	used := spent.Heap() - before
	t.Logf("%d ids take %d MiB, %d bytes each", len(c.ids), used>>20, used/ids)
	if n := c.Count(); n.IDs != ids || n.Open != (ids+2)/3 || used > 200<<20 {
		t.Errorf("%+v take %d MiB, want %d ids in 200 MiB", n, used>>20, ids)
	}
	ticks, begin, end := 0, spent.Processor(t), now.Add(10*time.Minute)
	for next := c.NextTick(); next.Before(end); next = c.NextTick() {
		c.Tick(next)
		ticks++
	}
	took := spent.Processor(t) - begin
	t.Logf("%d ticks of ten minutes take %v", ticks, took)
	if took > 6*time.Second {
		t.Errorf("%d ticks take %v of ten minutes, more than 1 %%", ticks, took)
	}
	at := end
	if n := testing.AllocsPerRun(10, func() {
		at = at.Add(10 * time.Second)
		c.Tick(at)
	}); n > 0 {
		t.Errorf("a tick allocates %v times", n)
	}
	runtime.KeepAlive(c)
}

// silent is an Env that takes everything and says nothing.
type silent struct{}

func (silent) Append(Record, func(error)) {}

func (silent) ProducerID(func(int64, error)) {}

func (silent) Mark(batch.Marker, bool, Partition, func(error)) {}

func (silent) Epoch() int32 { return 0 }
