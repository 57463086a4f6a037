package commitlog

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

// dealings are a log of transactions, of which some are aborted, to be cleaned.
func dealings(t *testing.T) *stage {
	s := newStage(t, keep())
	s.open(s.recovery())
	var track tracker
	add := func(producer int64, control bool, value string) {
		b := batch.Marker{ProducerID: producer, Commit: value == "commit"}.Batch(today.UnixMilli())
		if !control {
			var w batch.Builder
			w.Append(today.UnixMilli(), []byte("key"), []byte(value), nil)
			var err error
			b, err = w.Finish(batch.BatchOptions{ProducerID: producer, Transactional: true})
			s.ok(err)
		}
		b.SetBaseOffset(s.log.End())
		b.SetLeaderEpoch(0)
		if a, ok := track.add(b); ok {
			s.log.Abort(a)
		}
		s.ok(s.log.Append([][]byte{b}, today))
	}
	for i := range 4 {
		for id := range int64(3) {
			add(id, false, "of "+fmt.Sprint(i))
		}
		s.ok(s.log.Roll(today))
		add(0, true, "abort")
		add(1, true, "commit")
		add(2, true, "abort")
		if i%2 == 0 {
			s.ok(s.log.Roll(today))
		}
	}
	s.ok(s.log.Roll(today))
	add(1, false, "last")
	s.ok(s.log.Sync())
	return s
}

func (s *stage) compact() error {
	c := s.log.NewCleaning(s.log.End(), CleanOptions{DeleteRetention: time.Minute, MapBytes: 1 << 20, Last: map[int64]LastSent{2: {Offset: 20}, 0: {Offset: 18}}})
	d, err := c.Dirt(today)
	s.ok(err)
	_, err = c.Run(d, today)
	return err
}

// Whatever a loss of power leaves of a cleaning is no damage, before the next start and after it:
// not segments of which some are replaced, nor an index with what the cleaning has dropped.
func TestVerifyBesideASwap(t *testing.T) {
	s := dealings(t)
	trace := s.memory().Record()
	s.ok(s.compact())
	trace.Stop()
	verify := func(disk *diskio.Memory, when string) {
		t.Helper()
		s.ok(Verify(disk, s.dir, func(p Problem) {
			if !strings.HasSuffix(p.File, indexSuffix) && !strings.HasSuffix(p.File, timeSuffix) { // torn, and made again
				t.Errorf("%s: verify: %s", when, p)
			}
		}))
	}
	count, swaps := 0, 0
	for image := range trace.Images(diskio.ImageOptions{Seed: 1, Random: 2, Singles: 3}) {
		count++
		disk := image.Disk()
		names, err := disk.ReadDir(s.dir)
		s.ok(err)
		if strings.Contains(strings.Join(names, " "), swapSuffix) {
			swaps++
		}
		verify(disk, "before, "+image.String())
		o := s.o
		o.FS = disk
		log, err := Open(s.dir, o, Recovery{From: -1, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatalf("%s: %v", image, err)
		}
		s.ok(log.Recovered())
		verify(disk, "open, "+image.String())
		s.ok(log.Close())
		verify(disk, "after, "+image.String())
		if t.Failed() {
			break
		}
	}
	if t.Logf("%d images, %d in a swap", count, swaps); swaps == 0 {
		t.Error("no image has a swap that was interrupted")
	}
}

// A disk that has no room for a name in the middle of a swap is waited for, as any full disk is:
// with room the swap is ended, and the log goes on.
func TestASwapOnAFullDisk(t *testing.T) {
	for name, suffix := range map[string]string{"what is replaced": deletedSuffix, "what takes its place": logSuffix} {
		t.Run(name, func(t *testing.T) {
			s := dealings(t)
			s.memory().Gate(func(op diskio.Op) error {
				if op.Kind == diskio.OpRename && strings.HasSuffix(op.To, suffix) {
					return syscall.ENOSPC
				}
				return nil
			})
			if err := s.compact(); !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("cleaned on a full disk: %v", err)
			}
			if err := s.log.Append([][]byte{s.next(1)}, today); !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("appended in the middle of a swap: %v", err)
			}
			s.memory().Gate(nil)
			s.append(1)
			s.ok(s.compact())
			end := s.log.End()
			s.close()
			s.ok(Verify(s.fs, s.dir, func(p Problem) { t.Errorf("verify: %s", p) }))
			s.open(Recovery{Clean: true, From: end, Log: slog.New(slog.DiscardHandler)})
			s.want("end", s.log.End(), end)
			s.close()
		})
	}
}

