package commitlog

import (
	"slices"
	"testing"

	"github.com/millrace/millrace/diskio"
)

// asked is what Commit asks for.
func (s *stage) asked() (r diskio.Request) {
	s.log.Commit(&r)
	return r
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
