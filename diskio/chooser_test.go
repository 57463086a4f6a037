package diskio

import (
	"testing"
	"time"
)

func TestChooserBegins(t *testing.T) {
	const kib = 1 << 10
	for name, test := range map[string]struct {
		files   int
		bytes   int64
		journal bool
	}{
		"one producer, one small batch":         {1, 16 * kib, true},
		"sixteen batches of one file":           {1, 256 * kib, true},
		"a megabyte of one file":                {1, 1024 * kib, false},
		"four megabytes of four files":          {4, 4096 * kib, false},
		"sixteen files, a batch each":           {16, 256 * kib, true},
		"a thousand files, a batch each":        {1000, 16000 * kib, true},
		"ten files with half a megabyte each":   {10, 5120 * kib, false},
		"a hundred files with ten records each": {100, 100 * kib, true},
	} {
		t.Run(name, func(t *testing.T) {
			var c chooser
			if got := c.toJournal(test.files, test.bytes); got != test.journal {
				t.Fatalf("journal: %v", got)
			}
		})
	}
}

// A disk on which the journal takes longer than expected gets none for small rounds of one
// file; when it is as fast again, that is found out.
func TestChooserLearns(t *testing.T) {
	var c chooser
	const files, bytes = 1, 4096
	c.filesTook(files, bytes, expectFiles(files, bytes))
	slow := 5 * expectJournal(bytes)
	rounds := 0
	for ; c.toJournal(files, bytes); rounds++ {
		c.journalTook(bytes, slow)
		if rounds > 100 {
			t.Fatal("it never learns that the journal is slow")
		}
	}
	if rounds < 4 {
		t.Fatalf("%d slow rounds are enough to rule the journal out", rounds)
	}
	if !c.toJournal(20, 20*bytes) {
		t.Fatal("for many files it is still the better way")
	}
	for rounds = 0; !c.toJournal(files, bytes); rounds++ {
		c.filesTook(files, bytes, expectFiles(files, bytes))
		if rounds > 1000 {
			t.Fatal("it never tries the journal again")
		}
	}
}

// A disk that is slow, or fast, in both ways is no reason to change.
func TestChooserKnowsADiskThatIsSlowInBothWays(t *testing.T) {
	for _, times := range []float64{0.1, 20} {
		var c chooser
		scale := func(d time.Duration) time.Duration { return time.Duration(times * float64(d)) }
		for range 1000 {
			c.filesTook(1, 4096, scale(expectFiles(1, 4096)))
		}
		if !c.toJournal(1, 4096) {
			t.Fatalf("a disk that takes %v times as long has no journal", times)
		}
		for range 1000 {
			c.journalTook(4096, scale(expectJournal(4096)))
		}
		if !c.toJournal(1, 4096) || c.toJournal(1, 4<<20) {
			t.Fatalf("%v times as long: %+v", times, c)
		}
	}
}

// One stall of the disk changes nothing.
func TestChooserIsNotShakenByOneStall(t *testing.T) {
	var c chooser
	for range 3 {
		c.journalTook(4096, 10*time.Second)
	}
	if !c.toJournal(1, 4096) {
		t.Fatal("three stalls ruled the journal out")
	}
}
