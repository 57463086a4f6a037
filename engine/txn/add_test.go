package txn

import (
	"slices"
	"testing"
	"time"
)

// TestManyPartitionsTakeFewRecords has a producer write to 1,000 partitions at once: one record
// begins the transaction, and one has all that came while it was on its way.
func TestManyPartitionsTakeFewRecords(t *testing.T) {
	const many = 1000
	s := newStage(t, Options{Version: 2})
	s.init(-1, -1)
	p := s.current(2)
	stranger := p
	stranger.Epoch++
	s.hold, s.replies = true, nil
	before := len(s.log)
	topics := make([]string, many)
	for i := range topics {
		topics[i] = string([]byte{'a' + byte(i/100), '0' + byte(i/10%10), '0' + byte(i%10)})
		s.add(p, true, topics[i])
		if i == many/2 {
			s.add(stranger, true, "other")
		}
		s.check()
	}
	s.hold = false
	s.settle()
	s.check()
	if n := len(s.log) - before; n != 2 {
		t.Errorf("%d partitions took %d records, want 2", many, n)
	}
	// Who was first had a record of his own, and the stranger is told when that is written.
	if got := slices.Index(s.replies, "PRODUCER_FENCED"); len(s.replies) != many+1 || got > 1 {
		t.Errorf("%d answers, the stranger's is number %d: want %d, and his before those of who waited", len(s.replies), got, many+1)
	}
	s.restart()
	for _, topic := range topics {
		if err := s.c.Verify(p, []Partition{{topic, 0}})[0]; err != nil {
			t.Fatalf("%s was answered and is not part of the transaction: %v", topic, err)
		}
	}
}

// TestWhoLostPatienceIsNotAdded: he was told to ask again, and the others go on without him.
func TestWhoLostPatienceIsNotAdded(t *testing.T) {
	s := newStage(t, Options{Version: 2, Patience: 100 * time.Millisecond})
	s.init(-1, -1)
	p := s.current(2)
	s.hold, s.replies = true, nil
	s.add(p, true, "first")
	s.add(p, true, "early")
	s.tick(60 * time.Millisecond)
	s.add(p, true, "late")
	s.tick(60 * time.Millisecond)
	s.hold = false
	s.settle()
	s.check()
	if want := []string{"CONCURRENT_TRANSACTIONS", "ok", "ok"}; !slices.Equal(s.replies, want) {
		t.Errorf("answers %q, want %q", s.replies, want)
	}
	if got, want := s.state(), "Ongoing, producer 101 epoch 0 [first late]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestWaitingWithAFailure tells all who were added together why they were not.
func TestWaitingWithAFailure(t *testing.T) {
	s := newStage(t, Options{Version: 2})
	s.init(-1, -1)
	p := s.current(2)
	s.hold, s.replies = true, nil
	s.add(p, true, "a")
	s.add(p, true, "b")
	s.add(p, true, "c")
	s.append(nil)
	s.append(errDisk)
	s.check()
	if want := []string{"ok", codeName(asError(errDisk)), codeName(asError(errDisk))}; !slices.Equal(s.replies, want) {
		t.Errorf("answers %q, want %q", s.replies, want)
	}
	if got, want := s.state(), "Ongoing, producer 101 epoch 0 [a]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestStrangersAreRefusedInOnePass: one request may bring tens of thousands, each with an id that it
// made up, and all of them wait while a record is on its way.
func TestStrangersAreRefusedInOnePass(t *testing.T) {
	const many = 200_000 // for each of whom to be looked at for each takes minutes
	s := newStage(t, Options{Version: 2, Patience: 100 * time.Millisecond})
	s.init(-1, -1)
	p := s.current(2)
	s.hold, s.replies = true, nil
	s.add(p, true, "first")
	for i := range many {
		stranger := p
		stranger.ID += 1 + int64(i)
		s.add(stranger, true, "other")
	}
	s.add(p, true, "second")
	s.hold = false
	s.settle()
	s.check()
	count := map[string]int{}
	for _, r := range s.replies {
		count[r]++
	}
	if count["ok"] != 2 || count["INVALID_PRODUCER_ID_MAPPING"] != many || len(count) != 2 {
		t.Errorf("answers: %v", count)
	}
}
