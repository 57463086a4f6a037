package commitlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/millrace/millrace/diskio"
)

// pledge is what was asked to be made durable.
type pledge struct {
	segment *Segment // nil: nothing, or it was cut meanwhile
	to      int64
}

// Commit fills r in so that what it asks for makes durable everything appended so far. One
// is under way at a time; Committed, when it went well, is its end.
func (l *Log) Commit(r *diskio.Request) {
	s := l.active
	r.File = &s.commit
	r.From, r.To = max(s.covered, s.synced.Load()), s.size.Load()
	if r.Name = ""; l.o.TopicID != [16]byte{} && s.covered >= 0 {
		r.Name, r.Tag = s.journalName(), l.o.TopicID
	}
	l.pledged = pledge{s, r.To}
}

// Committed says that what Commit asked for is durable.
func (l *Log) Committed() {
	if s := l.pledged.segment; s != nil {
		s.covered = max(s.covered, l.pledged.to)
	}
	l.pledged = pledge{}
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
	if l.pledged.segment == s {
		l.pledged = pledge{}
	}
	if l.o.Forget == nil {
		return nil
	}
	s.synced.Store(-1)
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
