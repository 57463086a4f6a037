package txn

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/fuzz"
)

// TestRandomLives plays random events, with what is on its way held up, failing and lost by
// restarts in between, and sees to it that every decision is kept: markers of one transaction
// never disagree, an epoch never goes back, and in the end nothing is left undecided.
func TestRandomLives(t *testing.T) {
	for seed := range uint64(200) {
		s := newStage(t, Options{Version: 2, Expiration: 1000 * time.Hour})
		r := rand.New(rand.NewPCG(seed, 7))
		decisions := map[string]bool{}
		for range 120 {
			s.hold, s.holdMarks, s.holdIDs = r.IntN(3) == 0, r.IntN(3) == 0, r.IntN(4) == 0
			s.step(r)
			s.check()
			s.agree(decisions)
			if t.Failed() {
				t.Fatalf("seed %d: %q", seed, s.replies)
			}
		}
		s.hold, s.holdMarks, s.holdIDs = false, false, false
		s.settle()
		s.tick(time.Minute)
		s.restart()
		s.agree(decisions)
		if known := s.c.ids[id]; known != nil && known.state.preparing() {
			t.Fatalf("seed %d: left in %s", seed, known.state)
		}
	}
}

// step lets one thing happen: a request that may be right or wrong, or something of the disk's.
func (s *stage) step(r *rand.Rand) {
	s.replies = nil
	version := int8(2 * r.IntN(2))
	p := s.at(version, int16([]int{0, 0, 0, 0, -1, 1}[r.IntN(6)]))
	switch r.IntN(12) {
	case 0:
		s.init(-1, -1)
	case 1:
		s.init(p.ID, p.Epoch)
	case 2, 3, 4:
		s.add(p, r.IntN(2) == 0, string(rune('a'+r.IntN(4))))
	case 5, 6, 7:
		s.end(p, r.IntN(2) == 0)
	case 8:
		s.tick(time.Duration(r.IntN(90)) * time.Second)
	case 9:
		if r.IntN(4) == 0 {
			s.restart()
		}
	case 10:
		if len(s.marks) > 0 {
			s.mark(errDisk)
		} else if len(s.appends) > 0 {
			s.append(errDisk)
		}
	case 11:
		if known := s.c.ids[id]; known != nil && !known.busy && known.state == Empty && r.IntN(2) == 0 {
			known.epoch = exhausted - int16(r.IntN(2)) // long after
		}
	}
	s.settle()
}

// agree sees to it that all markers of one epoch of one producer end it in the same way. With
// version 1 an epoch has many transactions, each of which begins with the one before complete,
// so only those of version 2 can be told apart.
func (s *stage) agree(decisions map[string]bool) {
	s.t.Helper()
	for _, m := range s.written {
		if !m.bumped {
			continue
		}
		key := fmt.Sprint(m.ProducerID, m.ProducerEpoch)
		if before, known := decisions[key]; known && before != m.Commit {
			s.t.Errorf("producer %d epoch %d is committed and aborted", m.ProducerID, m.ProducerEpoch)
		}
		decisions[key] = m.Commit
	}
	s.written = nil
}

// TestReplayFindsWhatWasWritten: records of every kind come back as they were.
func TestReplayFindsWhatWasWritten(t *testing.T) {
	for _, in := range situations[1 : len(situations)-2] {
		s := newStage(t, Options{Version: 2})
		in.reach(s)
		s.hold, s.holdIDs = false, false
		for len(s.appends) > 0 {
			s.append(nil)
		}
		if s.c.ids[id].epoch >= exhausted {
			continue // the test has set it, the log does not have it
		}
		c := New(Options{}, s)
		for _, r := range s.log {
			if err := c.Replay(r); err != nil {
				t.Fatal(err)
			}
		}
		got, want := c.ids[id].metadata, s.c.ids[id].metadata
		want.last = -1 // only the process remembers it
		if !slices.Equal(got.partitions, want.partitions) {
			t.Errorf("%s: partitions %v, want %v", in.name, got.partitions, want.partitions)
		}
		if got.partitions, want.partitions = nil, nil; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: read %+v, want %+v", in.name, got, want)
		}
	}
}

func TestDamagedRecordsAreRefused(t *testing.T) {
	s := newStage(t, Options{Version: 2})
	ongoing(2)(s)
	good := s.log[len(s.log)-1]
	for name, bad := range map[string]Record{
		"cut short":       {good.Key, good.Value[:len(good.Value)-3]},
		"unknown version": {good.Key, append([]byte{0, 9}, good.Value[2:]...)},
		"unknown state":   {good.Key, append(append(slices.Clone(good.Value[:16]), 99), good.Value[17:]...)},
		"no producer":     {good.Key, append([]byte{0, 1, 0xff}, good.Value[3:]...)},
	} {
		if err := New(Options{}, s).Replay(bad); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
}

func FuzzReplay(f *testing.F) {
	s := newStage(f, Options{Version: 2})
	ongoing(2)(s)
	s.end(s.current(2), true)
	for _, r := range s.log {
		f.Add(r.Key, r.Value)
	}
	fuzz.Run(f, func(t *testing.T, key, value []byte) {
		s := &stage{t: t}
		c := New(Options{Version: 2}, s)
		if c.Replay(Record{key, value}) != nil {
			return
		}
		c.Loaded(time.UnixMilli(1))
		if err := c.Check(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestCheckNoticesDamage shows that Check is no decoration.
func TestCheckNoticesDamage(t *testing.T) {
	for name, damage := range map[string]func(t *transaction){
		"out of order":          func(t *transaction) { t.partitions[0], t.partitions[1] = t.partitions[1], t.partitions[0] },
		"the last epoch":        func(t *transaction) { t.epoch = lastEpoch },
		"a marker too many":     func(t *transaction) { t.owed = map[Partition]struct{}{{"x", 0}: {}} },
		"partitions of nothing": func(t *transaction) { t.state = Empty },
		"nobody completes":      func(t *transaction) { t.state = PrepareCommit },
		"not in the log":        func(t *transaction) { t.epoch = -1 },
	} {
		s := newStage(t, Options{})
		ongoing(2)(s)
		damage(s.c.ids[id])
		if s.c.Check() == nil {
			t.Errorf("%s is not noticed", name)
		}
	}
}
