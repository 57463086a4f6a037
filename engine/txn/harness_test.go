package txn

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk/batch"
)

// stage is an Env that keeps what is committed and lets a test say when things happen.
type stage struct {
	t         testing.TB
	c         *Coordinator
	o         Options
	now       time.Time
	ids       int64
	epoch     int32
	log       []Record
	appends   []func(error)
	draws     []func(int64, error)
	marks     []mark
	written   []mark
	hold      bool // nothing ends by itself
	holdIDs   bool
	holdMarks bool
	replies   []string
}

type mark struct {
	batch.Marker
	bumped bool
	to     Partition
	done   func(error)
}

func newStage(t testing.TB, o Options) *stage {
	s := &stage{t: t, o: o, now: time.UnixMilli(1_000_000), ids: 100}
	s.c = New(o, s)
	s.c.Loaded(s.now)
	return s
}

func (s *stage) Append(r Record, done func(error)) {
	s.appends = append(s.appends, func(err error) {
		if err == nil {
			s.log = append(s.log, r)
		}
		done(err)
	})
}

func (s *stage) ProducerID(done func(int64, error)) { s.draws = append(s.draws, done) }

func (s *stage) Mark(m batch.Marker, bumped bool, to Partition, done func(error)) {
	s.marks = append(s.marks, mark{m, bumped, to, done})
}

func (s *stage) Epoch() int32 { return s.epoch }

// settle ends what is on its way, unless it is held.
func (s *stage) settle() {
	for {
		switch {
		case len(s.draws) > 0 && !s.holdIDs:
			s.draw(nil)
		case len(s.appends) > 0 && !s.hold:
			s.append(nil)
		case len(s.marks) > 0 && !s.holdMarks:
			s.mark(nil)
		default:
			return
		}
	}
}

func (s *stage) draw(err error) {
	f := s.draws[0]
	s.draws = s.draws[1:]
	s.ids++
	f(s.ids, err)
}

func (s *stage) append(err error) {
	f := s.appends[0]
	s.appends = s.appends[1:]
	f(err)
}

func (s *stage) mark(err error) {
	m := s.marks[0]
	s.marks = s.marks[1:]
	if err == nil {
		s.written = append(s.written, m)
	}
	m.done(err)
}

// restart has another coordinator start from the log.
func (s *stage) restart() {
	s.c.Close()
	s.appends, s.draws, s.marks = nil, nil, nil
	s.epoch++
	s.c = New(s.o, s)
	for _, r := range s.log {
		if err := s.c.Replay(r); err != nil {
			s.t.Fatal(err)
		}
	}
	s.c.Loaded(s.now)
	s.settle()
}

func (s *stage) tick(d time.Duration) {
	for end := s.now.Add(d); ; {
		next := s.c.NextTick()
		if next.IsZero() || next.After(end) {
			s.now = end
			return
		}
		s.now = next
		s.c.Tick(s.now)
		s.settle()
	}
}

func (s *stage) say(format string, args ...any) {
	s.replies = append(s.replies, fmt.Sprintf(format, args...))
}

func codeName(err *kerr.Error) string {
	if err == nil {
		return "ok"
	}
	return err.Message
}

// The one transactional id that most tests are about.
const id = "x"

func (s *stage) init(producer int64, epoch int16) {
	q := kmsg.NewPtrInitProducerIDRequest()
	text := id
	q.TransactionalID, q.TransactionTimeoutMillis, q.ProducerID, q.ProducerEpoch = &text, 60_000, producer, epoch
	s.c.InitProducerID(s.now, q, func(id int64, epoch int16, err *kerr.Error) {
		if err != nil {
			s.say("%s", codeName(err))
			return
		}
		s.say("producer %d epoch %d", id, epoch)
	})
	s.settle()
}

func (s *stage) add(p Producer, patiently bool, topics ...string) {
	var all []Partition
	for _, t := range topics {
		all = append(all, Partition{t, 0})
	}
	f := s.c.Add
	if patiently {
		f = s.c.AddPatiently
	}
	f(s.now, p, all, func(err *kerr.Error) { s.say("%s", codeName(err)) })
	s.settle()
}

func (s *stage) verify(p Producer, topics ...string) {
	for _, t := range topics {
		s.say("%s", codeName(s.c.Verify(p, []Partition{{t, 0}})[0]))
	}
}

func (s *stage) end(p Producer, commit bool) {
	s.c.End(s.now, p, commit, func(id int64, epoch int16, err *kerr.Error) {
		if err != nil {
			s.say("%s", codeName(err))
			return
		}
		s.say("ok, producer %d epoch %d", id, epoch)
	})
	s.settle()
}

// state is what there is to know of the id.
func (s *stage) state() string {
	t := s.c.ids[id]
	if t == nil {
		return "none"
	}
	out := fmt.Sprintf("%s, producer %d epoch %d", t.state, t.producer, t.epoch)
	if t.busy {
		out += ", busy"
	}
	if len(t.partitions) > 0 {
		var names []string
		for _, p := range t.partitions {
			names = append(names, p.Topic)
		}
		out += " [" + strings.Join(names, " ") + "]"
	}
	return out
}

func (s *stage) check() {
	s.t.Helper()
	if err := s.c.Check(); err != nil {
		s.t.Errorf("after %q: %v", s.replies, err)
	}
}

// current is the producer of the id, as a client of a version knows it.
func (s *stage) current(version int8) Producer {
	t := s.c.ids[id]
	if t == nil {
		return Producer{TransactionalID: id, ID: 101, Epoch: 0, Version: version}
	}
	return Producer{TransactionalID: id, ID: t.producer, Epoch: t.epoch, Version: version}
}

var errDisk = errors.New("disk is full")

// markers prints what was written and forgets it.
func (s *stage) markers() string {
	var all []string
	for _, m := range s.written {
		what := "abort"
		if m.Commit {
			what = "commit"
		}
		all = append(all, fmt.Sprintf("%s %s by epoch %d", what, m.to.Topic, m.ProducerEpoch))
	}
	s.written = nil
	slices.Sort(all)
	return strings.Join(all, ", ")
}
