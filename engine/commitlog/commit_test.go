package commitlog

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace/diskio"
)

// asked is what Commit asks for the active segment.
func (s *stage) asked() (r diskio.Request) {
	var rolled diskio.Request
	s.log.Commit(&r, &rolled)
	return r
}

// committed does what Commit asks for, the active segment first or last.
func committed(l *Log, activeFirst bool) error {
	var active, rolled diskio.Request
	files := []*diskio.Request{&active}
	switch both := l.Commit(&active, &rolled); {
	case both && activeFirst:
		files = append(files, &rolled)
	case both:
		files = []*diskio.Request{&rolled, &active}
	}
	for _, r := range files {
		if err := r.File.Sync(); err != nil {
			return err
		}
	}
	l.Committed()
	return nil
}

// A roll syncs nothing itself: the next request is about both segments. Only one may wait so,
// and one that was cut must not.
func TestARollIsSyncedWithTheNextCommit(t *testing.T) {
	o := keep()
	o.TopicID = [16]byte{7}
	o.Later = func(time.Duration, func()) {}
	s := newStage(t, o)
	s.open(s.recovery())
	s.append(1)
	s.ok(s.log.Roll(today))
	s.append(1)
	var active, rolled diskio.Request
	if !s.log.Commit(&active, &rolled) {
		t.Fatal("nobody asks for the segment that was rolled")
	}
	s.want("the first name", rolled.Name, FolderName("topic", 0)+"/00000000000000000000.log")
	s.want("from", rolled.From, int64(0))
	s.want("the second name", active.Name, FolderName("topic", 0)+"/00000000000000000001.log")
	s.log.Committed()
	if s.log.Commit(&active, &rolled) {
		t.Fatal("it is durable, and asked for again")
	}
	s.append(1)
	before := s.memory().Counts().Syncs
	s.ok(s.log.Roll(today)) // the one before is durable
	s.want("syncs of a roll", s.memory().Counts().Syncs-before, 0)
	s.append(1)
	s.ok(s.log.Roll(today)) // and this time it is not
	s.want("syncs of a roll behind one that is not durable", s.memory().Counts().Syncs-before, 1)
	s.close()
}

// Where the last sealed segment was not durable it may be torn, and the log ends there. Where
// it has an index it was, and damage is damage; also where that is of an earlier stop, for the
// roll has synced what came after.
func TestATornSegmentBehindARoll(t *testing.T) {
	for name, test := range map[string]struct {
		stopped, sealed bool
		harm            func(p []byte) []byte
		refused         bool
	}{
		"torn":                          {harm: func(p []byte) []byte { return p[:len(p)-1] }},
		"cut behind an index":           {stopped: true, harm: func(p []byte) []byte { return p[:len(p)-1] }, refused: true},
		"harmed before an index":        {stopped: true, harm: func(p []byte) []byte { p[70] ^= 1; return p }, refused: true},
		"cut, and was sealed":           {sealed: true, harm: func(p []byte) []byte { return p[:len(p)-1] }, refused: true},
		"too long, and was sealed":      {sealed: true, harm: func(p []byte) []byte { return append(p, 1, 2, 3) }, refused: true},
		"cut between batches of a roll": {harm: func(p []byte) []byte { return p[:len(p)/2] }},
	} {
		t.Run(name, func(t *testing.T) {
			o := keep()
			var later []func()
			o.Later = func(_ time.Duration, f func()) { later = append(later, f) }
			s := newStage(t, o)
			s.open(s.recovery())
			s.append(1)
			r := s.recovery()
			if test.stopped {
				s.close()
				r.Clean = true
				s.open(r)
				r.Clean = false
			}
			s.append(1)
			s.ok(s.log.Roll(today))
			s.append(1)
			if test.sealed {
				for _, f := range later {
					f()
				}
			}
			s.ok(s.memory().Spoil(s.dir+"/"+segmentName(0)+logSuffix, test.harm))
			log, err := Open(s.dir, s.o, r)
			if damage := (*Damage)(nil); errors.As(err, &damage) != test.refused || err != nil && !test.refused {
				t.Fatalf("refused: %v, want %v", err, test.refused)
			}
			if err == nil && (log.End() != 1 || log.Segments() != 1) {
				t.Fatalf("the log ends at %d and has %d segments, want 1 and 1", log.End(), log.Segments())
			}
		})
	}
}

// A request is about all that was appended since the last that went well, and nothing else.
func TestCommitAsksForWhatIsNotDurable(t *testing.T) {
	o := keep()
	o.TopicID = [16]byte{7}
	s := newStage(t, o)
	s.open(s.recovery())
	s.append(1)
	first := s.asked()
	s.want("from", first.From, int64(0))
	s.want("to", first.To, s.log.Size())
	s.want("tag", first.Tag, o.TopicID)
	s.want("name", first.Name, FolderName("topic", 0)+"/00000000000000000000.log")
	s.append(1)
	again := s.asked() // the first failed
	s.want("from, after a failure", again.From, int64(0))
	s.log.Committed()
	s.append(1)
	third := s.asked()
	s.want("from, when it went well", third.From, again.To)
	s.log.Committed()
	s.append(1)
	s.ok(s.log.Sync())
	s.want("from, when somebody else has synced", s.asked().From, s.log.Size())
	s.ok(s.log.Roll(today))
	s.append(1)
	rolled := s.asked()
	s.want("from, in a new segment", rolled.From, int64(0))
	s.close()
	s.open(s.recovery())
	s.append(1)
	s.want("from, after opening", s.asked().From, rolled.To)
	s.close()
}

// What is cut must not come back: the journal forgets it, once all that stays is durable.
func TestTruncateHasTheJournalForget(t *testing.T) {
	o := keep()
	o.TopicID = [16]byte{7}
	var forgotten []string
	s := newStage(t, o)
	syncs := 0
	s.o.Forget = func(name string) error {
		forgotten = append(forgotten, name)
		if n := s.memory().Counts().Syncs; n == syncs {
			t.Errorf("%s is to be forgotten, and was not synced before", name)
		}
		return nil
	}
	s.open(s.recovery())
	s.append(1, 1, 1)
	s.ok(s.log.Roll(today))
	s.append(1, 1)
	before := s.asked()
	syncs = s.memory().Counts().Syncs
	s.ok(s.log.Truncate(2))
	s.log.Committed() // the answer to before comes late, and means nothing
	folder := FolderName("topic", 0)
	if want := []string{folder + "/00000000000000000003.log", folder + "/00000000000000000000.log"}; !slices.Equal(forgotten, want) {
		t.Fatalf("forgotten is %q, want %q", forgotten, want)
	}
	s.append(1)
	after := s.asked()
	if after.From >= after.To || after.File == before.File {
		t.Fatalf("after a cut it asks for %d to %d", after.From, after.To)
	}
	s.close()
}
