package commitlog

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/millrace/millrace/diskio"
)

// pledge is what was asked to be made durable.
type pledge struct {
	segment *Segment // nil: nothing, or it was cut meanwhile
	to      int64
}

// Commit fills requests in so that what they ask for makes durable everything appended so
// far: active always, and rolled, if both, for the segment that the last roll has left
// behind. One Commit is under way at a time; Committed, when all of it went well, is its end.
func (l *Log) Commit(active, rolled *diskio.Request) (both bool) {
	s := l.behind()
	l.pledged = [2]pledge{l.ask(active, l.active)}
	if s == nil {
		return false
	}
	l.pledged[1] = l.ask(rolled, s)
	return true
}

func (l *Log) ask(r *diskio.Request, s *Segment) pledge {
	r.File = &s.commit
	r.From, r.To = max(s.covered, s.synced.Load()), s.size.Load()
	if r.Name = ""; l.o.TopicID != [16]byte{} && s.covered >= 0 {
		r.Name, r.Tag = s.journalName(), l.o.TopicID
	}
	return pledge{s, r.To}
}

// Committed says that what Commit asked for is durable.
func (l *Log) Committed() {
	for _, p := range l.pledged {
		if p.segment != nil {
			p.segment.covered = max(p.segment.covered, p.to)
		}
	}
	l.pledged = [2]pledge{}
}

// behind is the segment before the active one while it is not known to be durable.
func (l *Log) behind() *Segment {
	if s := l.lagging; s != nil && (s.deleted.Load() || max(s.covered, s.synced.Load()) >= s.size.Load()) {
		l.lagging = nil
	}
	return l.lagging
}

// unsettled is where the first segment begins of which the journal may still get something:
// what it was asked for, or what the next Commit asks for.
func (l *Log) unsettled() int64 {
	first := int64(math.MaxInt64)
	for _, p := range l.pledged {
		if p.segment != nil {
			first = min(first, p.segment.base)
		}
	}
	for _, s := range []*Segment{l.behind(), l.active} {
		if s != nil && max(s.covered, s.synced.Load()) < s.size.Load() {
			first = min(first, s.base)
		}
	}
	return first
}

// journalName is the name of the file as the journal of its disk has it.
func (s *Segment) journalName() string {
	if s.name == "" {
		s.name = s.log.journalName(s.base)
	}
	return s.name
}

func (l *Log) journalName(base int64) string {
	return filepath.Base(l.dir) + "/" + segmentName(base) + logSuffix
}

// forget has the journal of the disk not bring back what is about to be cut from s. Before
// it, all that s has is made durable: what stays must not need the journal.
func (l *Log) forget(s *Segment) error {
	for i := range l.pledged {
		if l.pledged[i].segment == s {
			l.pledged[i] = pledge{}
		}
	}
	if l.o.Forget == nil {
		return nil
	}
	s.unsettle()
	if err := s.sync(); err != nil {
		return err
	}
	if err := l.o.Forget(s.journalName()); err != nil {
		return fmt.Errorf("%w: journal: %w", ErrSync, err)
	}
	return nil
}

// TopicOf is the topic id that a partition's folder belongs to, zero when it has none.
func TopicOf(fs diskio.FS, dir string) (id [16]byte, err error) {
	data, err := diskio.ReadFile(fs, filepath.Join(dir, topicFile))
	if errors.Is(err, os.ErrNotExist) {
		return id, nil
	}
	if err == nil {
		id, err = parseTopic(string(data))
	}
	if err != nil {
		return id, fmt.Errorf("read topic id in %s: %w", dir, err)
	}
	return id, nil
}

// TopicFile is the name of the file that says whose a folder is.
const TopicFile = topicFile

// TopicText is what it says of a topic.
func TopicText(id [16]byte) string { return string(encodeTopic(id)) }
