package txn

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// situation is a state of an id, and what is going on with it.
type situation struct {
	name  string
	state State // that it shows
	none  bool  // there is no id
	reach func(s *stage)
}

func ongoing(version int8) func(s *stage) {
	return func(s *stage) {
		s.init(-1, -1)
		s.add(s.current(version), false, "t", "u")
	}
}

func decided(version int8, commit bool) func(s *stage) {
	return func(s *stage) {
		ongoing(version)(s)
		s.holdMarks = true
		s.end(s.current(version), commit)
	}
}

func ended(version int8, commit bool) func(s *stage) {
	return func(s *stage) {
		ongoing(version)(s)
		s.end(s.current(version), commit)
	}
}

var situations = []situation{
	{"nothing is known", Dead, true, func(*stage) {}},
	{"Empty", Empty, false, func(s *stage) { s.init(-1, -1) }},
	{"Empty, the last epoch", Empty, false, func(s *stage) { s.init(-1, -1); s.c.ids[id].epoch = exhausted }},
	{"Ongoing, version 1", Ongoing, false, ongoing(0)},
	{"Ongoing, version 2", Ongoing, false, ongoing(2)},
	{"Ongoing, version 2, the second", Ongoing, false, func(s *stage) {
		ongoing(2)(s)
		s.end(s.current(2), true)
		s.add(s.current(2), false, "t", "u")
	}},
	{"Empty, after a transaction", Empty, false, func(s *stage) {
		ongoing(2)(s)
		s.end(s.current(2), true)
		s.init(-1, -1)
	}},
	{"Ongoing, version 2, the last epoch", Ongoing, false, func(s *stage) {
		s.init(-1, -1)
		s.c.ids[id].epoch = exhausted
		s.add(s.current(2), false, "t", "u")
	}},
	{"Ongoing, a partition is being added", Ongoing, false, func(s *stage) {
		ongoing(2)(s)
		s.hold = true
		s.add(s.current(2), false, "w")
	}},
	{"PrepareCommit, version 1", PrepareCommit, false, decided(0, true)},
	{"PrepareCommit, version 2", PrepareCommit, false, decided(2, true)},
	{"PrepareAbort, version 1", PrepareAbort, false, decided(0, false)},
	{"PrepareAbort, version 2", PrepareAbort, false, decided(2, false)},
	{"PrepareEpochFence", PrepareAbort, false, func(s *stage) {
		ongoing(2)(s)
		s.holdMarks = true
		s.init(-1, -1) // of another producer
	}},
	{"CompleteCommit, version 1", CompleteCommit, false, ended(0, true)},
	{"CompleteCommit, version 2", CompleteCommit, false, ended(2, true)},
	{"CompleteAbort, version 1", CompleteAbort, false, ended(0, false)},
	{"CompleteAbort, version 2", CompleteAbort, false, ended(2, false)},
	{"CompleteAbort, timed out", CompleteAbort, false, func(s *stage) { ongoing(2)(s); s.tick(2 * time.Minute) }},
	{"CompleteAbort, timed out, the last epoch", CompleteAbort, false, func(s *stage) {
		s.init(-1, -1)
		s.c.ids[id].epoch = exhausted
		s.add(s.current(2), false, "t", "u")
		s.tick(2 * time.Minute)
	}},
	{"loading", Dead, true, func(s *stage) { s.c = New(s.o, s) }},
	{"closed", Dead, true, func(s *stage) { ongoing(2)(s); s.c.Close() }},
}

// at is the producer of the situation with another epoch.
func (s *stage) at(version int8, by int16) Producer {
	p := s.current(version)
	p.Epoch += by
	return p
}

type event struct {
	name   string
	happen func(s *stage)
}

func stranger(p Producer) Producer {
	p.ID += 1000
	return p
}

