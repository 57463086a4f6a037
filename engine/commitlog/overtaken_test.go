package commitlog

import (
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

// overtaken is a disk on which something happens just before a file is opened.
type overtaken struct {
	*diskio.Memory
	suffix string // of the name of the file
	happen func() // nil: it has
}

func (o *overtaken) Open(name string, flag int) (diskio.File, error) {
	if f := o.happen; f != nil && strings.HasSuffix(name, o.suffix) {
		o.happen = nil
		f()
	}
	return o.Memory.Open(name, flag)
}

// again closes the log and opens it, so that no file of a sealed segment is open.
func (s *stage) again() {
	s.Helper()
	s.close()
	s.open(Recovery{Clean: true, From: -1})
}

// put appends a batch.
func (s *stage) put(b batch.Batch) {
	s.Helper()
	b.SetBaseOffset(s.log.End())
	b.SetLeaderEpoch(0)
	s.ok(s.log.Append([][]byte{b}, today))
}

// aborted appends a record of a transaction of each of these producers, which will be aborted.
func (s *stage) aborted(producers ...int64) {
	s.Helper()
	for _, id := range producers {
		var w batch.Builder
		w.Append(1, []byte("k"), []byte("value"), nil)
		b, err := w.Finish(batch.BatchOptions{ProducerID: id, Transactional: true})
		s.ok(err)
		s.put(b)
	}
}

// clean makes one segment of all that can be.
func (s *stage) clean() {
	s.Helper()
	much := today.Add(time.Hour)
	c := s.log.NewCleaning(s.log.End(), CleanOptions{MapBytes: 1 << 20, MinLag: 1, MaxLag: 1})
	d, err := c.Dirt(much)
	s.ok(err)
	_, err = c.Run(d, much)
	s.ok(err)
}

// A reader has found its segment; before it opens the file, a cleaning takes its name away.
func TestAReaderIsOvertakenByACleaning(t *testing.T) {
	for _, at := range []int64{0, 2, 4, 6} {
		disk := &overtaken{Memory: diskio.NewMemory(), suffix: logSuffix}
		o := keep()
		o.FS = disk
		s := newStage(t, o)
		s.open(s.recovery())
		for range 4 {
			s.append(2)
			s.ok(s.log.Roll(today))
		}
		s.again()
		before := s.log.Segments()
		disk.happen = s.clean
		r, err := s.log.Locate(at, 1<<20, s.log.End())
		if s.log.Segments() >= before {
			t.Fatalf("the cleaning left %d segments of %d", s.log.Segments(), before)
		}
		if err != nil {
			t.Errorf("offset %d in [%d, %d): %v", at, s.log.Start(), s.log.End(), err)
			continue
		}
		r.Release()
	}
}

// A reader of committed records asks what was aborted in what it found; while it looks for that,
// a cleaning replaces the segments. It would see records of an aborted transaction.
func TestWhatWasAbortedIsFoundBesideACleaning(t *testing.T) {
	disk := &overtaken{Memory: diskio.NewMemory(), suffix: txnSuffix}
	o := keep()
	o.FS = disk
	s := newStage(t, o)
	s.open(s.recovery())
	s.aborted(7, 5)
	s.log.Abort(batch.Aborted{ProducerID: 7, First: 0, Last: 2, Stable: 1})
	s.put(batch.Marker{ProducerID: 7}.Batch(1))
	s.ok(s.log.Roll(today))
	s.log.Abort(batch.Aborted{ProducerID: 5, First: 1, Last: 3, Stable: 4})
	s.put(batch.Marker{ProducerID: 5}.Batch(1))
	s.ok(s.log.Roll(today))
	s.append(1)
	s.ok(s.log.Roll(today))
	s.append(1)
	s.again()
	r, err := s.log.Locate(0, 1<<20, 3)
	s.ok(err)
	defer r.Release()
	before := s.log.Segments()
	disk.happen = s.clean
	got, err := s.log.Aborted(nil, 0, r.End, false)
	s.ok(err)
	if s.log.Segments() >= before {
		t.Fatalf("the cleaning left %d segments of %d", s.log.Segments(), before)
	}
	if len(got) != 2 || got[0].ProducerID != 7 || got[1].ProducerID != 5 {
		t.Errorf("aborted are %v, want those of producers 7 and 5", got)
	}
}

// Nor is it told that nothing was when the segment, or the whole log, goes meanwhile.
func TestWhatWasAbortedIsNotForgottenWithItsSegment(t *testing.T) {
	for name, overtake := range map[string]func(*stage){
		"retention": func(s *stage) {
			s.ok(s.log.SetStart(2))
			_, err := s.log.Retain(today, s.log.End(), 0)
			s.ok(err)
		},
		"deletion": func(s *stage) { s.ok(s.log.Delete()) },
	} {
		t.Run(name, func(t *testing.T) {
			disk := &overtaken{Memory: diskio.NewMemory(), suffix: txnSuffix}
			o := keep()
			o.FS = disk
			s := newStage(t, o)
			s.open(s.recovery())
			s.aborted(7)
			s.log.Abort(batch.Aborted{ProducerID: 7, First: 0, Last: 1, Stable: 2})
			s.put(batch.Marker{ProducerID: 7}.Batch(1))
			s.ok(s.log.Roll(today))
			s.append(1)
			s.again()
			r, err := s.log.Locate(0, 1<<20, 2)
			s.ok(err)
			defer r.Release()
			disk.happen = func() { overtake(s) }
			if got, err := s.log.Aborted(nil, 0, r.End, false); err == nil && len(got) != 1 {
				t.Errorf("aborted are %v, and there is no error: the records would be taken for committed", got)
			}
			if disk.happen != nil {
				t.Error("nothing has overtaken the reader")
			}
		})
	}
}
