package commitlog

import (
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

// An fsync that failed where nobody waits for it is told to whoever asks for the next one: the
// kernel would call that a success, and what the journal has of the file would be given up.
func TestASyncThatFailedIsNotTriedAgain(t *testing.T) {
	var later []func()
	var told error
	o := keep()
	o.SegmentBytes, o.Later = 1, func(_ time.Duration, f func()) { later = append(later, f) }
	o.Failed = func(err error) { told = err }
	s := newStage(t, o)
	s.open(s.recovery())
	s.append(1, 1)
	var active, rolled diskio.Request
	if !s.log.Commit(&active, &rolled) {
		t.Fatal("nothing was rolled")
	}
	s.memory().FailSync(syscall.EIO)
	later[0]()
	s.memory().FailSync(nil)
	if err := rolled.File.Sync(); !errors.Is(err, syscall.EIO) {
		t.Errorf("the next sync says %v", err)
	}
	if !errors.Is(told, syscall.EIO) || !errors.Is(told, ErrSync) {
		t.Errorf("told was %v", told)
	}
}

// lateSync is a disk on which a sync that is done takes a while to say so.
type lateSync struct {
	*diskio.Memory
	done, goOn chan struct{}
}

type lateFile struct {
	diskio.File
	disk *lateSync
}

func (d *lateSync) Open(name string, flag int) (diskio.File, error) {
	f, err := d.Memory.Open(name, flag)
	return &lateFile{f, d}, err
}

func (f *lateFile) Sync() error {
	err := f.File.Sync()
	if d := f.disk; strings.HasSuffix(f.Name(), logSuffix) && d.done != nil {
		d.done <- struct{}{}
		<-d.goOn
	}
	return err
}

// A sync that was under way while an append was undone has not made durable what was cut off: the
// segment owes another before it is followed.
func TestASyncUnderWayDoesNotSettleWhatWasUndone(t *testing.T) {
	disk := &lateSync{Memory: diskio.NewMemory()}
	o := keep()
	o.FS = disk
	s := newStage(t, o)
	s.open(s.recovery())
	s.append(1)
	s.ok(s.log.Sync())
	s.append(1)
	disk.done, disk.goOn = make(chan struct{}), make(chan struct{})
	ended := make(chan error)
	go func() { ended <- s.log.Active().Sync() }()
	<-disk.done
	disk.FailWrite(syscall.ENOSPC)
	if err := s.log.Append([][]byte{s.next(1)}, today); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	disk.FailWrite(nil)
	close(disk.goOn)
	s.ok(<-ended)
	if synced := s.log.active.synced.Load(); synced >= 0 {
		t.Fatalf("%d bytes count as synced", synced)
	}
}

// A snapshot of batches that a power cut has taken must not come back by another one, when
// others have their offsets.
func TestASnapshotBeyondTheEndIsGoneForGood(t *testing.T) {
	s := newStage(t, keep())
	s.open(s.recovery())
	s.append(1)
	s.ok(s.log.Sync())
	s.append(1, 1)
	s.ok(s.log.WriteSnapshot(3, []byte("of what is lost")))
	s.memory().Crash()
	s.open(s.recovery())
	s.want("end", s.log.End(), 1)
	s.append(1, 1, 1, 1)
	s.ok(s.log.Active().Sync())
	s.memory().Crash()
	s.open(s.recovery())
	s.want("end", s.log.End(), 5)
	offset, state, err := s.log.Snapshot()
	s.ok(err)
	if state != nil {
		t.Fatalf("the snapshot at %d is %q", offset, state)
	}
}

// A topic is deleted and made anew while the old log's segment is being synced, to be sealed: its
// indexes do not come into the folder of the new one.
func TestSealingADeletedLogLeavesItsNamesakeAlone(t *testing.T) {
	var later []func()
	o := keep()
	o.SegmentBytes, o.TopicID, o.Later = 1, [16]byte{1}, func(_ time.Duration, f func()) { later = append(later, f) }
	s := newStage(t, o)
	s.open(s.recovery())
	s.append(1, 1)
	begun, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	s.memory().Gate(func(op diskio.Op) error {
		if op.Kind == diskio.OpSync && strings.HasSuffix(op.Name, segmentName(0)+logSuffix) {
			close(begun)
			<-goOn
		}
		return nil
	})
	go func() {
		defer close(ended)
		later[0]()
	}()
	<-begun
	s.ok(s.log.Delete())
	s.o.TopicID, s.o.SegmentBytes = [16]byte{2}, 0
	s.memory().Gate(nil)
	s.open(s.recovery())
	s.append(1)
	close(goOn)
	<-ended
	names, err := s.fs.ReadDir(s.dir)
	s.ok(err)
	for _, name := range names {
		if strings.HasSuffix(name, indexSuffix) || strings.HasSuffix(name, timeSuffix) {
			t.Errorf("the new log has %s", name)
		}
	}
}

// A disk that is full stays so until retention has freed something, however often it fails to
// save the start.
func TestRetentionGoesOnWhileTheDiskStaysFull(t *testing.T) {
	for _, none := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		s := segments(t, Options{RetentionBytes: 300, RetentionAge: -1})
		s.memory().Gate(func(op diskio.Op) error {
			if op.Kind == diskio.OpWrite {
				return none
			}
			return nil
		})
		removed, err := s.log.Retain(today, 8, 0)
		s.ok(err)
		s.want("removed", removed, 4)
		o := s.o
		o.RetentionBytes = 100
		s.log.SetOptions(o)
		removed, err = s.log.Retain(today, 8, 0)
		s.ok(err)
		if removed == 0 {
			t.Error("nothing more is removed")
		}
		s.memory().Gate(func(op diskio.Op) error {
			if op.Kind == diskio.OpWrite {
				return syscall.EIO
			}
			return nil
		})
		if _, err = s.log.Retain(today, 8, 0); err == nil {
			t.Error("a disk that fails is taken for a full one")
		}
		s.memory().Gate(nil)
		_, err = s.log.Retain(today, 8, 0)
		s.ok(err)
		start := s.log.Start()
		saved, err := readStart(s.fs, s.dir)
		s.ok(err)
		s.want("the start that is saved", saved, start)
		s.ok(s.log.Sync())
		s.memory().Crash()
		s.open(s.recovery())
		s.want("start", s.log.Start(), start)
	}
}