var events = []event{
	{"init, another producer", func(s *stage) { s.init(-1, -1) }},
	{"init, the same producer", func(s *stage) { p := s.current(2); s.init(p.ID, p.Epoch) }},
	{"init, an older epoch", func(s *stage) { p := s.at(2, -1); s.init(p.ID, p.Epoch) }},
	{"init, an older epoch, twice", func(s *stage) { p := s.at(2, -1); s.init(p.ID, p.Epoch); s.init(p.ID, p.Epoch) }},
	{"init, another id", func(s *stage) { p := stranger(s.current(2)); s.init(p.ID, p.Epoch) }},
	{"init, it cannot be written", func(s *stage) {
		hold := s.hold
		s.hold = true
		s.init(-1, -1)
		if !hold && len(s.appends) > 0 {
			s.append(errDisk)
		}
		s.hold = hold
	}},
	{"add, version 1", func(s *stage) { s.add(s.current(0), false, "v") }},
	{"add, version 2", func(s *stage) { s.add(s.current(2), true, "v") }},
	{"add, what is there", func(s *stage) { s.add(s.current(2), false, "t") }},
	{"add, an older epoch", func(s *stage) { s.add(s.at(2, -1), false, "v") }},
	{"add, a newer epoch", func(s *stage) { s.add(s.at(2, 1), false, "v") }},
	{"add, another id", func(s *stage) { s.add(stranger(s.current(2)), false, "v") }},
	{"verify what is there, and what is not", func(s *stage) { s.verify(s.current(0), "t", "v") }},
	{"verify, an older epoch", func(s *stage) { s.verify(s.at(0, -1), "t") }},
	{"verify, another id", func(s *stage) { s.verify(stranger(s.current(0)), "t") }},
	{"commit, version 1", func(s *stage) { s.end(s.current(0), true) }},
	{"abort, version 1", func(s *stage) { s.end(s.current(0), false) }},
	{"commit, version 1, an older epoch", func(s *stage) { s.end(s.at(0, -1), true) }},
	{"commit, version 2", func(s *stage) { s.end(s.current(2), true) }},
	{"abort, version 2", func(s *stage) { s.end(s.current(2), false) }},
	{"commit, version 2, again", func(s *stage) { s.end(s.at(2, -1), true) }},
	{"abort, version 2, again", func(s *stage) { s.end(s.at(2, -1), false) }},
	{"commit, version 2, a newer epoch", func(s *stage) { s.end(s.at(2, 1), true) }},
	{"commit, another id", func(s *stage) { s.end(stranger(s.current(2)), true) }},
	{"markers are written", func(s *stage) { s.holdMarks = false; s.settle() }},
	{"a marker fails", func(s *stage) {
		if len(s.marks) > 0 {
			s.mark(errDisk)
		}
	}},
	{"what is on its way is written", func(s *stage) { s.hold = false; s.settle() }},
	{"what is on its way fails", func(s *stage) {
		for len(s.appends) > 0 {
			s.append(errDisk)
		}
	}},
	{"describe", func(s *stage) { a := s.c.Describe(id); s.say("%d %s", a.ErrorCode, a.State) }},
	{"list", func(s *stage) {
		f, _ := NewFilter(kmsg.NewPtrListTransactionsRequest())
		all, err := s.c.List(s.now, f)
		s.say("%s %d", codeName(err), len(all))
	}},
	{"two minutes: the time limit", func(s *stage) { s.hold = false; s.tick(2 * time.Minute) }},
	{"ten days: the id expires", func(s *stage) { s.hold, s.holdMarks = false, false; s.settle(); s.tick(240 * time.Hour) }},
	{"restart", func(s *stage) { s.hold, s.holdMarks = false, false; s.restart() }},
	{"close", func(s *stage) { s.c.Close() }},
}

// meet lets one event happen in one situation.
func meet(t *testing.T, in situation, e event) (line string, met State) {
	s := newStage(t, Options{Version: 2})
	in.reach(s)
	s.check()
	met = Dead
	if known := s.c.ids[id]; known != nil {
		met = known.state
	}
	if known := s.c.ids[id]; in.none != (known == nil) || known != nil && known.state != in.state {
		t.Errorf("%s is not reached: %s", in.name, s.state())
	}
	s.replies, s.written = nil, nil
	e.happen(s)
	s.check()
	line = fmt.Sprintf("  %-38s %-50s → %s", e.name, strings.Join(s.replies, "; "), s.state())
	if m := s.markers(); m != "" {
		line += "; " + m
	}
	return line + "\n", met
}

// TestEveryEventInEveryState compares what each event leads to in each state with
// testdata/matrix, and sees to it that no state and no event is left out.
func TestEveryEventInEveryState(t *testing.T) {
	var b strings.Builder
	cells := map[State]map[string]bool{}
	for _, in := range situations {
		fmt.Fprintf(&b, "%s\n", in.name)
		for _, e := range events {
			line, met := meet(t, in, e)
			b.WriteString(line)
			if cells[met] == nil {
				cells[met] = map[string]bool{}
			}
			cells[met][e.name] = true
		}
		b.WriteString("\n")
	}
	for state := Empty; state < PrepareEpochFence; state++ {
		for _, e := range events {
			if !cells[state][e.name] {
				t.Errorf("nothing says what %q leads to in %s", e.name, state)
			}
		}
	}
	const path = "testdata/matrix"
	want, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	if b.String() != string(want) {
		got := t.ArtifactDir() + "/matrix"
		if err := os.WriteFile(got, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Errorf("%s says otherwise; if the new answers are right, copy %s over it", path, got)
	}
}