// While a swap waits for space, what it has replaced is doomed once, however often it is tried.
func TestASwapThatWaitsDoomsOnce(t *testing.T) {
	s := dealings(t)
	timers := 0
	s.log.o.Later = func(time.Duration, func()) { timers++ }
	refused := 0
	s.memory().Gate(func(op diskio.Op) error {
		if op.Kind == diskio.OpRename && strings.HasSuffix(op.Name, swapSuffix) {
			refused++
			return syscall.ENOSPC
		}
		return nil
	})
	if err := s.compact(); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("cleaned on a full disk: %v", err)
	}
	doomed, begun := len(s.log.doomed), timers
	for range 100 {
		if err := s.log.Append([][]byte{s.next(1)}, today); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("appended in the middle of a swap: %v", err)
		}
	}
	if doomed == 0 || refused <= 100 || len(s.log.doomed) != doomed || timers != begun {
		t.Errorf("refused %d times: %d doomed and %d timers, want %d and %d", refused, len(s.log.doomed), timers, doomed, begun)
	}
	replaced := s.log.swap.group
	s.memory().Gate(nil)
	s.append(1)
	for _, r := range replaced {
		s.want("references to what was replaced", r.refs.Load(), int64(0))
	}
	s.close()
}

// The owner asks what no file vouches for while the disk is slow to seal a segment, and does
// not wait for it.
func TestLooseAbortedWaitsForNoSync(t *testing.T) {
	later := make(chan func(), 10)
	s := newStage(t, keep())
	s.o.Later = func(_ time.Duration, f func()) { later <- f }
	s.open(s.recovery())
	for _, control := range []bool{false, true} {
		b := batch.Marker{ProducerID: 7}.Batch(today.UnixMilli())
		if !control {
			var w batch.Builder
			w.Append(today.UnixMilli(), nil, []byte("aborted"), nil)
			var err error
			b, err = w.Finish(batch.BatchOptions{ProducerID: 7, Transactional: true})
			s.ok(err)
		} else {
			s.log.Abort(batch.Aborted{ProducerID: 7, First: 0, Last: 1, Stable: 2})
		}
		b.SetBaseOffset(s.log.End())
		b.SetLeaderEpoch(0)
		s.ok(s.log.Append([][]byte{b}, today))
	}
	s.ok(s.log.Roll(today))
	hangs, mend, sealed := make(chan struct{}, 10), make(chan struct{}), make(chan struct{})
	s.memory().Gate(func(op diskio.Op) error {
		if op.Kind == diskio.OpSync {
			hangs <- struct{}{}
			<-mend
		}
		return nil
	})
	go func() { (<-later)(); close(sealed) }()
	<-hangs
	loose := make(chan int, 1)
	go func() { loose <- len(s.log.LooseAborted()) }()
	select {
	case n := <-loose:
		s.want("loose", n, 1)
	case <-time.After(10 * time.Second):
		t.Error("it waits for the disk")
	}
	close(mend)
	<-sealed
	s.want("sealed, and loose", len(s.log.LooseAborted()), 0)
}

// A segment that was torn by a loss of power in os mode is refused in every mode that syncs, which
// interval does as well as commit, with word of what to do; in os mode it ends there, unless it is
// known to have been durable.
func TestTornInAnotherMode(t *testing.T) {
	const advice = "log.flush.mode=os without log.flush.interval.ms"
	for name, test := range map[string]struct {
		syncs bool // SyncOnRoll
		from  int64
		says  string // "": the log is cut
	}{
		"commit mode":             {true, -1, advice},
		"commit mode, known":      {true, 30, "is damaged at position"},
		"interval mode":           {true, -1, advice},
		"interval mode, known":    {true, 30, "is damaged at position"},
		"os mode with flush.ms":   {true, -1, advice},
		"os mode":                 {false, -1, ""},
		"os mode, known in part":  {false, 1, ""},
		"os mode, known":          {false, 30, "is damaged at position"},
		"os mode, known up to it": {false, 4, "is damaged at position"},
	} {
		t.Run(name, func(t *testing.T) {
			o := keep()
			o.SyncOnRoll = false
			s := newStage(t, o)
			s.o.Later = func(time.Duration, func()) {} // nothing is sealed
			s.open(s.recovery())
			for range 6 {
				s.append(1, 2, 3)
				s.ok(s.log.Roll(today))
			}
			s.append(1)
			torn := s.dir + "/" + segmentName(0) + logSuffix
			s.ok(s.memory().Spoil(torn, func(p []byte) []byte { p[len(p)-1] ^= 1; return p }))
			before := s.files()
			s.o.SyncOnRoll = test.syncs
			r := s.recovery()
			r.From = test.from
			log, err := Open(s.dir, s.o, r)
			if test.says == "" {
				s.ok(err)
				s.want("end", log.End(), int64(3))
				s.ok(log.Close())
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "mode=os or interval") || !strings.Contains(err.Error(), torn) {
				t.Errorf("%v, want %q", err, test.says)
			}
			s.want("files", s.files(), before)
		})
	}
}
