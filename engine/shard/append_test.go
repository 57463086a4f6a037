package shard

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

// TestWhatAnAppendIsTold: a batch that is sent again is answered with the time of the first,
// whoever gave it, and a refused one with the start of the log.
func TestWhatAnAppendIsTold(t *testing.T) {
	for name, stamps := range map[string]bool{"the producer's time": false, "the broker's time": true} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, diskio.NewMemory(), &handSyncer{})
			settings := testSettings(false)
			settings.LogAppendTime = stamps
			r := h.topic("t", 1, 1, settings).Replica(0)
			next := func(sequence int32) *sent {
				s := send(r, records(t, batch.BatchOptions{ProducerID: 7, BaseSequence: sequence}, "a"))
				<-s.ended
				return s
			}
			written := h.clock.now().UnixMilli() // of the records as well
			h.clock.pass(time.Minute)
			told := int64(-1)
			if stamps {
				written = h.clock.now().UnixMilli()
				told = written
			}
			tell := func(what string, a *sent, base, at, start int64, err error) {
				t.Helper()
				if a.Base != base || a.LogAppendTime != at || a.LogStart != start || a.Err != err { //nolint:errorlint // bare on this path
					t.Errorf("%s: offset %d, time %d, log start %d, %v; not %d, %d, %d, %v", what, a.Base, a.LogAppendTime, a.LogStart, a.Err, base, at, start, err)
				}
			}
			tell("the first", next(0), 0, told, 0, nil)
			next(1)
			h.clock.pass(time.Minute)
			tell("the first again", next(0), 0, written, 0, nil)
			var err error
			if h.shard.Wait(func() { _, err = r.DeleteRecords(1) }); err != nil {
				t.Fatal(err)
			}
			tell("a gap", next(5), -1, -1, 1, kerr.OutOfOrderSequenceNumber)
			tell("the second again", next(1), 1, written, 1, nil)
		})
	}
}
