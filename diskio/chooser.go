package diskio

import "time"

// chooser decides, round by round, which way to make durable what waits: one write and
// one sync of the journal, or a sync of each file. It is pure: who runs the rounds tells
// it how long they took.
//
// Both ways are reckoned in time. The journal costs one sync of a file that does not
// grow, and each byte twice, for it will be written to its own file too; the files cost a
// sync each, which changes their size on disk, a few at the same time. So many files or
// little data go to the journal, and much data for few files does not. What is expected
// is multiplied by what was measured over what had been expected, a moving median for
// each way: it goes a small step up or down with each measurement, however far off that
// is. The way that is not taken drifts to the factor of the one that is, for both use
// one disk, so that one bad minute does not rule it out for ever.
type chooser struct {
	journal, files factor
}

// The expectations are those measured on ext4 on a virtual NVMe disk; DECISIONS.md has them.
const (
	journalSync    = 115 * time.Microsecond
	journalByte    = 0.25 // nanoseconds
	journalAgain   = 0.5  // nanoseconds, for the second time that a byte is written
	fileSync       = 150 * time.Microsecond
	fileEach       = 55 * time.Microsecond
	fileByte       = 0.6 // nanoseconds
	factorLeast    = 0.125
	factorMost     = 8
	factorStep     = 1 + 1.0/32
	factorForgets  = 1.0 / 512
	journalLargest = 512 << 10 // bytes of one file from which on the journal is not asked
)

// factor is how much longer something takes than expected; 0 is not known yet.
type factor float64

// or is f, or another when f is not known.
func (f factor) or(other factor) factor {
	switch {
	case f != 0:
		return f
	case other != 0:
		return other
	}
	return 1
}

func (f factor) of(d time.Duration) time.Duration { return time.Duration(float64(f) * float64(d)) }

func (f *factor) learn(took, expected time.Duration) {
	if took <= 0 {
		return // a clock that stands
	}
	if took > f.of(expected) {
		*f *= factorStep
	} else {
		*f /= factorStep
	}
	*f = min(max(*f, factorLeast), factorMost)
}

// drift moves f, which is not measured now, to one that is.
func (f *factor) drift(to factor) {
	if *f != 0 && to != 0 {
		*f += (to - *f) * factorForgets
	}
}

func expectJournal(bytes int64) time.Duration {
	return journalSync*time.Duration(1+bytes>>20) + time.Duration(float64(bytes)*journalByte)
}

func expectFiles(files int, bytes int64) time.Duration {
	return fileSync + time.Duration(files)*fileEach + time.Duration(float64(bytes)*fileByte)
}

// toJournal decides about so many files with so many bytes in all.
func (c *chooser) toJournal(files int, bytes int64) bool {
	again := time.Duration(float64(bytes) * journalAgain)
	journal, each := c.journal.or(c.files), c.files.or(c.journal)
	if journal.of(expectJournal(bytes)+again) <= each.of(expectFiles(files, bytes)) {
		c.files.drift(journal)
		return true
	}
	c.journal.drift(each)
	return false
}

// journalTook learns from a round of the journal.
func (c *chooser) journalTook(bytes int64, took time.Duration) {
	c.journal = c.journal.or(c.files)
	c.journal.learn(took, expectJournal(bytes))
}

// filesTook learns from the sync of one file while so many were synced.
func (c *chooser) filesTook(files int, bytes int64, took time.Duration) {
	c.files = c.files.or(c.journal)
	c.files.learn(took, expectFiles(files, bytes))
}