// When all is too old, and there is no space for a segment to begin, what is sealed goes.
func TestRetentionOfEverythingOnAFullDisk(t *testing.T) {
	s := segments(t, Options{RetentionBytes: -1, RetentionAge: time.Hour})
	s.memory().Gate(func(op diskio.Op) error {
		if op.Kind == diskio.OpWrite || op.Kind == diskio.OpCreate {
			return syscall.ENOSPC
		}
		return nil
	})
	much := today.Add(1000 * time.Hour)
	removed, err := s.log.Retain(much, 8, 0)
	s.ok(err)
	s.want("removed", removed, 7)
	for range 3 {
		removed, err = s.log.Retain(much, 8, 0)
		s.ok(err)
		s.want("removed again", removed, 0)
	}
	s.want("times that it is told", strings.Count(s.out.String(), "it stays until there is space"), 1)
	s.memory().Gate(nil)
	removed, err = s.log.Retain(much, 8, 0)
	s.ok(err)
	s.want("removed", removed, 1)
	s.append(1)
	s.want("batches", s.all(), "[8]")
}

// Whatever a cleaning is about when retention, a stop or a deletion comes in between, it ends in
// peace: an error would stop the disk.
func TestACleaningThatIsOvertakenAnywhere(t *testing.T) {
	for what, f := range map[string]func(s *stage){
		"segments removed": func(s *stage) {
			s.ok(s.log.SetStart(4))
			_, err := s.log.Retain(today, s.log.End(), 0)
			s.ok(err)
		},
		"closed":  func(s *stage) { s.ok(s.log.Close()) },
		"deleted": func(s *stage) { s.ok(s.log.Delete()) },
		"deleted and made anew": func(s *stage) {
			s.ok(s.log.Delete())
			s.open(s.recovery())
			s.append(1)
		},
	} {
		for at := range 200 {
			s := newStage(t, keep())
			s.open(s.recovery())
			for range 4 {
				s.append(2)
				s.ok(s.log.Roll(today))
			}
			s.close()
			s.open(Recovery{Clean: true, From: -1, Log: slog.New(slog.DiscardHandler)})
			c := s.log.NewCleaning(s.log.End(), CleanOptions{MapBytes: 1 << 20, MinLag: 1, MaxLag: 1})
			ops, done, swapping := 0, false, false
			c.o.Swap = func(swap func() error) error { // on the owner, as all of f
				swapping = true
				defer func() { swapping = false }()
				return swap()
			}
			s.memory().Gate(func(op diskio.Op) error {
				sealing := op.Kind != diskio.OpRead && strings.HasSuffix(op.Name, "index") // others wait for that
				if ops++; ops > at && !done && !sealing && !swapping {
					done = true
					f(s)
				}
				return nil
			})
			much := today.Add(time.Hour)
			d, err := c.Dirt(much)
			if err == nil {
				_, err = c.Run(d, much)
			}
			if err != nil && !Overtaken(err) {
				t.Errorf("%s, operation %d: %v", what, at, err)
			}
			if !done {
				break
			}
		}
	}
}

// A log that was opened after a crash, and given up before it was known what its transactions
// are, must not be closed as if that was known.
func TestALogThatWasNotRecoveredIsNotVouchedFor(t *testing.T) {
	var later []func()
	o := keep()
	o.SegmentBytes, o.Later = 1, func(_ time.Duration, f func()) { later = append(later, f) }
	s := newStage(t, o)
	s.open(s.recovery())
	var w batch.Builder
	w.Append(1, nil, []byte("value"), nil)
	aborted, err := w.Finish(batch.BatchOptions{ProducerID: 5, Transactional: true})
	s.ok(err)
	marker := batch.Marker{ProducerID: 5}.Batch(1)
	want := batch.Aborted{ProducerID: 5, First: 0, Last: 1, Stable: 2}
	for i, b := range []batch.Batch{aborted, marker, records(t, 2, 0, 1, 1, 10)} {
		b.SetBaseOffset(int64(i))
		b.SetLeaderEpoch(0)
		if i == 1 {
			s.log.Abort(want)
		}
		s.ok(s.log.Append([][]byte{b}, today))
	}
	s.ok(s.log.Sync())
	s.memory().Crash()
	s.open(s.recovery())
	s.close() // a file could not be read
	s.open(s.recovery())
	s.log.Recover(want)
	s.ok(s.log.Recovered())
	found, err := s.log.Aborted(nil, 0, 3, false)
	s.ok(err)
	if len(found) != 1 || found[0] != want {
		t.Fatalf("aborted is %+v", found)
	}
	if _, err := s.fs.Stat(filepath.Join(s.dir, segmentName(1)+txnSuffix)); err != nil {
		t.Error(err)
	}
}
